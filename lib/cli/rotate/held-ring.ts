import { createPublicKey, type JsonWebKey } from 'node:crypto';
import type { SigningKeyOptions, VerificationKey } from '../../core/index.js';
import { originOfFile } from '../../keys/signing-key-origin.js';
import { isRing, readSigningKeyRing, RING_NAMES } from '../../keys/signing-key-ring.js';
import { withConfigProblems } from '../key-files.js';

/** The keys of a key file as JWKs, under the names in a `keyFile`. */
export type RingMembers = Partial<Record<(typeof RING_NAMES)[number], JsonWebKey>>;

/** One key of a key file, and its entry in the published set. */
export interface HeldKey {
  /** With the key id and the algorithm that the service uses. */
  readonly jwk: JsonWebKey;
  readonly keyId: string;
  readonly isPublished: boolean;
}

/** The keys of a key file. `current` signs. */
export type HeldRing = Partial<Record<(typeof RING_NAMES)[number], HeldKey>> & {
  readonly current: HeldKey;
};

/**
 * Reads a key file as the service does: a PEM, a private JWK, or a ring.
 *
 * @param published the keys that receivers fetch, which show the key id and the algorithm from the options of the
 *   service
 * @throws CommandFailure naming the file and the problem, never with any part of a key
 */
export async function readHeldRing(
  path: string,
  published: readonly VerificationKey[],
): Promise<HeldRing> {
  const { written, read } = await withConfigProblems(path, async () => {
    const { options } = await originOfFile({ keyFile: path }).load(undefined);
    const given = options ?? ({} as SigningKeyOptions);
    return { written: given, read: await readSigningKeyRing(given) };
  });
  const wrapped: object = isRing(written) ? written : { current: written };
  const names = RING_NAMES.filter((name) => Reflect.get(wrapped, name) !== undefined);
  // Published in the order of the names, one entry for each existing key.
  const held = names.map((name, at): [string, HeldKey] => {
    const { kid, alg }: Record<string, unknown> = read.published[at] ?? {};
    const material = materialOf(Reflect.get(wrapped, name) as object);
    const jwk = isJwk(material) ? material : read.current.key.export({ format: 'jwk' });
    return [name, hold({ ...jwk, kid, alg, use: 'sig' }, published)];
  });
  return Object.fromEntries(held) as HeldRing;
}

/** The JWKs of a ring, to write to the file. */
export function membersOf(ring: HeldRing): RingMembers {
  const entries = RING_NAMES.flatMap((name) => (ring[name] ? [[name, ring[name].jwk]] : []));
  return Object.fromEntries(entries) as RingMembers;
}

function materialOf(options: object): unknown {
  const { privateKey, publicKey } = options as { privateKey?: unknown; publicKey?: unknown };
  return privateKey ?? publicKey;
}

function isJwk(material: unknown): material is JsonWebKey {
  return typeof material === 'object' && material !== null;
}

/** The published key decides: the options may give a PEM its key id and algorithm. */
function hold(jwk: JsonWebKey, published: readonly VerificationKey[]): HeldKey {
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  const found = published.find(({ key }) => key.equals(publicKey));
  const kid = found?.keyId ?? String(jwk['kid']);
  const [alg = jwk['alg']] = found?.algorithms.size === 1 ? found.algorithms : [];
  return { jwk: { ...jwk, kid, alg }, keyId: kid, isPublished: found !== undefined };
}
