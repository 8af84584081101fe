import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { hasRocaFingerprint } from '../../lib/keys/roca.js';
import { createRocaKey } from '../support/keys/roca-key.js';

const modulusOf = (publicKey: KeyObject): bigint => {
  const { n = '' } = publicKey.export({ format: 'jwk' });
  return BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
};

describe('SG-26 the fingerprint of CVE-2017-15361', () => {
  it('is on every key of the flawed generator', () => {
    const keys = Array.from({ length: 3 }, () => createRocaKey('roca'));
    expect(keys.filter(({ publicKey }) => !hasRocaFingerprint(modulusOf(publicKey)))).toEqual([]);
  });

  it('is on no key of another one', () => {
    const sizes = [2048, 2048, 2056, 3072];
    const keys = sizes.map((modulusLength) => generateKeyPairSync('rsa', { modulusLength }));
    expect(keys.filter(({ publicKey }) => hasRocaFingerprint(modulusOf(publicKey)))).toEqual([]);
  });

  it('is what is left of a power of 65537, and of nothing next to it', () => {
    expect([0n, 1n, 2n, 4n].map((by) => hasRocaFingerprint(65537n ** 128n + by))).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});
