import { refuse } from './errors.js';

/** Nobody needs more, and what recurses over claims later must not run out of stack. */
const MAX_DEPTH = 16;

/** Names that turn into prototypes when an application copies or merges claims. */
const FORBIDDEN_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor']);

/**
 * Refuses JSON text that two parsers could read differently or that harms whoever merges it:
 * duplicate members (however spelled), `__proto__`, lone surrogates, deep nesting.
 *
 * `json` must be valid JSON (`JSON.parse` took it): this only looks at what parsing hides.
 *
 * @throws ServiceTokenRefusedError `code`, or `token_malformed` for a string that is no Unicode text
 * @see RFC 7515 section 4, RFC 7519 section 4
 */
export function assertUnambiguousJson(
  json: string,
  code: 'header_invalid' | 'claim_invalid',
): void {
  const open: (Set<string> | undefined)[] = [];
  let expectsName = false;
  for (let at = 0; at < json.length; at++) {
    const character = json[at];
    if (character === '"') {
      const end = endOfString(json, at);
      const text = readString(json.slice(at, end + 1));
      if (expectsName) assertNewName(text, open.at(-1), code);
      expectsName = false;
      at = end;
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : undefined);
      expectsName = character === '{';
      if (open.length > MAX_DEPTH) refuse(code, `nested deeper than ${MAX_DEPTH}`);
    } else if (character === '}' || character === ']') {
      open.pop();
      expectsName = false;
    } else if (character === ',') {
      expectsName = open.at(-1) !== undefined;
    }
  }
}

function assertNewName(
  name: string,
  names: Set<string> | undefined,
  code: 'header_invalid' | 'claim_invalid',
): void {
  if (names === undefined || names.has(name)) refuse(code, 'duplicate member');
  if (FORBIDDEN_NAMES.has(name)) refuse(code, 'member with a forbidden name');
  names.add(name);
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

function readString(literal: string): string {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  const text = String(JSON.parse(literal));
  if (!text.isWellFormed()) refuse('token_malformed', 'a string with a lone surrogate');
  return text;
}
