import assert from 'node:assert/strict';
import { ServiceAuthError } from 'nestjs-service-auth/core';
import { JsonFlaw } from '../../lib/core/unambiguous-json.js';

/** The code something is refused with; undefined when it is accepted. Whatever else is thrown is a finding. */
export function refusalOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

/** The same for what answers later. */
export async function laterRefusalOf(action: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof ServiceAuthError) return error.code;
  if (error instanceof JsonFlaw) return `json_${error.kind}`;
  throw error;
}

/** The library and the oracle say the same: both accept, or both refuse. */
export function assertSameVerdict(refusal: string | undefined, fault: string | undefined): void {
  const agree = (refusal === undefined) === (fault === undefined);
  assert(agree, `the library: ${refusal ?? 'accepted'}; the oracle: ${fault ?? 'accepted'}`);
}
