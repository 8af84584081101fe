import { type RoutePolicy, ServiceAuthError, ServiceAuthUsageError } from '../core/index.js';
import { type Flaw, FLAWS } from './flaws.js';
import { GRANT_FLAWS, type GrantFlaw, isGrantFlaw } from './grant-flaws.js';

/** Has the service under test verify a flawed request or message. */
type Verify = (policy: RoutePolicy) => Promise<unknown>;

/**
 * Asserts that the service under test refuses a request or a message because of its flaw. A test of a refusal must not
 * pass, or fail, for another reason than the one it names.
 *
 * @throws ServiceAuthUsageError if it is accepted, or refused with another code
 */
export async function assertRefused(flaw: Flaw | GrantFlaw, verify: Verify): Promise<void> {
  // As a route that requires proof, since the application decides which issuers need none.
  const policy = isGrantFlaw(flaw) ? { proof: {} } : {};
  if (flaw === 'replayed') await refusalBy(verify, policy);
  const code = await refusalBy(verify, policy);
  const expected = isGrantFlaw(flaw) ? GRANT_FLAWS[flaw] : FLAWS[flaw];
  if (code === expected) return;
  const instead = code === undefined ? 'it is accepted' : `it is refused with ${code}`;
  throw new ServiceAuthUsageError(
    `This request cannot be refused as '${flaw}' (${expected}): ${instead}.`,
  );
}

/** The code of the refusal; undefined if it is accepted, which uses its token. */
async function refusalBy(verify: Verify, policy: RoutePolicy): Promise<string | undefined> {
  try {
    await verify(policy);
    return undefined;
  } catch (error) {
    if (error instanceof ServiceAuthError) return error.code;
    throw error;
  }
}
