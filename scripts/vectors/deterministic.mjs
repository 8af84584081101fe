// Signatures that come out the same every time, so that making the vectors again changes nothing.
import { constants, createECDH, createHash, createHmac, privateEncrypt, sign } from 'node:crypto';

/** @typedef {import('./keys.mjs').TestKey} TestKey */

/** The order of each curve, the bytes of a number below it, and its name in OpenSSL. */
export const CURVES = /** @type {const} */ ({
  ES256: {
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    size: 32,
    name: 'prime256v1',
  },
  ES384: {
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    size: 48,
    name: 'secp384r1',
  },
  ES512: {
    order:
      0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    size: 66,
    name: 'secp521r1',
  },
});

/** A signature as RFC 7518 section 3 and RFC 8037 section 3.1 prescribe. */
export function signInput(
  /** @type {string} */ input,
  /** @type {string} */ algorithm,
  /** @type {TestKey} */ key,
) {
  const data = Buffer.from(input);
  const hash = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('Ed')) return sign(null, data, key.privateKey);
  if (algorithm.startsWith('RS')) return sign(hash, data, key.privateKey);
  if (algorithm.startsWith('PS')) return signBlock(encodePss(data, { hash }), key);
  return signEcdsa(data, /** @type {keyof typeof CURVES} */ (algorithm), key);
}

/** The RSA signature primitive over a block of as many bytes as the modulus. */
export const signBlock = (/** @type {Uint8Array} */ block, /** @type {TestKey} */ { privateKey }) =>
  privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block);

const MODULUS_BYTES = 256;

/**
 * EMSA-PSS: RFC 8017 section 9.1.1. The salt, which is random elsewhere, is the digest of the input. What
 * is given besides `hash` makes the encoding wrong.
 *
 * @param {Uint8Array} input
 * @param {{ hash?: string, saltLength?: number, maskHash?: string, trailer?: number, mark?: number }} [options]
 */
export function encodePss(
  input,
  { hash = 'sha256', saltLength, maskHash = hash, trailer = 0xbc, mark = 1 } = {},
) {
  const digest = digestOf(hash, input);
  const salt = Buffer.alloc(saltLength ?? digest.length);
  digest.copy(salt);
  const seed = digestOf(hash, Buffer.concat([Buffer.alloc(8), digest, salt]));
  const padding = Buffer.alloc(MODULUS_BYTES - seed.length - salt.length - 2);
  const block = Buffer.concat([padding, Buffer.of(mark), salt]);
  const mask = maskOf(seed, block.length, maskHash);
  const masked = Buffer.from(block.map((byte, at) => byte ^ mask[at]));
  masked[0] &= 0x7f;
  return Buffer.concat([masked, seed, Buffer.of(trailer)]);
}

/** MGF1: RFC 8017 appendix B.2.1. */
function maskOf(
  /** @type {Uint8Array} */ seed,
  /** @type {number} */ length,
  /** @type {string} */ hash,
) {
  const blocks = [];
  for (let at = 0; Buffer.concat(blocks).length < length; at++) {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(at);
    blocks.push(digestOf(hash, Buffer.concat([seed, counter])));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

const digestOf = (/** @type {string} */ hash, /** @type {Uint8Array} */ bytes) =>
  createHash(hash).update(bytes).digest();

/** ECDSA with the nonce of RFC 6979 section 3.2, as r and s side by side. */
function signEcdsa(
  /** @type {Uint8Array} */ data,
  /** @type {keyof typeof CURVES} */ algorithm,
  /** @type {TestKey} */ { privateKey },
) {
  const { order, size, name } = CURVES[algorithm];
  const hash = `sha${algorithm.slice(2)}`;
  const d = toNumber(Buffer.from(String(privateKey.export({ format: 'jwk' }).d), 'base64url'));
  const z = leftmostBits(digestOf(hash, data), order);
  const k = nonceOf(toBytes(d, size), toBytes(z % order, size), hash, order);
  const ecdh = createECDH(name);
  ecdh.setPrivateKey(toBytes(k, size));
  const r = toNumber(ecdh.getPublicKey().subarray(1, 1 + size)) % order;
  const s = (inverse(k, order) * ((z + r * d) % order)) % order;
  return Buffer.concat([toBytes(r, size), toBytes(s, size)]);
}

function nonceOf(
  /** @type {Buffer} */ d,
  /** @type {Buffer} */ z,
  /** @type {string} */ hash,
  /** @type {bigint} */ order,
) {
  let key = Buffer.alloc(digestOf(hash, d).length);
  let value = Buffer.alloc(key.length, 1);
  const hmac = (/** @type {Uint8Array[]} */ ...parts) =>
    createHmac(hash, key).update(Buffer.concat(parts)).digest();
  const step = (/** @type {Uint8Array[]} */ ...parts) => {
    key = hmac(value, ...parts);
    value = hmac(value);
  };
  step(Buffer.of(0), d, z);
  step(Buffer.of(1), d, z);
  for (;;) {
    let bytes = Buffer.alloc(0);
    while (bytes.length < d.length) {
      value = hmac(value);
      bytes = Buffer.concat([bytes, value]);
    }
    const k = leftmostBits(bytes.subarray(0, d.length), order);
    if (k > 0n && k < order) return k;
    step(Buffer.of(0));
  }
}

/** As many bits as the order has: bits2int of RFC 6979 section 2.3.2. */
function leftmostBits(/** @type {Uint8Array} */ bytes, /** @type {bigint} */ order) {
  const surplus = bytes.length * 8 - order.toString(2).length;
  return surplus > 0 ? toNumber(bytes) >> BigInt(surplus) : toNumber(bytes);
}

/** Fermat: the order is prime. */
function inverse(/** @type {bigint} */ value, /** @type {bigint} */ order) {
  let result = 1n;
  let base = value % order;
  for (let exponent = order - 2n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % order;
    base = (base * base) % order;
  }
  return result;
}

export const toBytes = (/** @type {bigint} */ value, /** @type {number} */ size) =>
  Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex');
export const toNumber = (/** @type {Uint8Array} */ bytes) =>
  BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
