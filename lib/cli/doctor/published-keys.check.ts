import type { SendingSettings, ServiceAuthSettings } from '../../core/index.js';
import { fetchJwkSetFrom } from '../../keys/fetch-jwk-set.js';
import { JwkSetError, readJwkSet } from '../../keys/jwk-set.js';
import { defaultKeyUrl } from '../../keys/key-source.js';
import { codeOf } from '../key-files.js';
import { type Check, fail, ok, warn } from './check.js';

const NAME = 'published keys';

/**
 * Checks that receivers that fetch this service's keys find the signing key.
 *
 * @param publishedAt the URL of the key set; default: the default URL of receivers, under the issuer
 */
export async function checkPublishedKeys(
  { issuer, sending }: ServiceAuthSettings,
  publishedAt: string | undefined,
): Promise<Check[]> {
  if (!sending) return [];
  if (!sending.publishedKeys && publishedAt === undefined) {
    const advice =
      "give every receiver the public key as `publicKey`, or remove `publishedKeys: 'off'`";
    return [warn(NAME, 'they are off: receivers cannot fetch them', advice)];
  }
  return [await compareWith(publishedAt ?? defaultKeyUrl(issuer), sending)];
}

async function compareWith(url: string, { signingKeys }: SendingSettings): Promise<Check> {
  const { keyId } = signingKeys.current();
  try {
    const { bytes } = await fetchJwkSetFrom(url)(undefined, new AbortController().signal);
    const { keys } = await readJwkSet(bytes ?? new Uint8Array(), undefined);
    if (keys.has(keyId)) return ok(NAME, `${url} lists ${keyId}`);
    const advice =
      'deploy the service with this key, and withdraw the other only when it is published';
    return fail(NAME, `${url} does not list ${keyId}, which signs`, advice);
  } catch (error) {
    const why = error instanceof JwkSetError ? error.message : reasonOf(error);
    const advice =
      'start the service and look whether its issuer URI leads to it from where receivers are; ' +
      'where keys are somewhere else, say --published-at';
    return warn(NAME, `${url} cannot be compared: ${why}`, advice);
  }
}

function reasonOf(error: unknown): string {
  const { cause = error } = Object(error) as { cause?: unknown };
  return `no answer (${codeOf(cause)})`;
}
