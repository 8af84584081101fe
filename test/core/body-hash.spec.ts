import { type BodyHashAlgorithm, ServiceTokenRefusedError } from 'nestjs-service-auth/core';
import { hashBody } from '../../lib/core/body-hash.js';
import { readUnverifiedBodyHash } from '../../lib/core/unverified-body-hash.js';
import { digest } from '../support/tokens/forge.js';
import { tokenFor, withParts } from '../support/attacks/attempt.js';
import { BASELINE, NOW_SECONDS, POSTED } from '../support/services/census.js';

const BODY = Buffer.from('{"name":"x"}');
const ALGORITHMS: BodyHashAlgorithm[] = ['md5', 'sha256', 'sha384', 'sha512'];

describe('the digest of a body', () => {
  it.each(ALGORITHMS)('is lower-case hex: %s', (algorithm) => {
    expect(hashBody(algorithm, BODY)).toBe(digest(algorithm, BODY));
  });

  it('PF-11 is refused where the process has no such digest', () => {
    const missing = 'no-such-digest' as BodyHashAlgorithm;
    const hashing = (algorithm: BodyHashAlgorithm): unknown => {
      try {
        return hashBody(algorithm, BODY);
      } catch (error) {
        return error;
      }
    };
    const refusal = hashing(missing);
    expect(refusal).toBeInstanceOf(ServiceTokenRefusedError);
    expect(refusal).toMatchObject({
      code: 'body_unverifiable',
      detail: 'this process has no no-such-digest',
      cause: { message: expect.stringMatching(/digest/i) as string },
    });
    expect(hashing('sha256')).toBe(digest('sha256', BODY));
  });

  it('fails as itself where something else is wrong', () => {
    const noBytes = 5 as unknown as Uint8Array;
    expect(() => hashBody('sha256', noBytes)).toThrow(/"input" argument/);
  });
});

describe('the digest that a token claims for a body', () => {
  const headersWith = (claims: object): string[] => {
    const attempt = withParts(BASELINE, { ...POSTED, claims: { ...claims } });
    return ['JWT', tokenFor(attempt, NOW_SECONDS)];
  };

  it.each(ALGORITHMS)('is told before anything is verified: %s', (algorithm) => {
    const headers = headersWith({ bdy: digest(algorithm, BODY) });
    expect(readUnverifiedBodyHash(headers)).toBe(algorithm);
  });

  it('is unknown where there is no token, no readable one, or no claim', () => {
    expect(readUnverifiedBodyHash([])).toBeUndefined();
    expect(readUnverifiedBodyHash(['JWT', 'x.y.z'])).toBeUndefined();
    expect(readUnverifiedBodyHash(headersWith({ bdy: undefined }))).toBeUndefined();
    expect(readUnverifiedBodyHash(headersWith({ bdy: 'x' }))).toBeUndefined();
    expect(readUnverifiedBodyHash(headersWith({}))).toBe('sha256');
  });

  it('fails as itself where it is asked nonsense', () => {
    expect(() => readUnverifiedBodyHash(undefined as unknown as string[])).toThrow(TypeError);
  });
});
