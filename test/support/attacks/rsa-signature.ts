import { constants, privateEncrypt } from 'node:crypto';
import type { Attempt } from './attempt.js';
import { encode } from '../tokens/forge.js';
import type { TestKey } from '../keys/keys.js';

/** The bytes of a modulus of 2048 bits, and so of everything that is raised to a power under it. */
export const MODULUS_BYTES = 256;

/** An encoded message, as it would be before the private key is applied to it: RFC 8017 section 9. */
export type EncodeMessage = (signingInput: Buffer, key: TestKey) => Uint8Array;

/** Signs with the private key, but over an encoded message that nobody should accept. */
export const signEncoded =
  (encodeMessage: EncodeMessage): Attempt['build'] =>
  (header, claims, key) => {
    const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
    const message = encodeMessage(Buffer.from(input), key);
    const rawKey = { key: key.privateKey, padding: constants.RSA_NO_PADDING };
    return `${input}.${encode(privateEncrypt(rawKey, message))}`;
  };

/** The bytes with one of them changed; `at` counts from the end where it is negative. */
export function withByte(
  bytes: Uint8Array,
  at: number,
  change: (byte: number) => number,
): Uint8Array {
  const index = at < 0 ? bytes.length + at : at;
  return bytes.with(index, change(bytes[index] ?? 0));
}
