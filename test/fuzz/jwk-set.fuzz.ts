import assert from 'node:assert/strict';
import { JwkSetError, readJwkSet } from '../../lib/keys/jwk-set.js';
import { isMembers, parseStrictJson } from '../support/properties/strict-json.js';

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** Input: what a key server answers. */
export async function fuzz(data: Uint8Array): Promise<void> {
  const contents = await readJwkSet(data, undefined).catch((error: unknown) => {
    if (error instanceof JwkSetError) return undefined;
    throw error;
  });
  if (contents === undefined) return;
  const set = parseStrictJson(Buffer.from(data).toString());
  assert(isMembers(set) && Array.isArray(set['keys']), 'accepted what is no set');
  const usable = (set['keys'] as unknown[]).filter((key) => isMembers(key) && isPublic(key));
  assert(contents.keys.size <= usable.length, 'more keys than could be used');
  for (const key of contents.keys.values()) {
    assert(key.algorithms.size > 0);
    assert.equal(key.key.type, 'public');
  }
}

function isPublic(jwk: object): boolean {
  const isAsymmetric = ['EC', 'OKP', 'RSA'].includes(String(Reflect.get(jwk, 'kty')));
  return isAsymmetric && !PRIVATE.some((name) => name in jwk);
}
