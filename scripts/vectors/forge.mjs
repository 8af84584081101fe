// Makes tokens with nothing but node:crypto, good ones and others.
import { createHash, createHmac } from 'node:crypto';
import { signInput } from './deterministic.mjs';

/** @typedef {Record<string, unknown>} Json */
/** @typedef {import('./keys.mjs').TestKey} TestKey */

export const encode = (/** @type {string | Uint8Array} */ value) =>
  Buffer.from(value).toString('base64url');
export const decode = (/** @type {string} */ segment) => Buffer.from(segment, 'base64url');

export const digest = (/** @type {string} */ name, /** @type {string | Uint8Array} */ bytes) =>
  createHash(name).update(bytes).digest('hex');

/** Signs two segments, however they are spelled. */
export function signSegments(
  /** @type {string} */ header,
  /** @type {string} */ payload,
  /** @type {string} */ algorithm,
  /** @type {TestKey} */ key,
) {
  const input = `${header}.${payload}`;
  return `${input}.${encode(signInput(input, algorithm, key))}`;
}

/** The same two segments with an HMAC: what a verifier takes that asks the token for the algorithm. */
export function macSegments(
  /** @type {string} */ header,
  /** @type {string} */ payload,
  /** @type {string | Uint8Array} */ secret,
) {
  const input = `${header}.${payload}`;
  return `${input}.${encode(createHmac('sha256', secret).update(input).digest())}`;
}

/** Applies `edit` to one segment of a token. */
export const editSegment =
  (/** @type {0 | 1 | 2} */ at, /** @type {(segment: string) => string} */ edit) =>
  (/** @type {string} */ token) =>
    token
      .split('.')
      .map((segment, index) => (index === at ? edit(segment) : segment))
      .join('.');

/** Applies `edit` to the bytes of the signature. */
export const editSignature = (/** @type {(signature: Buffer) => Uint8Array} */ edit) =>
  editSegment(2, (segment) => encode(edit(decode(segment))));

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The same bytes with a bit set that no byte uses; needs a segment that has such bits. */
export function strayBit(/** @type {string} */ segment) {
  if (segment.length % 4 === 0) throw new Error('every bit of this segment is used');
  return segment.slice(0, -1) + ALPHABET[ALPHABET.indexOf(segment.at(-1) ?? '') + 1];
}

/** JSON, padded with a space where its base64url would otherwise use every bit, and a stray bit set. */
export function encodeWithStrayBit(/** @type {Json} */ value) {
  const json = JSON.stringify(value);
  return strayBit(encode(Buffer.byteLength(json) % 3 === 0 ? `${json} ` : json));
}
