import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Algorithm, ALGORITHMS, type SigningKey } from '../core/index.js';
import { createSigningKeySource } from '../keys/signing-key-source.js';

/** A key pair that exists only while the tests run. */
export interface ThrowAwayKey {
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Creates a key pair that fits an algorithm. */
export function createThrowAwayKey(algorithm: Algorithm): ThrowAwayKey {
  return { algorithm, ...generate(algorithm) };
}

function generate(algorithm: Algorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  const { keyType, namedCurve = '' } = ALGORITHMS[algorithm];
  if (keyType === 'ec') return generateKeyPairSync('ec', { namedCurve });
  if (keyType === 'ed25519') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** The key in the form of the library's signer. */
export async function toSigningKey({ privateKey, algorithm }: ThrowAwayKey): Promise<SigningKey> {
  const source = await createSigningKeySource(
    { privateKey, algorithm },
    { observer: { observe: () => undefined }, now: () => 0 },
  );
  return source.current();
}

/** One key pair for each service that a test knows, created on first use. */
export class ThrowAwayKeys {
  private readonly byIssuer = new Map<string, ThrowAwayKey>();

  /** Every service that has a key here. */
  issuers(): readonly string[] {
    return [...this.byIssuer.keys()];
  }

  /** @param admitted the algorithms that the key may have. Default: its own, or ES256 */
  keyOf(issuer: string, admitted: readonly Algorithm[] = []): ThrowAwayKey {
    const known = this.byIssuer.get(issuer);
    if (known && (admitted.length === 0 || admitted.includes(known.algorithm))) return known;
    const key = createThrowAwayKey(admitted[0] ?? 'ES256');
    this.byIssuer.set(issuer, key);
    return key;
  }
}
