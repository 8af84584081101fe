import { hash } from 'node:crypto';
import fc from 'fast-check';

/** JSON texts at random, and what the protocol says of each, written without the code under test. */

const digits = fc.stringMatching(/^(?:0|[1-9]\d{0,24})$/);
const fraction = fc.stringMatching(/^\.\d{1,30}$/);
const exponent = fc.stringMatching(/^[eE][+-]?\d{1,4}$/);
const anyNumber = fc
  .tuple(fc.boolean(), digits, fc.option(fraction), fc.option(exponent))
  .map(
    ([isNegative, whole, part, power]) =>
      `${isNegative ? '-' : ''}${whole}${part ?? ''}${power ?? ''}`,
  );

/** Texts that are read, or written, as one and the same thing by a careless reader. */
const LOOKALIKES = [
  ['null', '1e999', '-1e999', '1.7976931348623157e308', '1.7976931348623159e308'],
  ['0', '-0', '0.0', '-0.0', '0e9', '-0e-9', '1e-400', '-1e-400', '5e-324', '-2e-324'],
  ['1', '1.0', '1e0', '10e-1', '9007199254740993', '9007199254740992', '1e21', '1E+21'],
  ['"\\u0061"', '"a"', '"\\/"', '"/"', '"\\ud83d"', '"\\uD83D"', '[]', '[ ]', '{}'],
];
const lookalike = fc.constantFrom(...LOOKALIKES.flat());

const character = fc.oneof(
  fc.stringMatching(/^[\u0020!#-[\]-\u007e\u00e9\u2028\u{1f600}]$/u),
  fc.constantFrom('\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'),
  fc.stringMatching(/^[0-9a-fA-F]{4}$/).map((hex) => `\\u${hex}`),
);
const string = fc.array(character, { maxLength: 8 }).map((parts) => `"${parts.join('')}"`);
const name = fc.oneof(
  string,
  fc.constantFrom('"a"', '"\\u0061"', '"__proto__"', '"2"', '"10"', '"-0"', '"toJSON"'),
  fc.constantFrom('"constructor"', '"4294967294"', '"4294967295"'),
);
const space = fc.constantFrom('', ' ', '\n', '\t ');

/** Texts of the grammar of RFC 8259: odd numbers, escapes, names that occur twice, white space. */
export const jsonText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    anyNumber,
    lookalike,
    string,
    fc.constantFrom('true', 'false', 'null'),
    fc
      .tuple(space, fc.array(tie('value'), { maxLength: 4 }))
      .map(([gap, items]) => `[${gap}${items.join(`${gap},`)}${gap}]`),
    fc
      .tuple(space, fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }))
      .map(
        ([gap, members]) =>
          `{${gap}${members.map(([key, value]) => `${key}:${gap}${value}`).join(',')}}`,
      ),
  ),
})).value;

/** What the protocol says of a JSON text. */
export interface Reading {
  /** Whether the data of the text may be accepted. */
  readonly isAcceptable: boolean;
  /** Names the data: equal for two texts only if a handler gets equal data from both. */
  readonly value: string;
}

const MAX_DEPTH = 64;
const TOKEN = /[[\]{}:,]|"(?:[^"\\]|\\.)*"|true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WHITE_SPACE = /[ \t\n\r]*/y;

/**
 * Reads a JSON text by hand: of one name the last value counts; a number counts as infinite or as negative zero by its
 * digits, in whole numbers of any size.
 */
export function readByHand(text: string): Reading {
  return new HandReader(text).value(0);
}

