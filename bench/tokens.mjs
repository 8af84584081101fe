/** Keys, requests and tokens that the variants share: distinct tokens with a body of 1 KiB each that matches. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServiceAuth } from 'nestjs-service-auth/core';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';
export const KEY_ID = 'bench';
/** Where every clock stands, so that no token expires while a long run goes on. */
export const NOW_SECONDS = Math.floor(Date.now() / 1000);

/** @typedef {'ES256' | 'EdDSA' | 'RS256'} BenchAlgorithm */
/** @type {readonly BenchAlgorithm[]} */
export const ALGORITHMS = ['ES256', 'EdDSA', 'RS256'];

/** @param {BenchAlgorithm} algorithm */
export function createKeyPair(algorithm) {
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/**
 * One request with a token made for it, as the receiver meets it.
 *
 * @typedef {{ method: string, target: string, rawHeaders: string[], body: Buffer, token: string }} Received
 */

/** The service that is called. A replay store that remembers is another variant: this one costs nothing. */
export async function createCensus(
  /** @type {BenchAlgorithm} */ algorithm,
  /** @type {import('node:crypto').KeyObject} */ publicKey,
  /** @type {object} */ options = {},
) {
  return await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [
      { issuer: HERALD, keys: [{ publicKey, keyId: KEY_ID, algorithms: [algorithm] }] },
    ],
    replayStore: { recordUse: () => 'first' },
    now: () => NOW_SECONDS * 1000,
    ...options,
  });
}

/** The service that calls. */
export async function createHerald(
  /** @type {BenchAlgorithm} */ algorithm,
  /** @type {import('node:crypto').KeyObject} */ privateKey,
  /** @type {object} */ options = {},
) {
  return await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey, keyId: KEY_ID, algorithm },
    targets: [{ baseUrl: CENSUS }],
    now: () => NOW_SECONDS * 1000,
    ...options,
  });
}

/** A request as it is about to be sent. */
export const outgoing = () => ({
  method: 'POST',
  url: `${CENSUS}user/?dry=1`,
  headers: { 'content-type': 'application/json' },
  body: randomBytes(1024),
  subject: USER,
});

/** @param {import('nestjs-service-auth/core').ServiceAuth} herald @returns {Promise<Received>} */
export async function received(herald) {
  const request = outgoing();
  const token = (await herald.sign(request)) ?? '';
  const headers = {
    host: 'census.service',
    connection: 'keep-alive',
    accept: 'application/json',
    'content-type': 'application/json',
    'content-length': '1024',
    JWT: token,
  };
  const rawHeaders = Object.entries(headers).flat();
  return { method: 'POST', target: '/user/?dry=1', rawHeaders, body: request.body, token };
}

/** Changes the last byte of what is signed, so that the signature no longer fits. @param {string} token */
export function tamper(token) {
  const [header, payload, signature] = token.split('.');
  const claims = /** @type {object} */ (JSON.parse(Buffer.from(payload, 'base64url').toString()));
  const other = Buffer.from(JSON.stringify({ ...claims, sub: `${USER}2` })).toString('base64url');
  return `${header}.${other}.${signature}`;
}
