import type { CallTransport } from '../../core/index.js';

/** One entry of the log: a sentence for people, and the same facts as members for programs. */
export interface Line {
  readonly level: 'verbose' | 'debug' | 'log' | 'warn';
  /** What happened, to whom, what the service does about it, and what to do. */
  readonly text: string;
  readonly fields: LineFields;
}

/** Members of a line in a JSON log, besides its `message`; undefined members are omitted. */
export type LineFields = Readonly<Record<string, string | number | boolean | undefined>>;

const MINUTE_MILLISECONDS = 60_000;

/** The longest time that a line is held back, in milliseconds. */
export const HELD_BACK_MILLISECONDS = MINUTE_MILLISECONDS;

const NOUNS = { http: 'request', messages: 'message', jobs: 'job' } as const;

/** `request`, `message` or `job`; `call` if it may be any of them. */
export function nounOf(transport: CallTransport | undefined): string {
  return transport === undefined ? 'call' : NOUNS[transport];
}

/** `1 request`, `312 jobs`; `312 calls` if they may be of several kinds. */
export function counted(count: number, transport?: CallTransport): string {
  const noun = nounOf(transport);
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}

/** The sentence about the calls of an outage that is over. They may be of all kinds. */
export function countsOf(code: string, refused: number, acceptedUnchecked: number): string {
  if (refused === 0 && acceptedUnchecked === 0) return 'It affected no call.';
  if (refused === 0) return `Accepted ${counted(acceptedUnchecked)} unchecked meanwhile.`;
  const unchecked =
    acceptedUnchecked > 0 ? `, and accepted ${counted(acceptedUnchecked)} unchecked` : '';
  return `Could not decide ${counted(refused)} meanwhile (503 ${code})${unchecked}.`;
}

/** The time span of a count: `the last minute`, unless a clock jumped. */
export function lastMinutes(milliseconds: number): string {
  const minutes = Math.round(milliseconds / MINUTE_MILLISECONDS);
  return minutes > 1 ? `the last ${minutes} minutes` : 'the last minute';
}

/** `185 s`, `12 min` from five minutes on, `3 h` from five hours on. */
export function durationText(milliseconds: number): string {
  const minutes = milliseconds / MINUTE_MILLISECONDS;
  if (minutes < 5) return `${Math.round(milliseconds / 1000)} s`;
  return minutes < 300 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`;
}

/** A sentence with a full stop, unless it already has an end. */
export function ended(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** Removes line breaks: reasons quote other systems, such as Redis, and must not look like a separate line. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '\u{fffd}');
}
