/** A command's view of its process, so that no command reads the environment or the clock itself. */
export interface Terminal {
  /** Writes to standard output: the result. */
  out(text: string | Uint8Array): void;
  /** Writes to standard error: comments on the result. */
  err(text: string): void;
  /** From now on, standard output of other code goes to standard error. */
  divertOthers(): void;
  /** Reads all of standard input. */
  readInput(): Promise<Buffer>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Whether standard output is a screen. Control characters in text of others must not reach it. */
  readonly isScreen: boolean;
  /** Whether colours are wanted. */
  readonly hasColours: boolean;
}

const ESCAPES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const;

/** Gives a text a colour, if colours are wanted. */
export function paint(terminal: Terminal, style: keyof typeof ESCAPES, text: string): string {
  return terminal.hasColours ? `\u001b[${ESCAPES[style]}m${text}\u001b[0m` : text;
}

/** Control, format and line separator characters, which can move a cursor or reverse a line. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text of others, safe to print in one line: nothing in it can control the terminal. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, escapeCharacter);
}

/** The same for text of several lines. */
export function visibleLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(visible).join('\t'))
    .join('\n');
}

function escapeCharacter(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

/** Writes one JSON value, for programs. */
export function writeJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value, null, 2)}\n`);
}
