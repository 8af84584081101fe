import type { ServiceAuthOptions } from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { widestPrefix } from './test-grant.js';
import { CALLER, ORIGINATOR, SERVICE, TRUST_DOMAIN } from './test-options.js';
import type { TestClock } from './test-clock.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** The trusted caller of a stand-in service, and its own name. */
interface StandInParts {
  readonly keys: ThrowAwayKeys;
  readonly clock: TestClock;
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  /** The user of a grant, and its originator. */
  readonly vouched: { readonly subject: string; readonly originator?: string } | undefined;
}

/** Creates a service that verifies the requests of one caller, for tests without an application. Close it. */
export async function createStandInService(parts: StandInParts): Promise<ServiceAuth> {
  const { keys, clock, issuer = CALLER, audience = SERVICE, vouched } = parts;
  const { publicKey } = keys.keyOf(issuer);
  return await createServiceAuth({
    issuer: audience,
    trustedIssuers: [{ issuer, publicKey, subjectProof: vouched && { mode: 'off' } }],
    now: clock.now,
    ...(vouched && believing(vouched, keys)),
  });
}

/** The originators of the service. */
function believing(
  { subject, originator: issuer = ORIGINATOR }: NonNullable<StandInParts['vouched']>,
  keys: ThrowAwayKeys,
): Pick<ServiceAuthOptions, 'trustDomain' | 'originators'> {
  const { publicKey } = keys.keyOf(issuer);
  const originators = [{ issuer, publicKey, subjects: [widestPrefix(subject)] }];
  return { trustDomain: TRUST_DOMAIN, originators };
}
