import { MAX_CLAIM_VALUES } from '../token-syntax.js';
import { JsonFlaw, readJsonObject, type UnverifiedObject } from '../unambiguous-json.js';
import { isGrantText } from './verify-grant.js';

/** The user and the end of a grant that this service was given and cannot verify. */
export interface UnverifiedGrant {
  readonly subject: string;
  readonly expiresAtSeconds: number;
}

/** Reads the user and the end of a grant; undefined if the text is not a grant. */
export function readUnverifiedGrant(text: string): UnverifiedGrant | undefined {
  const [, payload = ''] = isGrantText(text) ? text.split('.') : [];
  const { sub, exp } = readPayload(payload);
  if (typeof sub !== 'string' || typeof exp !== 'number') return undefined;
  return { subject: sub, expiresAtSeconds: exp };
}

function readPayload(payload: string): UnverifiedObject {
  try {
    return readJsonObject(Buffer.from(payload, 'base64url'), MAX_CLAIM_VALUES);
  } catch (error) {
    if (error instanceof JsonFlaw) return {};
    throw error;
  }
}
