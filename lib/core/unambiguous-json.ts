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
  assertUnambiguous(json);
  return Object.assign(Object.create(null) as UnverifiedObject, value);
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

function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c] as const;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

/** Looks at what parsing hides; `json` is valid JSON already. */
function assertUnambiguous(json: string): void {
  const open: (Set<string> | undefined)[] = [];
  let expectsName = false;
  for (let at = 0; at < json.length; at++) {
    const character = json.charCodeAt(at);
    if (character === QUOTE) {
      const end = endOfString(json, at);
      const text = readString(json.slice(at, end + 1));
      if (expectsName) assertNewName(text, open.at(-1));
      expectsName = false;
      at = end;
    } else if (character === OPEN_OBJECT || character === OPEN_LIST) {
      open.push(character === OPEN_OBJECT ? new Set() : undefined);
      expectsName = character === OPEN_OBJECT;
      if (open.length > MAX_DEPTH) throw new JsonFlaw('members', `nested deeper than ${MAX_DEPTH}`);
    } else if (character === CLOSE_OBJECT || character === CLOSE_LIST) {
      open.pop(); // what follows is never a name: a comma, another end, or nothing
    } else if (character === COMMA) {
      expectsName = open.at(-1) !== undefined;
    }
  }
}

function assertNewName(name: string, names: Set<string> | undefined): void {
  if (names === undefined || names.has(name)) throw new JsonFlaw('members', 'duplicate member');
  if (FORBIDDEN_NAMES.has(name)) throw new JsonFlaw('members', 'member with a forbidden name');
  names.add(name);
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

function readString(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  const text = String(JSON.parse(literal));
  if (!text.isWellFormed()) throw new JsonFlaw('text', 'a string with a lone surrogate');
  return text;
}
