import { createHash, randomBytes } from 'node:crypto';
import type { AttackRow } from './attempt.js';
import { issuerFor, keyFor } from '../services/census.js';
import type { TestKey } from '../keys/keys.js';
import { type EncodeMessage, MODULUS_BYTES, signEncoded, withByte } from './rsa-signature.js';

type Bytes = Uint8Array;

const join = (...parts: Bytes[]): Bytes => Buffer.concat(parts);
const hashOf = (algorithm: string, input: Bytes): Bytes =>
  createHash(algorithm).update(input).digest();

/** The steps of EMSA-PSS, each of which a row may do otherwise. Default: as PS256 does. */
interface PssSteps {
  /** The digest of the message. */
  readonly hash: string;
  readonly maskHash: string;
  readonly saltLength: number;
  /** What is hashed: eight zeros, the digest of the message, the salt. */
  readonly toHash: (digest: Bytes, salt: Bytes) => Bytes;
  readonly editHash: (hash: Bytes) => Bytes;
  /** The data block before it is masked: zeros, 01, the salt. */
  readonly editBlock: (block: Bytes) => Bytes;
  readonly mask: (block: Bytes, mask: Bytes) => Bytes;
  readonly editMasked: (masked: Bytes) => Bytes;
  readonly trailer: Bytes;
}

const same = (bytes: Bytes): Bytes => bytes;
const PS256: PssSteps = {
  hash: 'sha256',
  maskHash: 'sha256',
  saltLength: 32,
  toHash: (digest, salt) => join(Buffer.alloc(8), digest, salt),
  editHash: same,
  editBlock: same,
  mask: (block, mask) => block.map((byte, at) => byte ^ (mask[at] ?? 0)),
  editMasked: (masked) => withByte(masked, 0, (byte) => byte & 0x7f),
  trailer: Buffer.of(0xbc),
};

/** RFC 8017 appendix B.2.1. */
function mgf1(algorithm: string, seed: Bytes, length: number): Bytes {
  const blocks: Bytes[] = [];
  for (let counter = 0; blocks.length * 16 < length; counter++) {
    blocks.push(hashOf(algorithm, join(seed, Buffer.of(0, 0, 0, counter))));
  }
  return join(...blocks).subarray(0, length);
}

/** RFC 8017 section 9.1.1, for a modulus of 2048 bits. */
function encodePss(input: Bytes, steps: PssSteps): Bytes {
  const salt = randomBytes(steps.saltLength);
  const hash = steps.editHash(hashOf(steps.hash, steps.toHash(hashOf(steps.hash, input), salt)));
  const length = MODULUS_BYTES - hash.length - steps.trailer.length;
  const zeros = Buffer.alloc(length - salt.length - 1);
  const block = steps.editBlock(join(zeros, Buffer.of(1), salt));
  const masked = steps.mask(block, mgf1(steps.maskHash, hash, length));
  return join(steps.editMasked(masked), hash, steps.trailer);
}

/** Other salts are tried until the encoded message is a number below the modulus. */
const pss =
  (steps: Partial<PssSteps>): EncodeMessage =>
  (input, key) => {
    for (;;) {
      const message = encodePss(input, { ...PS256, ...steps });
      if (Buffer.compare(message, modulusOf(key)) < 0) return message;
    }
  };

const modulusOf = ({ publicKey }: TestKey): Buffer =>
  Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url');

const LAST_ZERO = -34;
const SEPARATOR = -33;

const HASHES = ['sha1', 'sha224', 'sha384', 'sha512', 'sha512-256', 'sha3-256'];

const ENCODINGS: [string, Partial<PssSteps>][] = [
  ...HASHES.flatMap((hash): [string, Partial<PssSteps>][] => [
    [`hashed with ${hash}`, { hash }],
    [`masked with ${hash}`, { maskHash: hash }],
    [`hashed and masked with ${hash}`, { hash, maskHash: hash }],
  ]),
  ...[0, 1, 16, 20, 28, 31, 33, 48, 64, 128, 222].map((saltLength): [string, object] => [
    `with a salt of ${saltLength} bytes`,
    { saltLength },
  ]),
  ...['', '00', '01', '3c', '9c', 'bb', 'bd', 'cc', 'fc', 'ff', 'bc00', 'bcbc', '33cc'].map(
    (trailer): [string, Partial<PssSteps>] => [
      `with the trailer "${trailer}"`,
      { trailer: Buffer.from(trailer, 'hex') },
    ],
  ),
  ...[0, 15, 31].flatMap((at): [string, Partial<PssSteps>][] => [
    [
      `with a bit of byte ${at} of the hash flipped`,
      { editHash: (h) => withByte(h, at, (b) => b ^ 1) },
    ],
    [
      `with a bit of byte ${at} of the message's digest flipped`,
      {
        toHash: (d, salt) =>
          PS256.toHash(
            withByte(d, at, (b) => b ^ 0x80),
            salt,
          ),
      },
    ],
  ]),
  ['with a hash of zeros', { editHash: (hash) => Buffer.alloc(hash.length) }],
  ['over another message', { toHash: (_d, salt) => PS256.toHash(hashOf('sha256', salt), salt) }],
  ['with seven zeros before the digest', { toHash: (d, salt) => join(Buffer.alloc(7), d, salt) }],
  ['with nine zeros before the digest', { toHash: (d, salt) => join(Buffer.alloc(9), d, salt) }],
  ['with no zeros before the digest', { toHash: (d, salt) => join(d, salt) }],
  ['with ones before the digest', { toHash: (d, salt) => join(Buffer.alloc(8, 1), d, salt) }],
  ['with the salt before the digest', { toHash: (d, salt) => PS256.toHash(salt, d) }],
  ['without the salt in the hash', { toHash: (d) => join(Buffer.alloc(8), d) }],
  ['with another salt in the hash', { toHash: (d) => PS256.toHash(d, randomBytes(32)) }],
  ...[0, 1, 100, LAST_ZERO].flatMap((at) =>
    [0x01, 0x40].map((byte): [string, Partial<PssSteps>] => [
      `with ${byte.toString(16).padStart(2, '0')} in place ${at} of the zeros`,
      { editBlock: (block) => withByte(block, at, () => byte) },
    ]),
  ),
  ...[0x00, 0x02, 0x80, 0x81, 0xff].map((byte): [string, Partial<PssSteps>] => [
    `with the separator ${byte.toString(16).padStart(2, '0')}`,
    { editBlock: (block) => withByte(block, SEPARATOR, () => byte) },
  ]),
  ['with an all-zero data block', { editBlock: (block) => Buffer.alloc(block.length) }],
  ['with the top bit set', { editMasked: (masked) => withByte(masked, 0, (b) => b | 0x80) }],
  ['with the data block unmasked', { mask: same }],
  ...[1, 50, LAST_ZERO, SEPARATOR, -32, -1].map((at): [string, Partial<PssSteps>] => [
    `with a bit of byte ${at} of the masked block flipped`,
    { editMasked: (masked) => PS256.editMasked(withByte(masked, at, (byte) => byte ^ 1)) },
  ]),
];

/** That the encoder above is right where no step is changed: PS256 as the protocol has it. */
export const GOOD_PSS = {
  title: 'SG-17 a PSS signature encoded step by step',
  change: { issuer: issuerFor('PS256'), key: keyFor('PS256'), build: signEncoded(pss({})) },
};

export const PSS: readonly AttackRow[] = ENCODINGS.map(([title, steps]) => ({
  title: `SG-17 a PSS signature ${title}`,
  code: 'signature_invalid',
  common: { ...GOOD_PSS.change },
  change: { build: signEncoded(pss(steps)) },
}));
