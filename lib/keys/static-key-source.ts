import { types } from 'node:util';
import {
  type Algorithm,
  isAlgorithm,
  type KeySource,
  OptionReader,
  ProblemList,
  type PublicKeyOptions,
  ServiceAuthConfigError,
  type KeySourceOptions,
  type VerificationKey,
} from '../core/index.js';
import { type CheckedKey, fail, readKey, readKeyId, thumbprintOf } from './key-material.js';

/**
 * The configured keys of an issuer, imported once.
 *
 * @throws ServiceAuthConfigError listing every unacceptable key
 */
export async function createStaticKeySource(options: KeySourceOptions): Promise<KeySource> {
  const entries = listEntries(options);
  const problems = new ProblemList();
  const byId = new Map<string, VerificationKey>();
  for (const { field, entry } of entries) {
    const read = async () => await readVerificationKey(entry, field, options.algorithms);
    const key = await problems.attempt(read);
    if (key && byId.has(key.keyId)) {
      problems.add(field, 'has the key id of another key; give each its own keyId');
    } else if (key) byId.set(key.keyId, key);
  }
  problems.assertNone();
  const [only] = byId.size === 1 ? byId.values() : [];
  return {
    find: (keyId) => (keyId === undefined ? only : byId.get(keyId)),
    assertUsable: () => undefined,
    refreshIfDue: () => undefined,
    settled: async () => undefined,
    health: () => ({ status: 'static', keyIds: [...byId.keys()] }),
    close: () => undefined,
  };
}

const ENTRY_NAMES = [
  'publicKey',
  'algorithms',
  'keyId',
] as const satisfies (keyof PublicKeyOptions)[];

interface Entry {
  readonly field: string;
  readonly entry: PublicKeyOptions;
}

function listEntries({ publicKey, keys }: KeySourceOptions): Entry[] {
  if (publicKey !== undefined && keys !== undefined)
    fail('keys', 'set publicKey or keys, not both');
  if (publicKey !== undefined) return [{ field: 'publicKey', entry: { publicKey } }];
  if (!Array.isArray(keys) || keys.length === 0) fail('publicKey', "set the service's public key");
  return keys.map((item: unknown, at) => {
    const isOptions = typeof item === 'object' && item !== null && Object.hasOwn(item, 'publicKey');
    const wrapped = isOptions && !types.isKeyObject(item);
    return {
      field: `keys[${at}]`,
      entry: (wrapped ? item : { publicKey: item }) as PublicKeyOptions,
    };
  });
}

/**
 * Reads one key of an issuer, once at start, so that no request pays for it.
 *
 * @throws ServiceAuthConfigError with one problem on `field`
 */
export async function readVerificationKey(
  entry: PublicKeyOptions,
  field: string,
  issuerAlgorithms: readonly Algorithm[] | undefined,
): Promise<VerificationKey> {
  const found = new ProblemList();
  const own = new OptionReader(entry, ENTRY_NAMES, found.under(field));
  const checked = await found.attempt(() => readKey(own.raw('publicKey'), 'public', field));
  const keyId = await found.attempt(() =>
    readKeyId(own.raw('keyId') ?? checked?.kid, `${field}.keyId`),
  );
  const allowed = await found.attempt(() => readAlgorithms(own.raw('algorithms'), field));
  const isGood = checked && found.problems.length === 0;
  const chosen =
    isGood &&
    (await found.attempt(() => chooseAlgorithms(checked, field, allowed ?? issuerAlgorithms)));
  if (!checked || !chosen) throw new ServiceAuthConfigError(found.problems);
  const { key } = checked;
  const algorithms = new Set(chosen);
  return Object.freeze({ keyId: keyId ?? (await thumbprintOf(key)), key, algorithms });
}

function readAlgorithms(value: unknown, field: string): readonly Algorithm[] | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.length > 0 && value.every(isAlgorithm)) return value;
  return fail(`${field}.algorithms`, 'write a list of asymmetric algorithms, such as ES256');
}

/** The JWK's `alg` counts; without it, the configured list; without a list, the algorithms that fit the key. */
function chooseAlgorithms(
  checked: CheckedKey,
  field: string,
  configured: readonly Algorithm[] | undefined,
): readonly Algorithm[] {
  const isRsa = checked.key.asymmetricKeyType === 'rsa';
  const byDefault = isRsa ? checked.fitting.slice(0, 1) : checked.fitting;
  const named = checked.alg === undefined ? (configured ?? byDefault) : [checked.alg];
  const chosen = checked.fitting.filter(
    (name) => named.includes(name) && (configured?.includes(name) ?? true),
  );
  return chosen.length > 0
    ? chosen
    : fail(field, 'its algorithm is not among the algorithms allowed');
}
