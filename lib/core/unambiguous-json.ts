import { isAscii, isUtf8 } from 'node:buffer';

/** A JSON object whose members nobody has vouched for. */
export type UnverifiedObject = Readonly<Record<string, unknown>>;

/**
 * Why bytes were not taken for an object. `members`: it is one, but two parsers could read it
 * differently, or it harms whoever merges it. Quotes nothing of what was read.
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

/** Nobody needs more, and what recurses over claims later must not run out of stack. */
const MAX_DEPTH = 16;

/** Names that turn into prototypes when an application copies or merges claims. */
const FORBIDDEN_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor']);

/**
 * Reads a JSON object that every parser reads the same way: UTF-8 without a byte order mark, no
 * duplicate members (however spelled), no lone surrogates, no `__proto__`, no deep nesting.
 *
 * @param maxValues how many members and items it may have, at every depth together. With more it is not parsed: a few
 *   thousand of them cost more than a signature
 * @returns an object without a prototype: a polluted `Object.prototype` supplies no member
 * @throws JsonFlaw
 * @see RFC 7515 section 4, RFC 7519 section 4, RFC 7493
 */
export function readJsonObject(bytes: Uint8Array, maxValues = Infinity): UnverifiedObject {
  const { names, values, hasEscapes } = scan(bytes);
  if (values > maxValues) throw new JsonFlaw('members', `more than ${maxValues} values`);
  const value = parseJson(bytes);
  if (!isObject(value)) throw new JsonFlaw('text', 'not a JSON object');
  // Parsing keeps one of two members with one name: then the text has more names than the object.
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
    // The cause is left out: a SyntaxError quotes the text it could not read.
    throw new JsonFlaw('text', 'not JSON in UTF-8');
  }
}

/** A byte order mark stays, and is no JSON. */
function decode(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer, byteOffset, byteLength);
  // The same characters, sooner, where each byte is one.
  if (isAscii(view)) return view.toString('latin1');
  if (!isUtf8(view)) throw new JsonFlaw('text', 'not UTF-8');
  return view.toString('utf8');
}

/** How many members there are, at every depth; looks at each of their names, and at the strings. */
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
/** White space is what comes up to a space: RFC 8259 section 2 forbids the others, and so does the parser. */
const SPACE = 0x20;

/** What can be told of a text that is valid JSON without parsing it. */
interface Scan {
  /** How many members have a name in the text, those that parsing drops included. */
  readonly names: number;
  /** How many members and items there are. */
  readonly values: number;
  readonly hasEscapes: boolean;
}

/** Looks at each byte once: in UTF-8 no part of another character has the value of one of these. */
function scan(bytes: Uint8Array): Scan {
  const hasEscapes = bytes.includes(BACKSLASH);
  let [names, values, before] = [0, 0, 0];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? SPACE;
    if (byte <= SPACE) continue;
    if (byte === QUOTE) at = endOfString(bytes, at + 1, hasEscapes);
    else if (byte === COLON) names++;
    else if (byte === COMMA || byte === BEGIN_ARRAY || byte === BEGIN_OBJECT) values++;
    else if (isEmptyPair(before, byte)) values--; // its beginning was counted as a value too many
    before = byte;
  }
  return { names, values, hasEscapes };
}

/** Whether an array or object ends right after its beginning. */
function isEmptyPair(before: number, byte: number): boolean {
  const isEnd = byte === END_ARRAY || byte === END_OBJECT;
  return isEnd && (before === BEGIN_ARRAY || before === BEGIN_OBJECT);
}

/** Where the string ends that begins before `start`; the length of the text where it has no end. */
function endOfString(bytes: Uint8Array, start: number, hasEscapes: boolean): number {
  // A search has to be called, so a short string is found sooner by looking.
  const near = hasEscapes ? bytes.length : Math.min(start + 32, bytes.length);
  let at = start;
  for (; at < near && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
  if (at < near || hasEscapes) return at;
  const end = bytes.indexOf(QUOTE, at);
  return end === -1 ? bytes.length : end;
}
