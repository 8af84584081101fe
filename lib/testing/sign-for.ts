import {
  assertOutgoingRequest,
  type ReceivingSettings,
  type SendingSettings,
  type SigningKey,
  signMessage,
  signRequest,
  TokenIds,
} from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';
import type { TestMessage } from './test-message.js';
import type { TestRequest } from './test-request.js';

/** The caller, the called service, the user, and the time. */
export interface Signer {
  readonly issuer: string;
  readonly audience: string;
  readonly subject: string | undefined;
  /** The grant that the token names. */
  readonly grant?: string | undefined;
  readonly key: SigningKey;
  readonly now: () => number;
}

/** The default lifetime of senders. */
const LIFETIME_SECONDS = 60;

/** The signer uses only the path; the audience decides the host. */
const ORIGIN = 'http://localhost';

/**
 * Signs a request as a service under test expects of its issuer: in the profile, for the public path, with the
 * required headers. It uses the signer of the library, so the kit cannot differ from it.
 *
 * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
 */
export async function signFor(
  { receiving }: ServiceAuth,
  { method, target, headers, bytes }: TestRequest,
  { issuer, audience, subject, grant, key, now }: Signer,
): Promise<string> {
  const trusted = await receiving.trustedIssuers.find(issuer);
  const profile = trusted?.profile ?? 'strict';
  const url = new URL(ORIGIN + receiving.publicPathPrefix + target);
  const request = { method, url, headers, body: bytes, subject, grant };
  assertOutgoingRequest(request);
  const destination = {
    target: { origin: ORIGIN, pathPrefix: '/', audience, profile, ...SIGNED },
    path: url.pathname + url.search,
    host: url.host,
  };
  const sending = sendingSettings(key, receiving);
  return await signRequest(request, destination, {
    issuer,
    now,
    sending,
    tokenIds: new TokenIds(now),
  });
}

/**
 * Signs a message or a job as a service under test expects it, with the signer of the library.
 *
 * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
 */
export async function signMessageFor(
  { receiving }: ServiceAuth,
  { verb, route, text, delaySeconds }: TestMessage,
  { issuer, audience, subject, grant, key, now }: Signer,
): Promise<string> {
  const message = { verb, route, text, delaySeconds, subject, grant };
  const signer = {
    issuer,
    now,
    sending: sendingSettings(key, receiving),
    tokenIds: new TokenIds(now),
  };
  const { token } = await signMessage(message, { audience, grants: SIGNED.grants }, signer);
  return token;
}

const SIGNED = { signing: 'required', grants: 'send' } as const;

function sendingSettings(key: SigningKey, receiving: ReceivingSettings): SendingSettings {
  const { maxTokenLifetimeSeconds, requiredHeaders, maxBufferedBodyBytes } = receiving;
  return {
    signingKeys: {
      current: () => key,
      published: () => [],
      refreshIfDue: () => undefined,
      close: () => undefined,
    },
    publishedKeys: undefined,
    targets: [],
    unknownTargets: 'refuse',
    messageLifetimeSeconds: 600,
    jobLifetimeSeconds: 3600,
    tokenLifetimeSeconds: Math.min(LIFETIME_SECONDS, maxTokenLifetimeSeconds.strict),
    signedHeaders: requiredHeaders,
    subjectOutsideRequest: 'refuse',
    maxBufferedBodyBytes,
    trustDomain: receiving.grants?.trustDomain,
    originate: undefined,
  };
}
