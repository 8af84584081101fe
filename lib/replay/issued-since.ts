import type { TokenUse } from '../core/index.js';

/**
 * Whether a token says that it was issued within the last `seconds`, even by a clock that is ahead as far as may be. If
 * so, nobody used it before. One that does not say when it was issued may be of any time.
 */
export function isIssuedWithin(seconds: number, use: TokenUse): boolean {
  const { issuedAtSeconds, nowSeconds, clockToleranceSeconds = 0 } = use;
  return (
    issuedAtSeconds !== undefined && issuedAtSeconds > nowSeconds - seconds + clockToleranceSeconds
  );
}
