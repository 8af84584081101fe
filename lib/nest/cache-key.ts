import { createHash } from 'node:crypto';

/**
 * An opaque text for these parts, in this order: equal for equal parts, different otherwise. It does not reveal them.
 *
 * @param parts undefined for a missing part, which differs from every text
 */
export function digestOf(...parts: readonly (string | undefined)[]): string {
  // JSON keeps the parts apart. It also distinguishes lone surrogates, which UTF-8 does not.
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
