import type { JsonWebKey } from 'node:crypto';
import {
  createServiceAuth,
  type ServiceAuth,
  ServiceSigningError,
  type SigningKeyOptions,
} from 'nestjs-service-auth/core';
import { signClaims } from '../../lib/core/token-signature.js';
import { readSigningKeyRing } from '../../lib/keys/signing-key-ring.js';
import { decodeClaims, decodeHeader } from '../support/tokens/forge.js';
import {
  bytesOf,
  readVectors,
  type SigningVector,
  type SigningVectorFile,
} from './vector-files.js';

const { now, signer, vectors } = readVectors<SigningVectorFile>('signing');
const { keys } = readVectors<{ keys: Record<string, JsonWebKey> }>('keys');
const TOKEN_ID = expect.stringMatching(/^[\w-]{32}$/) as unknown;

const signingKeyOf = ({ key, algorithm }: SigningVector): SigningKeyOptions => ({
  privateKey: keys[key] ?? '',
  algorithm,
});

const startSigner = async (vector: SigningVector): Promise<ServiceAuth> =>
  await createServiceAuth({
    ...signer,
    signingKey: signingKeyOf(vector),
    now: () => now * 1000 + 999,
  });

/** The headers as an object, in which the same name in other letters is another member. */
const headersOf = ({ request }: SigningVector): Record<string, string> =>
  Object.fromEntries(request.headers);

async function signed(vector: SigningVector): Promise<string> {
  const service = await startSigner(vector);
  try {
    const { method, url, body, subject, grant } = vector.request;
    const token = await service.sign({
      method,
      url,
      headers: headersOf(vector),
      body: bytesOf(body),
      subject: subject ?? undefined,
      grant: grant ?? undefined,
    });
    return token ?? '';
  } finally {
    service.close();
  }
}

const titled = vectors.map((vector) => [`${vector.id}, ${vector.description}`, vector] as const);

describe('the vectors of signing.json', () => {
  it.each(titled)('%s', async (_title, vector) => {
    const { expected } = vector;
    if (expected.verdict === 'refused') {
      const failure: unknown = await signed(vector).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ServiceSigningError);
      expect(failure).toMatchObject({ code: expected.code });
      return;
    }
    const token = await signed(vector);
    expect(decodeHeader(token)).toEqual(expected.header);
    const jti = 'jti' in expected.claims ? { jti: TOKEN_ID } : {};
    expect(decodeClaims(token)).toEqual({ ...expected.claims, ...jti });
  });

  const deterministic = titled.filter(
    ([, { algorithm, expected }]) => expected.verdict === 'signed' && /^(Ed|RS)/.test(algorithm),
  );
  it.each(deterministic)('%s: the very token', async (_title, vector) => {
    const { expected } = vector;
    if (expected.verdict !== 'signed') throw new Error('nothing is signed');
    const { current } = await readSigningKeyRing(signingKeyOf(vector));
    const { typ, kid } = expected.header as { typ: string; kid?: string };
    const token = await signClaims(
      expected.claims,
      kid === undefined ? { typ } : { typ, kid },
      current,
    );
    expect(token).toBe(expected.token);
  });
});
