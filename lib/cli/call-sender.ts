import {
  type Profile,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
  SIGNED_HEADERS,
} from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { loadOptions } from './configuration-module.js';
import { failImpossible, failUsage } from './exit-codes.js';
import { readAlgorithm } from './key-files.js';

/** Signs as the service whose key it has. */
export type CallSender = Pick<ServiceAuth, 'sign' | 'close'>;

/** The options of the command line about the signer and the audience. */
export interface SenderOptions {
  readonly config?: string;
  readonly issuer?: string;
  readonly key?: string;
  readonly algorithm?: string;
  readonly keyId?: string;
  readonly audience?: string;
  readonly profile: Profile;
  readonly signHeader: readonly string[];
}

/** Grants are sent if a trust domain is set. Only receivers compare its name. */
const TRUST_DOMAIN = 'https://trust-domain.invalid/';

/** The options of a service that signing needs; the others are for receiving. */
const SENDING_OPTIONS = [
  'issuer',
  'signingKey',
  'targets',
  'unknownTargets',
  'trustDomain',
  'signedHeaders',
  'tokenLifetimeSeconds',
] as const satisfies (keyof ServiceAuthOptions)[];

/**
 * Creates the signer of the call, from options on the command line, or from those of a service.
 *
 * @throws CommandFailure naming the option to change
 */
export async function openSender(
  url: string,
  options: SenderOptions,
  now: () => number,
): Promise<CallSender> {
  const { config, issuer, key } = options;
  const { origin } = new URL(url);
  const written = config === undefined ? {} : await takeSending(config);
  const target = {
    baseUrl: origin,
    audience: options.audience ?? `${origin}/`,
    profile: options.profile,
  };
  const isOwnTarget = config === undefined || options.audience !== undefined;
  const signedHeaders = options.signHeader.filter((name) => !isSigned(name));
  return await open(config, {
    ...written,
    ...(issuer === undefined ? {} : { issuer }),
    ...(key === undefined ? {} : { signingKey: keyOf(key, options) }),
    ...(isOwnTarget ? { targets: [target] } : {}),
    ...(config === undefined ? { trustDomain: TRUST_DOMAIN } : {}),
    ...(signedHeaders.length > 0 ? { signedHeaders } : {}),
    now,
  });
}

/** Headers that the token already binds, and the token itself. */
function isSigned(name: string): boolean {
  return SIGNED_HEADERS.some((signed) => signed === name.toLowerCase());
}

async function takeSending(config: string): Promise<Partial<ServiceAuthOptions>> {
  const options = await loadOptions(config);
  const names = SENDING_OPTIONS.filter((name) => Object.hasOwn(options, name));
  return Object.fromEntries(names.map((name) => [name, options[name]]));
}

function keyOf(keyFile: string, { algorithm, keyId }: SenderOptions) {
  return { keyFile, algorithm: readAlgorithm(algorithm), keyId };
}

async function open(
  config: string | undefined,
  options: Partial<ServiceAuthOptions>,
): Promise<ServiceAuth> {
  if (options.issuer === undefined)
    failUsage('say who calls: --issuer <uri>, or --config <module>');
  if (options.signingKey === undefined)
    failUsage('say what signs: --key <file>, or --config <module>');
  try {
    // `issuer` is set: it was checked above.
    return await createServiceAuth({ ...options, issuer: options.issuer });
  } catch (error) {
    if (!(error instanceof ServiceAuthConfigError)) throw error;
    if (config !== undefined) failImpossible(`${config}: ${error.problems.join('; ')}`);
    const problems = error.problems.map(nameOption);
    const isTyped = problems.some((problem) => !problem.startsWith('--key:'));
    return (isTyped ? failUsage : failImpossible)(problems.join('; '));
  }
}

/** The option of the command line that a field of the configuration came from. */
function nameOption(problem: string): string {
  return problem
    .replace(/^targets\[0\]\.audience:/, '--audience:')
    .replace(/^targets\[0\]\.baseUrl:/, 'the URL:')
    .replace(/^signingKey\.algorithm:/, '--algorithm:')
    .replace(/^signingKey\.keyId:/, '--key-id:')
    .replace(/^signingKey\.(?:keyFile|privateKey):/, '--key:')
    .replace(/^signedHeaders\[\d+\]:/, '--sign-header:')
    .replace(/^issuer:/, '--issuer:');
}
