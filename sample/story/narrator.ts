import type { Hop } from './messages.js';

const LABEL_WIDTH = 26;
const REQUEST_WIDTH = 58;

/** Tells the story on the terminal, and counts what did not go as it should. */
export class Narrator {
  private differing = 0;

  constructor(private readonly write: (line: string) => void = console.log) {}

  heading(text: string): void {
    this.write(`\n${text}`);
  }

  /** A name and what there is to say about it. */
  fact(label: string, text: string): void {
    this.write(`  ${label.padEnd(LABEL_WIDTH)}${text}`);
  }

  /** A request and its answer, which should be `expected`. */
  exchange(label: string, request: string, answer: string, expected: string): void {
    const verdict = answer === expected ? '' : `   DIFFERS: should be ${expected}`;
    if (verdict) this.differing += 1;
    this.write(
      `  ${label.padEnd(LABEL_WIDTH)}${shorten(request).padEnd(REQUEST_WIDTH)}${answer}${verdict}`,
    );
  }

  /** The claims of a token, a line each; `expected` ones must be as given, others just be there. */
  claims(claims: Hop['claims'], expected: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(claims ?? {})) {
      this.claim(name, typeof value === 'string' ? value : JSON.stringify(value), expected[name]);
    }
    for (const name of Object.keys(expected).filter((key) => claims?.[key] === undefined)) {
      this.claim(name, '(none)', expected[name]);
    }
  }

  /** Lines of somebody else's text. */
  quote(text: string): void {
    for (const line of text.trimEnd().split(/\r?\n/)) this.write(`  | ${line}`.trimEnd());
  }

  /** Says nothing when all is well. */
  check(what: string, isSo: boolean): void {
    if (isSo) return;
    this.differing += 1;
    this.write(`  DIFFERS: ${what}`);
  }

  /** The last line. Answers whether everything went as it should. */
  concludes(): boolean {
    const things = this.differing === 1 ? '1 thing' : `${this.differing} things`;
    this.heading(
      this.differing === 0
        ? 'Everything went as it should.'
        : `${things} did not go as they should: see DIFFERS.`,
    );
    return this.differing === 0;
  }

  private claim(name: string, value: string, expected: string | undefined): void {
    const differs = expected !== undefined && value !== expected;
    if (differs) this.differing += 1;
    const verdict = differs ? `   DIFFERS: should be ${expected}` : '';
    this.write(`${' '.repeat(LABEL_WIDTH + 2)}${name.padEnd(10)}${value}${verdict}`);
  }
}

function shorten(text: string): string {
  return text.length < REQUEST_WIDTH ? text : `${text.slice(0, REQUEST_WIDTH - 4)}...`;
}
