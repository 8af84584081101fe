import { REFUSALS } from 'nestjs-service-auth';
import { createPaint, type Paint } from './colours.js';
import type { Hop } from './messages.js';

const LABEL_WIDTH = 26;
const REQUEST_WIDTH = 54;
const CLAIM_WIDTH = 38;

/** What a claim of a token or a grant says. */
const MEANINGS: Readonly<Record<string, string>> = {
  iss: 'who signs',
  aud: 'for whom it is meant',
  sub: 'for which user',
  iat: 'signed at, in seconds',
  exp: 'good until',
  jti: 'good once',
  req: 'for this call alone',
  hdr: 'and these headers',
  bdy: 'the SHA-256 of the body',
  ans: 'wants a signed answer',
  tth: 'the hash of the grant, the proof that the user is there',
  txn: 'the id of what the user asked',
  scope: 'what the user asked',
  req_wl: 'who saw the user',
  auth_time: 'when the user logged in',
};

/** Tells the story on the terminal, and counts what did not go as it should. */
export class Narrator {
  private differing = 0;

  constructor(
    private readonly write: (line: string) => void = console.log,
    private readonly paint: Paint = createPaint(process.stdout.isTTY, process.env),
  ) {}

  heading(text: string): void {
    this.write(`\n${this.paint('bold', text)}`);
  }

  /** A name and what there is to say about it. */
  fact(label: string, text: string): void {
    this.write(`  ${this.paint('cyan', label.padEnd(LABEL_WIDTH))}${text}`);
  }

  /** What the reader may want to know besides. */
  note(text: string): void {
    this.write(`  ${' '.repeat(LABEL_WIDTH)}${this.paint('dim', text)}`);
  }

  /** A request and its answer, which should be `expected`. Of a refusal, the sentence of its code follows. */
  exchange(label: string, request: string, answer: string, expected: string): void {
    const isExpected = answer === expected;
    if (!isExpected) this.differing += 1;
    const style = isExpected ? (/^[23]/.test(answer) ? 'green' : 'yellow') : 'red';
    const verdict = isExpected ? '' : this.paint('red', `   DIFFERS: should be ${expected}`);
    const asked = shorten(request, REQUEST_WIDTH).padEnd(REQUEST_WIDTH);
    const name = this.paint('cyan', label.padEnd(LABEL_WIDTH));
    this.write(`  ${name}${asked}${this.paint(style, answer)}${verdict}`);
    const meaning = meaningOf(answer);
    if (meaning !== undefined) this.note(meaning);
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
    for (const line of text.trimEnd().split(/\r?\n/)) {
      this.write(this.paint('dim', `  | ${line}`.trimEnd()));
    }
  }

  /** Says nothing when all is well. */
  check(what: string, isSo: boolean): void {
    if (isSo) return;
    this.differing += 1;
    this.write(this.paint('red', `  DIFFERS: ${what}`));
  }

  /** The last line of a story. Answers whether everything went as it should. */
  concludes(): boolean {
    const things = this.differing === 1 ? '1 thing' : `${this.differing} things`;
    const isGood = this.differing === 0;
    const text = isGood
      ? 'Everything went as it should.'
      : `${things} did not go as they should: see DIFFERS.`;
    this.write(`\n${this.paint(isGood ? 'green' : 'red', text)}`);
    return isGood;
  }

  private claim(name: string, value: string, expected: string | undefined): void {
    const differs = expected !== undefined && value !== expected;
    if (differs) this.differing += 1;
    const verdict = differs ? this.paint('red', `   DIFFERS: should be ${expected}`) : '';
    const shown = (differs ? value : shorten(value, CLAIM_WIDTH)).padEnd(CLAIM_WIDTH);
    const meaning = this.paint('dim', MEANINGS[name] ?? '');
    const margin = ' '.repeat(LABEL_WIDTH + 2);
    this.write(`${margin}${name.padEnd(10)}${shown}${meaning}${verdict}`.trimEnd());
  }
}

/** @param answer such as `401 body_mismatch` */
function meaningOf(answer: string): string | undefined {
  const code = answer.slice(answer.indexOf(' ') + 1);
  return Object.hasOwn(REFUSALS, code)
    ? REFUSALS[code as keyof typeof REFUSALS].message
    : undefined;
}

function shorten(text: string, width: number): string {
  return text.length < width ? text : `${text.slice(0, width - 4)}...`;
}
