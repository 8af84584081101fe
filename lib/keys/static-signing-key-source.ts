import {
  type Algorithm,
  ServiceAuthConfigError,
  type SigningKeyOptions,
  type SigningKeySource,
} from '../core/index.js';
import {
  type CheckedKey,
  collect,
  fail,
  importFor,
  ownOptions,
  readKey,
  thumbprintOf,
} from './key-material.js';
import { readKeyId } from './static-key-source.js';

const NAMES = ['privateKey', 'algorithm', 'keyId'] as const satisfies (keyof SigningKeyOptions)[];

/**
 * The one key that the configuration holds, imported once.
 *
 * @throws ServiceAuthConfigError without any key material in it
 */
export async function createStaticSigningKeySource(
  options: SigningKeyOptions,
): Promise<SigningKeySource> {
  if (typeof options !== 'object' || options === null) {
    throw new ServiceAuthConfigError(['privateKey: write signingKey as { privateKey }']);
  }
  const problems: string[] = [];
  const own = ownOptions(options, NAMES, '', problems);
  const checked = collect(problems, () => readKey(own.privateKey, 'private', 'privateKey'));
  const keyId = collect(problems, () => readKeyId(own.keyId ?? checked?.kid, 'keyId'));
  const algorithm = checked && collect(problems, () => chooseAlgorithm(checked, own.algorithm));
  if (!checked || !algorithm || problems.length > 0) throw new ServiceAuthConfigError(problems);
  const signingKey = Object.freeze({
    keyId: keyId ?? (await thumbprintOf(checked.key)),
    algorithm,
    key: await importFor(checked, algorithm),
  });
  return { current: () => signingKey };
}

function chooseAlgorithm(checked: CheckedKey, wanted: unknown): Algorithm {
  const name =
    wanted ?? checked.alg ?? (checked.fitting.includes('EdDSA') ? 'EdDSA' : checked.fitting[0]);
  const chosen = checked.fitting.find((fitting) => fitting === name);
  return chosen ?? fail('algorithm', `write one that fits the key: ${checked.fitting.join(', ')}`);
}
