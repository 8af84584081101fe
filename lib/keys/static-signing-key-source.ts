import {
  type Algorithm,
  ServiceAuthConfigError,
  type SigningKeyOptions,
  type SigningKeySource,
} from '../core/index.js';
import { type CheckedKey, fail, importFor, readKey, thumbprintOf } from './key-material.js';
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
  const stranger = Object.keys(options).find((name) => !NAMES.some((known) => known === name));
  if (stranger !== undefined) fail(stranger, 'unknown option; remove it');
  const checked = readKey(options.privateKey, 'private', 'privateKey');
  const algorithm = chooseAlgorithm(checked, options.algorithm);
  const signingKey = Object.freeze({
    keyId: readKeyId(options.keyId, '') ?? checked.kid ?? (await thumbprintOf(checked.key)),
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
