type Advice = readonly [reason: RegExp, advice: string];

/** By the code of Node's error, or by words of this library in the reason. */
const KEYS: readonly Advice[] = [
  [
    /ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH/,
    'The key server speaks http:, and its URL says https:. Correct jwksUri: its TLS port, or http: with allowInsecureKeyUrls.',
  ],
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET)/,
    'Node does not know who vouches for its certificate: set NODE_EXTRA_CA_CERTS.',
  ],
  [/\(CERT_|ERR_TLS_CERT/, 'Renew or correct the certificate of the key server.'],
  [
    /ENOTFOUND|EAI_AGAIN/,
    'The name of the key server is not known here: check the DNS, and its URL (jwksUri; by default made from the name of the service).',
  ],
  [/ECONNREFUSED/, 'Start the service that publishes them, or correct jwksUri.'],
  [
    /answered 404/,
    'A service publishes its keys if it has a signingKey. Check its options, and its URL (jwksUri; by default made from its name).',
  ],
  [/answered \d/, 'Check jwksUri, and what the key server serves there.'],
  [/^the (?:set|reply) /, 'Let its owner publish a JWK Set with a key for signatures.'],
];

/** By the first word of a reply of Redis, or by words of this library in the reason. */
const STORE: readonly Advice[] = [
  [
    /\bOOM\b/,
    'Redis is full: give it more memory (maxmemory), and keep maxmemory-policy noeviction.',
  ],
  [/\b(?:NOAUTH|WRONGPASS|NOPERM)\b/, 'Correct the user and the password of the Redis client.'],
  [/\bREADONLY\b/, 'Connect the Redis client to the primary.'],
  [
    /memory store/,
    'Raise maxEntries of the memory store, let the caller lower tokenLifetimeSeconds, or share a store in Redis.',
  ],
  [/clock was put back/, 'Set the clock of this host right, or restart the service.'],
  [/another server/, 'It ends by itself, once the tokens from before have expired.'],
];

/** What to do about keys that cannot be fetched. */
export function adviceForKeys(reason: string): string {
  return find(KEYS, reason) ?? 'Check its key server (jwksUri), and the network to it.';
}

/** What to do about a replay store that cannot answer. */
export function adviceForStore(reason: string): string {
  return find(STORE, reason) ?? 'Check the replay store, and the network to it.';
}

function find(advice: readonly Advice[], reason: string): string | undefined {
  return advice.find(([pattern]) => pattern.test(reason))?.[1];
}
