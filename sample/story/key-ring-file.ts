import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { calculateJwkThumbprint, type JWK } from 'jose';

export type NamedJwk = JWK & { readonly kid: string };

/** What Herald's key file holds while its key is rotated: `current` signs, all of them are published. */
export interface KeyRing {
  readonly previous?: NamedJwk;
  readonly current: NamedJwk;
  readonly next?: NamedJwk;
}

export async function ringOf(privatePem: string): Promise<KeyRing> {
  return { current: await toJwk(createPrivateKey(privatePem)) };
}

/** The first step: a next key, which does not sign yet. */
export async function withNext({ current }: KeyRing): Promise<Required<Omit<KeyRing, 'previous'>>> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { current, next: await toJwk(privateKey) };
}

/** The second step: the next key signs. Of the one before it only the public half is needed from now on. */
export function switched({ current, next }: Required<Omit<KeyRing, 'previous'>>): KeyRing {
  const { d: _private, ...previous } = current;
  return { previous, current: next };
}

/** The third step: the one before it is withdrawn. */
export function withdrawn({ current }: KeyRing): KeyRing {
  return { current };
}

/** Replaces the file as a whole, so that nobody ever reads half of it. */
export function writeKeyRing(file: string, ring: KeyRing): void {
  const draft = `${file}.new`;
  writeFileSync(draft, `${JSON.stringify(ring, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

async function toJwk(privateKey: KeyObject): Promise<NamedJwk> {
  const jwk = privateKey.export({ format: 'jwk' }) as JWK;
  return { ...jwk, kid: await calculateJwkThumbprint(jwk) };
}
