/** Signing one request with a body of 1 KiB: this library's core, and what others do of it. */
import { constants, createHash, randomUUID, sign } from 'node:crypto';
import { createSigner as createFastSigner } from 'fast-jwt';
import { SignJWT } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import { measureAlgorithms } from './algorithms.mjs';
import {
  CENSUS,
  createCensus,
  createHerald,
  createKeyPair,
  HERALD,
  KEY_ID,
  NOW_SECONDS,
  outgoing,
  USER,
} from './tokens.mjs';
import { signMessage, unsignedMessage, verifyMessage } from './rfc9421.mjs';

/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/** @typedef {import('./measure.mjs').Variant} Variant */
/** @typedef {ReturnType<typeof outgoing>} Outgoing */

/** RSA signs slowly: fewer of them are enough. @param {{ quick: boolean }} options */
export const runSign = async ({ quick }) =>
  await measureAlgorithms('sign', {
    quick,
    variantsOf: signVariants,
    perRound: (algorithm) => (algorithm === 'RS256' ? 60 : 400),
  });

/** @param {BenchAlgorithm} algorithm @returns {Promise<Variant[]>} */
async function signVariants(algorithm) {
  const { privateKey, publicKey } = createKeyPair(algorithm);
  const herald = await createHerald(algorithm, privateKey);
  const census = await createCensus(algorithm, publicKey);
  const requests = Array.from({ length: 2000 }, outgoing);
  let turn = 0;
  const prepare = (/** @type {number} */ count) =>
    Array.from({ length: count }, () => requests[turn++ % requests.length]);
  const core = (/** @type {ReturnType<typeof outgoing>} */ request) => herald.sign(request);
  const message = signMessage(algorithm, privateKey);
  const messages = requests.map(() => unsignedMessage());
  let at = 0;
  return [
    {
      name: 'node:crypto sign',
      prepare: (count) => prepare(count).map(({ body }) => Buffer.from(body.subarray(0, 512))),
      run: rawSigner(algorithm, privateKey),
    },
    {
      name: 'this library, core',
      prepare,
      run: core,
      accepts: async () => {
        const token = (await core(requests[0])) ?? '';
        await census.verify({
          method: 'POST',
          target: '/user/?dry=1',
          rawHeaders: ['content-type', 'application/json', 'JWT', token],
          body: requests[0].body,
        });
      },
    },
    ...Object.entries(others(algorithm, privateKey)).map(([name, run]) => ({ name, prepare, run })),
    {
      name: 'http-message-signatures, Content-Digest',
      prepare: (count) => Array.from({ length: count }, () => messages[at++ % messages.length]),
      run: message,
      accepts: async () => await verifyMessage(algorithm, publicKey)(await message(messages[0])),
    },
  ];
}

/**
 * Others that know JWTs; each claims the same, body hash included.
 *
 * @param {BenchAlgorithm} algorithm
 * @param {import('node:crypto').KeyObject} privateKey
 * @returns {Record<string, (request: Outgoing) => unknown>}
 */
function others(algorithm, privateKey) {
  const claimsOf = (/** @type {Outgoing} */ { method, body }) => ({
    iss: HERALD,
    aud: CENSUS,
    sub: USER,
    iat: NOW_SECONDS,
    exp: NOW_SECONDS + 60,
    jti: randomUUID(),
    req: `${method} /user/?dry=1`,
    hdr: { 'content-type': 'application/json' },
    bdy: createHash('sha256').update(body).digest('hex'),
  });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const fast = createFastSigner({ key: pem, algorithm, kid: KEY_ID });
  const header = { alg: algorithm, kid: KEY_ID, typ: 'svc+jwt' };
  const classic =
    (/** @type {import('jsonwebtoken').Secret} */ key) => (/** @type {Outgoing} */ request) =>
      jsonwebtoken.sign(claimsOf(request), key, {
        algorithm: /** @type {import('jsonwebtoken').Algorithm} */ (algorithm),
        keyid: KEY_ID,
      });
  return {
    'jose SignJWT': async (request) =>
      await new SignJWT(claimsOf(request)).setProtectedHeader(header).sign(privateKey),
    'fast-jwt': (request) => fast(claimsOf(request)),
    'jsonwebtoken, KeyObject': classic(privateKey),
    'jsonwebtoken, PEM': classic(pem),
  };
}

/** @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} privateKey */
function rawSigner(algorithm, privateKey) {
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  /** @type {import('node:crypto').SignKeyObjectInput} */
  const key =
    algorithm === 'RS256'
      ? { key: privateKey, padding: constants.RSA_PKCS1_PADDING }
      : { key: privateKey, dsaEncoding: 'ieee-p1363' };
  return (/** @type {Buffer} */ data) => sign(digest, data, key);
}
