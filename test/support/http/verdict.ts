/** What a test wants to know of an answer, however it was read off the wire. */
export interface Verdict {
  readonly status: number;
  /** The stable code of a refusal. */
  readonly code?: unknown;
}

/**
 * Asserts the status, and the code where `expected` names one. Fails in the words by which the attack
 * report counts: let in or kept out in error, or kept out for another reason than the one expected.
 */
export function expectVerdict(actual: Verdict, expected: Verdict): void {
  const isAsExpected =
    actual.status === expected.status && (!('code' in expected) || actual.code === expected.code);
  if (isAsExpected) return;
  const [was, wanted] = [actual, expected].map(({ status, code }) => `${status} ${String(code)}`);
  throw new Error(`${mistakeOf(actual, expected)}: ${was}, and not ${wanted}`);
}

function mistakeOf(actual: Verdict, expected: Verdict): string {
  if (isRefusal(actual) === isRefusal(expected)) return 'Wrong code';
  return isRefusal(actual) ? 'Wrongly refused' : 'Wrongly accepted';
}

const isRefusal = ({ status }: Verdict): boolean => status >= 400;

/** The statuses of all answers that came over one socket, in their order. */
export function rawStatuses(answer: string): number[] {
  return [...answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
}

/** The verdict of the one answer that came over a socket. */
export function rawVerdict(answer: string): Verdict {
  const [status, ...others] = rawStatuses(answer);
  if (status === undefined || others.length > 0) throw new Error(`not one answer: ${answer}`);
  return { status, code: /"code":"(\w+)"/.exec(answer)?.[1] };
}