class HandReader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(depth: number): Reading {
    const token = this.next();
    const isShallow = depth <= MAX_DEPTH;
    if (token === '[') return this.array(depth, isShallow);
    if (token === '{') return this.object(depth, isShallow);
    const read = token.startsWith('"') ? readString(token) : readPlain(token);
    return { ...read, isAcceptable: read.isAcceptable && isShallow };
  }

  private array(depth: number, isShallow: boolean): Reading {
    const items: Reading[] = [];
    for (let isFirst = true; !this.takes(']'); isFirst = false) {
      if (!isFirst) this.next();
      items.push(this.value(depth + 1));
    }
    return together('array', items, isShallow);
  }

  private object(depth: number, isShallow: boolean): Reading {
    const members = new Map<string, Reading>();
    for (let isFirst = true; !this.takes('}'); isFirst = false) {
      if (!isFirst) this.next();
      const { value: key } = readString(this.next());
      this.next();
      members.set(key, this.value(depth + 1));
    }
    const sorted = [...members].toSorted(([one], [other]) => (one < other ? -1 : 1));
    const named = sorted.map(([key, { isAcceptable, value }]) => ({
      isAcceptable,
      value: `${key}=${value}`,
    }));
    return together('object', named, isShallow);
  }

  private takes(token: string): boolean {
    const before = this.at;
    if (this.next() === token) return true;
    this.at = before;
    return false;
  }

  private next(): string {
    WHITE_SPACE.lastIndex = this.at;
    this.at += WHITE_SPACE.exec(this.text)?.[0].length ?? 0;
    TOKEN.lastIndex = this.at;
    const [token = ''] = TOKEN.exec(this.text) ?? [];
    if (token === '') throw new Error(`no JSON at ${this.at}: ${this.text}`);
    this.at += token.length;
    return token;
  }
}

function together(kind: string, parts: readonly Reading[], isShallow: boolean): Reading {
  return {
    isAcceptable: isShallow && parts.every(({ isAcceptable }) => isAcceptable),
    value: `${kind}(${parts.map(({ value }) => value).join()})`,
  };
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

function readString(token: string): Reading {
  const text = token
    .slice(1, -1)
    .replaceAll(/\\(?:u(.{4})|(.))/g, (_all, hex: string | undefined, letter = '') =>
      hex === undefined
        ? (ESCAPES.get(String(letter)) ?? '')
        : String.fromCharCode(Number.parseInt(hex, 16)),
    );
  return { isAcceptable: true, value: `text:${Buffer.from(text, 'utf16le').toString('hex')}` };
}

function readPlain(token: string): Reading {
  if (/^[tfn]/.test(token)) return { isAcceptable: true, value: token };
  const isAcceptable = !isInfinite(token) && !isNegativeZero(token);
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(Number(token));
  return { isAcceptable, value: `number:${bits.toString('hex')}` };
}

/** Halfway from the largest double to the one that would follow: what is not below it is rounded to infinity. */
const INFINITE_FROM = 2n ** 1024n - 2n ** 970n;
/** Half of the smallest double, as a denominator: what is not above it is rounded to zero. */
const ZERO_UP_TO = 2n ** 1075n;

function isInfinite(token: string): boolean {
  const { whole, power } = decimal(token);
  if (whole === 0n || power + `${whole}`.length < 300) return false;
  if (power + `${whole}`.length > 400) return true;
  return power >= 0
    ? whole * 10n ** BigInt(power) >= INFINITE_FROM
    : whole >= INFINITE_FROM * 10n ** BigInt(-power);
}

function isNegativeZero(token: string): boolean {
  if (!token.startsWith('-')) return false;
  const { whole, power } = decimal(token);
  if (whole === 0n) return true;
  if (power + `${whole}`.length > -300) return false;
  if (power + `${whole}`.length < -400) return true;
  return whole * ZERO_UP_TO <= 10n ** BigInt(-power);
}

/** The size of a number as `whole` times 10 to the `power`. */
function decimal(token: string): { whole: bigint; power: number } {
  const [, whole = '', part = '', power = '0'] =
    /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token) ?? [];
  return { whole: BigInt(whole + part), power: Number(power) - part.length };
}

/** Which data each digest stands for, of all the texts of a run. */
export class DigestLedger {
  private readonly values = new Map<string, string>();
  private again = 0;

  /** How many digests there are, and how often one came again. */
  get size(): { readonly digests: number; readonly again: number } {
    return { digests: this.values.size, again: this.again };
  }

  /** @throws when the digest of this text stands for other data already */
  note(text: string, value: string): void {
    const digest = hash('sha256', text, 'base64url').slice(0, 16);
    const short = hash('sha256', value, 'base64url').slice(0, 16);
    const known = this.values.get(digest);
    if (known === undefined) this.values.set(digest, short);
    else this.again += 1;
    if (known !== undefined && known !== short) throw new Error(`other data has the text ${text}`);
  }
}
