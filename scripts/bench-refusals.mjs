/**
 * What the verifier spends on a request it refuses, beside one it accepts, and how that grows with the size
 * of a token: `npm run bench:refusals`. All kinds take turns in one run, so that a busy machine slows all of
 * them down alike. Exit code 1 when a refusal costs more than acceptance, or a doubled token more than twice.
 */
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';

/** @type {unknown} */
const built = await import(new URL('../dist/framework-free.js', import.meta.url).href);
const { createServiceAuth } = /** @type {typeof import('../lib/framework-free.js')} */ (built);

const ROUNDS = 40;
const PER_ROUND = 100;
const MAX_RATIO = 1.1;
const MAX_GROWTH = 2.2;
const [HERALD, CENSUS] = ['https://herald.service/', 'https://census.service/'];
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const service = await createServiceAuth({
  issuer: CENSUS,
  trustedIssuers: [{ issuer: HERALD, keys: [{ publicKey, keyId: 'key' }] }],
});

/** @param {unknown} value */
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** @param {{ header?: object, claims?: object, key?: import('node:crypto').KeyObject }} [parts] */
function token({ header, claims, key = privateKey } = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const good = { iss: HERALD, aud: CENSUS, iat, exp: iat + 60, jti: randomUUID(), req: 'GET /' };
  const head = encode({ alg: 'ES256', kid: 'key', typ: 'svc+jwt', ...header });
  const input = `${head}.${encode({ ...good, ...claims })}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const used = token();
/** @type {Record<string, () => string>} */
const KINDS = {
  accepted: () => token(),
  token_missing: () => '',
  token_too_large: () => 'a'.repeat(8193),
  token_malformed: () => '.'.repeat(8192),
  header_invalid: () => token({ header: { crit: ['b64'] } }),
  algorithm_refused: () => token({ header: { alg: 'HS256' } }),
  claim_invalid: () => token({ claims: { exp: 'soon' } }),
  claim_missing: () => token({ claims: { jti: undefined } }),
  issuer_unknown: () => token({ claims: { iss: `https://${randomUUID()}/` } }),
  key_unknown: () => token({ header: { kid: randomUUID() } }),
  signature_invalid: () => token({ key: stranger }),
  token_expired: () => token({ claims: { iat: 1, exp: 61 } }),
  audience_mismatch: () => token({ claims: { aud: HERALD } }),
  request_mismatch: () => token({ claims: { req: 'GET /another' } }),
  token_replayed: () => used,
};

/** Each of so many bytes, and refused before any signature is verified. @type {Record<string, (bytes: number) => string>} */
const SHAPES = {
  dots: (bytes) => '.'.repeat(bytes),
  commas: (bytes) => `${'a,'.repeat(bytes / 2 - 1)}!`,
  'one segment': (bytes) => 'a'.repeat(bytes),
  nesting: (bytes) =>
    shaped(bytes, (size) => `{"a":${'['.repeat(size / 2)}${']'.repeat(size / 2)}}`),
  'many claims': (bytes) =>
    shaped(bytes, (size) => `{${Array.from({ length: size / 9 }, (_, at) => `"${at}":0`).join()}}`),
  'a huge number': (bytes) => shaped(bytes, (size) => `{"a":${'9'.repeat(size)}}`),
  escapes: (bytes) => shaped(bytes, (size) => `{"a":"${'\\u0041'.repeat(size / 6)}"}`),
  backslashes: (bytes) => shaped(bytes, (size) => `{"a":"${'\\\\'.repeat(size / 2)}"}`),
  strings: (bytes) => shaped(bytes, (size) => `{"a":[${'"",'.repeat(size / 3)}0]}`),
  'a long name': (bytes) => shaped(bytes, (size) => `{"iss":"${'x'.repeat(size)}"}`),
};

/** @param {number} bytes @param {(size: number) => string} json */
function shaped(bytes, json) {
  const head = encode({ alg: 'ES256', kid: 'key', typ: 'svc+jwt' });
  const payload = json(Math.floor((bytes - head.length - 100) * 0.74) - 10);
  return `${head}.${Buffer.from(payload).toString('base64url')}.${'A'.repeat(86)}`;
}

/** @param {readonly string[]} tokens @returns the CPU it takes, in microseconds for each */
async function cost(tokens) {
  const before = process.cpuUsage();
  for (const one of tokens) {
    const request = { method: 'GET', target: '/', rawHeaders: ['JWT', one], body: Buffer.alloc(0) };
    await service.verify(request).catch(() => undefined);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / tokens.length;
}

/** @param {Record<string, () => string>} makers @returns the costs of each round, by name */
async function measure(makers, perRound = PER_ROUND) {
  /** @type {Record<string, number[]>} */
  const costs = Object.fromEntries(Object.keys(makers).map((name) => [name, []]));
  for (let round = -3; round < ROUNDS; round++) {
    for (const [name, make] of Object.entries(makers)) {
      const spent = await cost(Array.from({ length: perRound }, make));
      if (round >= 0) costs[name].push(spent);
    }
  }
  return costs;
}

/** @param {readonly number[]} list @param {number} share */
const quantile = (list, share) =>
  [...list].sort((one, other) => one - other)[Math.floor(share * (list.length - 1))];

await service.verify({
  method: 'GET',
  target: '/',
  rawHeaders: ['JWT', used],
  body: Buffer.alloc(0),
});
let failures = 0;
const costs = await measure(KINDS);
const base = quantile(costs['accepted'], 0.5);
console.table(
  Object.entries(costs).map(([code, list]) => {
    const ratio = quantile(list, 0.5) / base;
    if (ratio > MAX_RATIO) failures++;
    return {
      code,
      'median us': quantile(list, 0.5).toFixed(1),
      quartiles: `${quantile(list, 0.25).toFixed(1)} to ${quantile(list, 0.75).toFixed(1)}`,
      'to accepted': ratio.toFixed(2),
    };
  }),
);

const SIZES = [1024, 2048, 4096, 8192];
/** @type {Record<string, () => string>} */
const sized = {};
for (const [name, make] of Object.entries(SHAPES)) {
  for (const bytes of SIZES) {
    const one = make(bytes);
    sized[`${name} ${bytes}`] = () => one;
  }
}
const bySize = await measure(sized, PER_ROUND / 4);
console.table(
  Object.keys(SHAPES).map((name) => {
    const medians = SIZES.map((bytes) => quantile(bySize[`${name} ${bytes}`], 0.5));
    const growth = Math.max(...medians.slice(1).map((one, at) => one / medians[at]));
    if (growth > MAX_GROWTH) failures++;
    return {
      shape: name,
      'us at 1, 2, 4, 8 KiB': medians.map((one) => one.toFixed(1)).join(', '),
      growth: growth.toFixed(2),
    };
  }),
);
console.log(failures === 0 ? 'no refusal costs too much' : `${failures} cost too much`);
service.close();
process.exitCode = failures === 0 ? 0 : 1;
