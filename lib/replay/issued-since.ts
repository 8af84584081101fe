import type { TokenUse } from '../core/index.js';

/**
 * Whether a token was issued within the last `seconds`, even by a clock that is ahead as far as allowed. If so, it
 * was not used before that time. A token without `iat` may be from any time.
 */
export function isIssuedWithin(seconds: number, use: TokenUse): boolean {
  const { issuedAtSeconds, nowSeconds, clockToleranceSeconds = 0 } = use;
  return (
    issuedAtSeconds !== undefined && issuedAtSeconds > nowSeconds - seconds + clockToleranceSeconds
  );
}
