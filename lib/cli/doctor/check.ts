/** One line of the report: what was looked at, how it stands, and what to do about it. */
export interface Check {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do; null where nothing is to be done. */
  readonly advice: string | null;
}

/** It is as it should be. */
export function ok(check: string, message: string): Check {
  return { check, status: 'ok', message, advice: null };
}

/** It works, and somebody should know. */
export function warn(check: string, message: string, advice: string): Check {
  return { check, status: 'warn', message, advice };
}

/** It does not work. */
export function fail(check: string, message: string, advice: string): Check {
  return { check, status: 'fail', message, advice };
}
