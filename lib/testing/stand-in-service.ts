import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { CALLER, SERVICE } from './test-options.js';
import type { TestClock } from './test-clock.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** Whom a service that stands in trusts, and as what it is called. */
interface StandInParts {
  readonly keys: ThrowAwayKeys;
  readonly clock: TestClock;
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
}

/** A service that verifies what one caller signs, where a test makes no application. Close it. */
export async function createStandInService(parts: StandInParts): Promise<ServiceAuth> {
  const { keys, clock, issuer = CALLER, audience = SERVICE } = parts;
  const { publicKey } = keys.keyOf(issuer);
  return await createServiceAuth({
    issuer: audience,
    trustedIssuers: [{ issuer, publicKey }],
    now: clock.now,
  });
}
