import { type Check, fail, ok, warn } from './check.js';

const NAME = 'clock';
const DEADLINE_MILLISECONDS = 3000;
/** The Date header has whole seconds. */
const RESOLUTION_SECONDS = 1;

export interface ClockParts {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly toleranceSeconds: number;
}

/** Compares this clock with those of other services, by the Date header of their answers (RFC 9110 section 6.6.1). */
export async function checkClocks(urls: readonly string[], parts: ClockParts): Promise<Check[]> {
  const byOrigin = new Map(urls.map((url) => [new URL(url).origin, url]));
  if (byOrigin.size === 0) return [];
  const found = await Promise.all(
    [...byOrigin].map(async ([origin, url]) => await ask(origin, url, parts)),
  );
  const compared = found.flatMap((check) => check ?? []);
  if (compared.length > 0) return compared;
  const advice = 'synchronise it (NTP): tokens live for a minute';
  return [warn(NAME, 'no service answered with a Date to compare with', advice)];
}

/** Undefined without an answer: the check of its keys reports that. */
async function ask(origin: string, url: string, parts: ClockParts): Promise<Check | undefined> {
  const before = parts.now();
  const date = await readDate(url);
  if (date === undefined) return undefined;
  const after = parts.now();
  // Of all possible differences, the one nearest to zero.
  const ahead = Math.max(0, before - (date + RESOLUTION_SECONDS * 1000), date - after) / 1000;
  const side = date > after ? 'behind' : 'ahead of';
  const rounded = `${ahead.toFixed(0)} s`;
  if (ahead > parts.toleranceSeconds) {
    const message = `${rounded} ${side} ${origin}, and ${parts.toleranceSeconds} s are tolerated`;
    return fail(NAME, message, 'synchronise both (NTP)');
  }
  if (ahead > parts.toleranceSeconds / 2) {
    return warn(
      NAME,
      `${rounded} ${side} ${origin}`,
      'synchronise both (NTP) before it gets worse',
    );
  }
  return ok(NAME, `agrees with ${origin}`);
}

async function readDate(url: string): Promise<number | undefined> {
  try {
    const signal = AbortSignal.timeout(DEADLINE_MILLISECONDS);
    const response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal });
    const date = Date.parse(response.headers.get('date') ?? '');
    return Number.isNaN(date) ? undefined : date;
  } catch {
    return undefined;
  }
}
