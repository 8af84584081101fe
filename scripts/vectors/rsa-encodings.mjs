// What RSA signs (RFC 8017 section 9), as it should be and as it must not be.
import { createHash } from 'node:crypto';
import { encodePss } from './deterministic.mjs';

const SHA256_PREFIX = Buffer.from('3031300d060960864801650304020105000420', 'hex');
const LENGTH = 256;
const HASH_LENGTH = 32;

const sha256 = (/** @type {Uint8Array} */ bytes) => createHash('sha256').update(bytes).digest();

/** EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) of whatever stands after the padding. */
function pkcs1(/** @type {Uint8Array} */ info, { type = 1, fill = 0xff, separator = 0 } = {}) {
  const padding = Buffer.alloc(LENGTH - info.length - 3, fill);
  return Buffer.concat([Buffer.of(0, type), padding, Buffer.of(separator), info]);
}

/** @type {[id: string, why: string, encode: (input: Uint8Array) => Buffer][]} */
export const PKCS1_FLAWS = [
  ['block-type-0', 'block type 0', (input) => pkcs1(info(input), { type: 0 })],
  ['block-type-2', 'block type 2', (input) => pkcs1(info(input), { type: 2 })],
  ['padding-zero', 'a zero byte for padding', (input) => edit(pkcs1(info(input)), 10, 0)],
  ['padding-fe', 'FE for padding', (input) => pkcs1(info(input), { fill: 0xfe })],
  ['no-separator', 'no zero after the padding', (input) => pkcs1(info(input), { separator: 0xff })],
  ['short-padding', 'short padding, and garbage after the digest', (input) => garbageAfter(input)],
  ['no-null', 'no parameters in the digest info', (input) => pkcs1(withoutNull(input))],
  ['other-oid', 'the digest info of SHA-384', (input) => pkcs1(edit(info(input), 14, 2))],
  ['no-info', 'the bare digest', (input) => pkcs1(sha256(input))],
  ['long-length', 'a length in two bytes', (input) => pkcs1(withLongLength(input))],
  ['other-digest', 'another digest', (input) => pkcs1(info(Buffer.concat([input, Buffer.of(0)])))],
  ['first-byte', 'a first byte that is not zero', (input) => edit(pkcs1(info(input)), 0, 1)],
];

/** @type {[id: string, why: string, encode: (input: Uint8Array) => Buffer][]} */
export const PSS_FLAWS = [
  ['salt-0', 'no salt', (input) => encodePss(input, { saltLength: 0 })],
  ['salt-31', 'a salt of 31 bytes', (input) => encodePss(input, { saltLength: 31 })],
  ['salt-33', 'a salt of 33 bytes', (input) => encodePss(input, { saltLength: 33 })],
  [
    'salt-longest',
    'the longest salt',
    (input) => encodePss(input, { saltLength: LENGTH - HASH_LENGTH - 2 }),
  ],
  ['mgf-sha-1', 'a mask made with SHA-1', (input) => encodePss(input, { maskHash: 'sha1' })],
  ['trailer', 'another last byte', (input) => encodePss(input, { trailer: 0xcc })],
  ['no-mark', 'no 01 before the salt', (input) => encodePss(input, { mark: 0 })],
  ['mark-2', '02 before the salt', (input) => encodePss(input, { mark: 2 })],
  ['padding', 'padding that is not zero', (input) => flip(encodePss(input), 5)],
  ['hash', 'another digest', (input) => flip(encodePss(input), LENGTH - 2)],
];

/** What the flaws are the flaws of: a correct encoding, made the same way. */
export const PKCS1_GOOD = (/** @type {Uint8Array} */ input) => pkcs1(info(input));
export const PSS_GOOD = (/** @type {Uint8Array} */ input) => encodePss(input);

const info = (/** @type {Uint8Array} */ input) => Buffer.concat([SHA256_PREFIX, sha256(input)]);

function withoutNull(/** @type {Uint8Array} */ input) {
  const prefix = Buffer.from('302f300b0609608648016503040201', 'hex');
  return Buffer.concat([prefix, Buffer.of(4, HASH_LENGTH), sha256(input)]);
}

function withLongLength(/** @type {Uint8Array} */ input) {
  return Buffer.concat([Buffer.of(0x30, 0x81, 0x31), info(input).subarray(2)]);
}

function garbageAfter(/** @type {Uint8Array} */ input) {
  const head = Buffer.concat([Buffer.of(0, 1), Buffer.alloc(8, 0xff), Buffer.of(0), info(input)]);
  return Buffer.concat([head, Buffer.alloc(LENGTH - head.length, 0x5a)]);
}

function edit(
  /** @type {Uint8Array} */ bytes,
  /** @type {number} */ at,
  /** @type {number} */ value,
) {
  const edited = Buffer.from(bytes);
  edited[at] = value;
  return edited;
}

const flip = (/** @type {Uint8Array} */ bytes, /** @type {number} */ at) =>
  edit(bytes, at, bytes[at] ^ 1);
