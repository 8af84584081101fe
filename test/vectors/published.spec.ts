import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { isAlgorithm } from '../../lib/core/algorithms.js';
import { readJoseHeader } from '../../lib/core/jose-header.js';
import { assertSignature } from '../../lib/core/token-signature.js';
import { readToken } from '../../lib/core/token-syntax.js';
import { codeOf } from '../support/services/peers.js';
import { type PublishedVectorFile, readVectors } from './vector-files.js';

const { vectors } = readVectors<PublishedVectorFile>('published');

describe('the signatures that standards publish', () => {
  it.each(vectors)('$source, $algorithm: $expected', async (vector) => {
    const { algorithm, jwk, token, expected } = vector;
    if (jwk === null || !isAlgorithm(algorithm)) {
      const read = async () => readJoseHeader(readToken([token]).unverifiedHeader);
      expect(await codeOf(async () => await read())).toBe(expected);
      return;
    }
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    const check = async (compact: string) => {
      const [encodedHeader = '', encodedPayload = '', encodedSignature = ''] = compact.split('.');
      const segments = { encodedHeader, encodedPayload, encodedSignature };
      const unverified = { unverifiedHeader: {}, unverifiedPayload: {} };
      await assertSignature({ ...segments, ...unverified }, { algorithm, key });
    };
    expect(await codeOf(async () => await check(token))).toBe('accepted');
    const bent = token.replace(
      /\.(.)([^.]*)\./,
      (_all, first: string, rest: string) => `.${first === 'A' ? 'B' : 'A'}${rest}.`,
    );
    expect(await codeOf(async () => await check(bent))).toBe('signature_invalid');
  });
});
