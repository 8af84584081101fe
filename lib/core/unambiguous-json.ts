import { isAscii, isUtf8 } from 'node:buffer';

/** A JSON object with unverified members. */
export type UnverifiedObject = Readonly<Record<string, unknown>>;

/**
 * Why bytes were not accepted as an object. `members`: they are an object, but two parsers could read it differently,
 * or it harms code that merges it. The message quotes nothing of the text.
 */
export class JsonFlaw extends Error {
  override readonly name = 'JsonFlaw';
  constructor(
    readonly kind: 'text' | 'members',
    message: string,
  ) {
    super(message);
  }
}

/** No token needs more, and code that recurses over claims must not run out of stack. */
const MAX_DEPTH = 16;

/** Names that turn into prototypes when an application copies or merges claims. */
const FORBIDDEN_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor']);

/**
 * Reads a JSON object that every parser reads the same way: UTF-8 without a byte order mark, no duplicate members
 * (however spelled), no lone surrogates, no `__proto__`, no deep nesting.
 *
 * @param maxValues the most members and items, at all depths together. An object with more is not parsed: a few
 *   thousand of them cost more than a signature
 * @returns an object without a prototype, so a polluted `Object.prototype` adds no members
 * @throws JsonFlaw
 * @see RFC 7515 section 4, RFC 7519 section 4, RFC 7493
 */
export function readJsonObject(bytes: Uint8Array, maxValues = Infinity): UnverifiedObject {
  const { names, values, hasEscapes } = scan(bytes);
  if (values > maxValues) throw new JsonFlaw('members', `more than ${maxValues} values`);
  const value = parseJson(bytes);
  if (!isObject(value)) throw new JsonFlaw('text', 'not a JSON object');
  // Parsing keeps only one of two members with the same name. Then the text has more names than the object.
  if (countMembers(value, hasEscapes, 1) !== names) {
    throw new JsonFlaw('members', 'duplicate member');
  }
  return Object.setPrototypeOf(value, null) as UnverifiedObject;
}

/** Whether a parsed JSON value is an object, not an array and not null. */
export function isObject(value: unknown): value is UnverifiedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decode(bytes));
  } catch {
    // The error has no cause: a SyntaxError quotes the text.
    throw new JsonFlaw('text', 'not JSON in UTF-8');
  }
}

/** A byte order mark is kept, and is not JSON. */
function decode(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer, byteOffset, byteLength);
  // If each byte is one character, this gives the same text in less time.
  if (isAscii(view)) return view.toString('latin1');
  if (!isUtf8(view)) throw new JsonFlaw('text', 'not UTF-8');
  return view.toString('utf8');
}

/** The number of members, at all depths. Checks each name, and the strings. */
function countMembers(value: object, hasEscapes: boolean, depth: number): number {
  if (depth > MAX_DEPTH) throw new JsonFlaw('members', `nested deeper than ${MAX_DEPTH}`);
  if (Array.isArray(value)) return countWithin(value, hasEscapes, depth);
  const names = Object.keys(value);
  for (const name of names) assertName(name, hasEscapes);
  return names.length + countWithin(Object.values(value), hasEscapes, depth);
}

function countWithin(values: readonly unknown[], hasEscapes: boolean, depth: number): number {
  let count = 0;
  for (const value of values) {
    if (typeof value === 'object' && value !== null) {
      count += countMembers(value, hasEscapes, depth + 1);
    } else if (hasEscapes && typeof value === 'string') assertWellFormed(value);
  }
  return count;
}

function assertName(name: string, hasEscapes: boolean): void {
  if (FORBIDDEN_NAMES.has(name)) throw new JsonFlaw('members', 'member with a forbidden name');
  if (hasEscapes) assertWellFormed(name);
}

/** UTF-8 cannot spell a lone surrogate; an escape can. */
function assertWellFormed(text: string): void {
  if (!text.isWellFormed()) throw new JsonFlaw('text', 'a string with a lone surrogate');
}

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c] as const;
const [BEGIN_ARRAY, END_ARRAY, BEGIN_OBJECT, END_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;
/** Everything up to a space is white space: RFC 8259 section 2 and the parser forbid the other characters. */
const SPACE = 0x20;

/** Facts about a valid JSON text, without parsing. */
interface Scan {
  /** The number of member names in the text, including those that parsing drops. */
  readonly names: number;
  /** The number of members and items. */
  readonly values: number;
  readonly hasEscapes: boolean;
}

/** Reads each byte once. In UTF-8, no part of another character has one of these values. */
function scan(bytes: Uint8Array): Scan {
  const hasEscapes = bytes.includes(BACKSLASH);
  let [names, values, before] = [0, 0, 0];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? SPACE;
    if (byte <= SPACE) continue;
    if (byte === QUOTE) at = endOfString(bytes, at + 1, hasEscapes);
    else if (byte === COLON) names++;
    else if (byte === COMMA || byte === BEGIN_ARRAY || byte === BEGIN_OBJECT) values++;
    else if (isEmptyPair(before, byte)) values--; // the opening bracket was counted as a value too many
    before = byte;
  }
  return { names, values, hasEscapes };
}

/** Whether an array or object is empty. */
function isEmptyPair(before: number, byte: number): boolean {
  const isEnd = byte === END_ARRAY || byte === END_OBJECT;
  return isEnd && (before === BEGIN_ARRAY || before === BEGIN_OBJECT);
}

/** The end of the string that begins before `start`; the length of the text if it has no end. */
function endOfString(bytes: Uint8Array, start: number, hasEscapes: boolean): number {
  // A call of `indexOf` costs more than a loop over a short string.
  const near = hasEscapes ? bytes.length : Math.min(start + 32, bytes.length);
  let at = start;
  for (; at < near && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
  if (at < near || hasEscapes) return at;
  const end = bytes.indexOf(QUOTE, at);
  return end === -1 ? bytes.length : end;
}
