import { type IncomingRequest, ServiceAuthError, ServiceAuthUsageError } from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';
import { type Flaw, FLAWS } from './flaws.js';

/**
 * Asserts that the service under test refuses a request, and for the flaw it was made with: a test of a refusal
 * must not pass, or fail, for another reason than the one it names.
 *
 * @throws ServiceAuthUsageError where it is accepted, or refused with another code
 */
export async function assertRefused(
  flaw: Flaw,
  request: IncomingRequest,
  service: ServiceAuth,
): Promise<void> {
  if (flaw === 'replayed') await refusalOf(request, service);
  const code = await refusalOf(request, service);
  if (code === FLAWS[flaw]) return;
  const instead = code === undefined ? 'it is accepted' : `it is refused with ${code}`;
  throw new ServiceAuthUsageError(
    `This request cannot be refused as '${flaw}' (${FLAWS[flaw]}): ${instead}.`,
  );
}

/** The code a request is refused with; undefined where it is accepted, which uses its token up. */
async function refusalOf(
  request: IncomingRequest,
  service: ServiceAuth,
): Promise<string | undefined> {
  try {
    await service.verify(request);
    return undefined;
  } catch (error) {
    if (error instanceof ServiceAuthError) return error.code;
    throw error;
  }
}
