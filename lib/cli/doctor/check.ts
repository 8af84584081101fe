/** One line of the report: the check, its result, and what to do. */
export interface Check {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do; null if nothing needs to be done. */
  readonly advice: string | null;
}

/** The check passed. */
export function ok(check: string, message: string): Check {
  return { check, status: 'ok', message, advice: null };
}

/** It works, but somebody should know. */
export function warn(check: string, message: string, advice: string): Check {
  return { check, status: 'warn', message, advice };
}

/** It does not work. */
export function fail(check: string, message: string, advice: string): Check {
  return { check, status: 'fail', message, advice };
}
