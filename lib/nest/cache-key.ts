import { createHash } from 'node:crypto';

/**
 * An opaque text for these parts, in this order: equal for equal parts, and otherwise different. It does not show them.
 *
 * @param parts undefined where there is none, which differs from every text
 */
export function digestOf(...parts: readonly (string | undefined)[]): string {
  // JSON keeps the parts apart, and tells a lone surrogate from another one, which UTF-8 does not.
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
