/** The peer that binds a signature to a request as we do: HTTP message signatures with a digest of the content. */
import { createHash } from 'node:crypto';
import { createSigner, createVerifier, httpbis } from 'http-message-signatures';
import { KEY_ID, outgoing, USER } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/** @typedef {{ method: string, url: string, headers: Record<string, string | string[]>, body: Buffer }} Message */

/** What a JWT of ours binds: method, target, type, content, user. */
const FIELDS = [
  '@method',
  '@authority',
  '@path',
  '@query',
  'content-type',
  'content-digest',
  'x-user',
];
const PARAMETERS = ['created', 'expires', 'nonce', 'keyid', 'alg'];
/** @type {Record<BenchAlgorithm, string>} */
const NAMES = { ES256: 'ecdsa-p256-sha256', EdDSA: 'ed25519', RS256: 'rsa-v1_5-sha256' };

/** @param {Uint8Array} body */
const contentDigest = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

/** Signs one message. @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} privateKey */
export function signMessage(algorithm, privateKey) {
  // The library's types ask for a PEM; its functions hand whatever it is to node:crypto.
  const key = createSigner(/** @type {any} */ (privateKey), NAMES[algorithm], KEY_ID);
  let nonce = 0;
  return async (/** @type {Message} */ message) =>
    await httpbis.signMessage(
      {
        key,
        fields: FIELDS,
        params: PARAMETERS,
        paramValues: { nonce: String(nonce++), expires: new Date(Date.now() + 3_600_000) },
      },
      {
        ...message,
        headers: { ...message.headers, 'content-digest': contentDigest(message.body) },
      },
    );
}

/** @returns {Message} */
export function unsignedMessage() {
  const { method, url, headers, body } = outgoing();
  return { method, url, headers: { ...headers, 'x-user': USER }, body };
}

/** @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} privateKey @param {number} count */
export async function signedMessages(algorithm, privateKey, count) {
  const sign = signMessage(algorithm, privateKey);
  const messages = [];
  for (let at = 0; at < count; at++) messages.push(await sign(unsignedMessage()));
  return messages;
}

/** Verifies one message, content and all. @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} publicKey */
export function verifyMessage(algorithm, publicKey) {
  const verify = createVerifier(/** @type {any} */ (publicKey), NAMES[algorithm]);
  const key = { id: KEY_ID, algs: [NAMES[algorithm]], verify };
  return async (/** @type {Message} */ message) => {
    if (message.headers['content-digest'] !== contentDigest(message.body)) {
      throw new Error('another body');
    }
    const verdict = await httpbis.verifyMessage(
      {
        keyLookup: async ({ keyid }) => (keyid === KEY_ID ? key : null),
        requiredFields: FIELDS,
        requiredParams: PARAMETERS,
      },
      message,
    );
    if (verdict !== true) throw new Error('another signature');
  };
}
