import { isAscii } from 'node:buffer';

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

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a JSON object that every parser reads the same way: UTF-8 without a byte order mark, no
 * duplicate members (however spelled), no lone surrogates, no `__proto__`, no deep nesting.
 *
 * @returns an object without a prototype: a polluted `Object.prototype` supplies no member
 * @throws JsonFlaw
 * @see RFC 7515 section 4, RFC 7519 section 4, RFC 7493
 */
export function readJsonObject(bytes: Uint8Array): UnverifiedObject {
  const { json, value } = parseJson(bytes);
  if (!isObject(value)) throw new JsonFlaw('text', 'not a JSON object');
  const members = countMembers(value, json.includes('\\'), 1);
  // Parsing keeps one of two members with one name: then the text has more names than the object.
  if (members !== countNames(json)) throw new JsonFlaw('members', 'duplicate member');
  return Object.setPrototypeOf(value, null) as UnverifiedObject;
}

/** Whether a parsed JSON value is an object, not an array and not null. */
export function isObject(value: unknown): value is UnverifiedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(bytes: Uint8Array): { json: string; value: unknown } {
  try {
    // The same characters, sooner, where each byte is one.
    const json = isAscii(bytes) ? latin1(bytes) : utf8.decode(bytes);
    return { json, value: JSON.parse(json) as unknown };
  } catch {
    // The cause is left out: a SyntaxError quotes the text it could not read.
    throw new JsonFlaw('text', 'not JSON in UTF-8');
  }
}

function latin1(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer, byteOffset, byteLength);
  return view.toString('latin1');
}

/** How many members there are, at every depth; looks at each of their names, and at the strings. */
function countMembers(value: object, hasEscapes: boolean, depth: number): number {
  if (depth > MAX_DEPTH) throw new JsonFlaw('members', `nested deeper than ${MAX_DEPTH}`);
  const names = Object.keys(value);
  let count = 0;
  if (!Array.isArray(value)) {
    count = names.length;
    for (const name of names) assertName(name, hasEscapes);
  }
  for (const member of Object.values(value) as unknown[]) {
    if (typeof member === 'object' && member !== null) {
      count += countMembers(member, hasEscapes, depth + 1);
    } else if (hasEscapes && typeof member === 'string') assertWellFormed(member);
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

const [COLON, BACKSLASH] = [0x3a, 0x5c] as const;
const [SPACE, TAB, LINE_FEED, CARRIAGE_RETURN] = [0x20, 0x09, 0x0a, 0x0d] as const;

/** How many names of members a text has that is valid JSON: strings that a colon follows. */
function countNames(json: string): number {
  let count = 0;
  for (let start = json.indexOf('"'); start !== -1;) {
    let after = endOfString(json, start) + 1;
    while (isWhiteSpace(json.charCodeAt(after))) after++;
    if (json.charCodeAt(after) === COLON) count++;
    start = json.indexOf('"', after);
  }
  return count;
}

function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end;
}

/** Whether an odd number of backslashes comes before it. */
function isEscaped(json: string, at: number): boolean {
  let before = at;
  while (json.charCodeAt(before - 1) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

/** RFC 8259 section 2. */
function isWhiteSpace(code: number): boolean {
  return code === SPACE || code === TAB || code === LINE_FEED || code === CARRIAGE_RETURN;
}
