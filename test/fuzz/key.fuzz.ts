import assert from 'node:assert/strict';
import {
  ServiceAuthConfigError,
  type SigningKeyOptions,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth/core';
import { readSigningKeyRing } from '../../lib/keys/signing-key-ring.js';
import { createStaticKeySource } from '../../lib/keys/static-key-source.js';

/** Input: a key as text: PEM, or a JWK, or options with keys in them. */
export async function fuzz(data: Uint8Array): Promise<void> {
  const text = Buffer.from(data).toString();
  const material = parse(text);
  const issuer = { issuer: 'https://herald.service/', publicKey: material };
  await read(material, async () => await createStaticKeySource(issuer as TrustedIssuerOptions));
  await read(material, async () => await readSigningKeyRing({ privateKey: material as string }));
  if (typeof material !== 'object' || material === null) return;
  await read(material, async () => await readSigningKeyRing(material as SigningKeyOptions));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const LONGEST_QUOTE = 16;

/** What is refused is refused with problems that quote no value: the name of an option they may. */
async function read(material: unknown, reading: () => Promise<unknown>): Promise<void> {
  try {
    await reading();
  } catch (error) {
    if (!(error instanceof ServiceAuthConfigError)) throw error;
    assert(error.problems.length > 0);
    const problems = error.problems.filter((problem) => !problem.includes(': unknown option; '));
    for (const secret of stringsIn(material)) {
      const start = secret.slice(0, LONGEST_QUOTE);
      assert(start.length < LONGEST_QUOTE || !problems.join().includes(start), 'a key is quoted');
    }
  }
}

/** Every string in a value of JSON, a text by its lines; names of members left out. */
function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.split('\n').filter((line) => !line.includes('-----'));
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : [];
}
