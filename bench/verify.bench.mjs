/** Verifying one request with a body of 1 KiB: this library's core, and what others do of it. */
import { constants, createHash, verify } from 'node:crypto';
import { createVerifier as createFastVerifier } from 'fast-jwt';
import { jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import { MemoryReplayStore } from 'nestjs-service-auth/core';
import { measureAlgorithms } from './algorithms.mjs';
import {
  CENSUS,
  createCensus,
  createHerald,
  createKeyPair,
  HERALD,
  NOW_SECONDS,
  received,
  tamper,
} from './tokens.mjs';
import { signedMessages, verifyMessage } from './rfc9421.mjs';

/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/** @typedef {import('./tokens.mjs').Received} Received */
/** @typedef {import('./measure.mjs').Variant} Variant */

/** How many distinct tokens take turns. */
const DISTINCT = 2000;

/** @param {{ quick: boolean }} options */
export const runVerify = async ({ quick }) =>
  await measureAlgorithms('verify', { quick, variantsOf: verifyVariants, perRound: () => 400 });

/** @param {BenchAlgorithm} algorithm @returns {Promise<Variant[]>} */
async function verifyVariants(algorithm) {
  const { privateKey, publicKey } = createKeyPair(algorithm);
  const herald = await createHerald(algorithm, privateKey);
  /** @type {Received[]} */
  const requests = [];
  for (let at = 0; at < DISTINCT; at++) requests.push(await received(herald));
  let turn = 0;
  const prepare = (/** @type {number} */ count) =>
    Array.from({ length: count }, () => requests[turn++ % DISTINCT]);

  const good = requests[0];
  const bad = { ...good, ...withToken(good, tamper(good.token)) };
  const forged = { ...good, body: Buffer.alloc(1024) };
  const census = await createCensus(algorithm, publicKey);
  const remembering = () =>
    createCensus(algorithm, publicKey, { replayStore: new MemoryReplayStore() });
  let fresh = await remembering();
  const core = (/** @type {Received} */ request) => census.verify(request);
  const withReplay = (/** @type {Received} */ request) => fresh.verify(request);
  const joseOptions = {
    issuer: HERALD,
    audience: CENSUS,
    algorithms: [algorithm],
    currentDate: new Date(NOW_SECONDS * 1000),
  };
  const jose = async (/** @type {Received} */ { token }) =>
    /** @type {{ payload: Record<string, unknown> }} */ (
      await jwtVerify(token, publicKey, joseOptions)
    );
  const raw = rawVerifier(algorithm, publicKey);
  /** @type {Variant[]} */
  const variants = [
    variant('node:crypto verify', prepareRaw(prepare), raw, [toRaw(bad)]),
    variant('this library, core', prepare, core, [bad, forged]),
    {
      ...variant('this library, core, memory replay store', prepare, withReplay, [bad, forged]),
      prepare: async (count) => {
        fresh = await remembering();
        return prepare(count);
      },
    },
    variant('jose jwtVerify', prepare, jose, [bad]),
    variant(
      'jose jwtVerify and a body hash',
      prepare,
      async (/** @type {Received} */ request) => {
        const { payload } = await jose(request);
        const digest = createHash('sha256').update(request.body).digest('hex');
        if (payload['bdy'] !== digest) throw new Error('another body');
      },
      [bad, forged],
    ),
    ...others(algorithm, publicKey, prepare, bad),
  ];
  const messages = await signedMessages(algorithm, privateKey, DISTINCT);
  let message = 0;
  const verifyOne = verifyMessage(algorithm, publicKey);
  variants.push(
    variant(
      'http-message-signatures, Content-Digest',
      (count) => Array.from({ length: count }, () => messages[message++ % DISTINCT]),
      verifyOne,
      [
        { ...messages[0], body: Buffer.alloc(1024) },
        { ...messages[0], url: `${CENSUS}another` },
      ],
    ),
  );
  return variants;
}

/**
 * @param {string} name
 * @param {Variant['prepare']} prepare
 * @param {Variant['run']} run
 * @param {readonly unknown[]} badInputs
 * @returns {Variant}
 */
function variant(name, prepare, run, badInputs) {
  const refuses = badInputs.map((input) => async () => await run(input));
  return { name, prepare, run, refuses };
}

/**
 * Others that know JWTs.
 *
 * @param {BenchAlgorithm} algorithm
 * @param {import('node:crypto').KeyObject} publicKey
 * @param {Variant['prepare']} prepare
 * @param {Received} bad
 * @returns {Variant[]}
 */
function others(algorithm, publicKey, prepare, bad) {
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const fast = createFastVerifier({
    key: pem,
    algorithms: [algorithm],
    allowedIss: HERALD,
    allowedAud: CENSUS,
    cache: false,
    clockTimestamp: NOW_SECONDS * 1000,
  });
  const classic =
    (/** @type {import('jsonwebtoken').PublicKey} */ key) =>
    (/** @type {Received} */ { token }) =>
      jsonwebtoken.verify(token, key, {
        algorithms: [/** @type {import('jsonwebtoken').Algorithm} */ (algorithm)],
        issuer: HERALD,
        audience: CENSUS,
        clockTimestamp: NOW_SECONDS,
      });
  const run = (/** @type {Received} */ { token }) => void fast(token);
  // jsonwebtoken has no EdDSA: its control fails, and says so.
  return [
    variant('fast-jwt, no cache', prepare, run, [bad]),
    variant('jsonwebtoken, KeyObject', prepare, classic(publicKey), [bad]),
    variant('jsonwebtoken, PEM', prepare, classic(pem), [bad]),
  ];
}

/** @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} publicKey */
function rawVerifier(algorithm, publicKey) {
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  /** @type {import('node:crypto').VerifyKeyObjectInput} */
  const key =
    algorithm === 'RS256'
      ? { key: publicKey, padding: constants.RSA_PKCS1_PADDING }
      : { key: publicKey, dsaEncoding: 'ieee-p1363' };
  return (/** @type {ReturnType<typeof toRaw>} */ { data, signature }) => {
    if (!verify(digest, data, key, signature)) throw new Error('another signature');
  };
}

/** @param {Received} request */
function toRaw({ token }) {
  const dot = token.lastIndexOf('.');
  return {
    data: Buffer.from(token.slice(0, dot)),
    signature: Buffer.from(token.slice(dot + 1), 'base64url'),
  };
}

/** @param {(count: number) => Received[]} prepare */
const prepareRaw = (prepare) => (/** @type {number} */ count) => prepare(count).map(toRaw);

/** @param {Received} request @param {string} token */
function withToken(request, token) {
  return { token, rawHeaders: [...request.rawHeaders.slice(0, -1), token] };
}
