/**
 * A JSON parser of its own, by which the library's reading of JSON is judged: the grammar of RFC 8259 and
 * what the protocol forbids besides. It shares no code with the library, nor with `JSON.parse`.
 */

/** A JSON object as parsed here: without a prototype. */
export type JsonMembers = Record<string, unknown>;

const MAX_DEPTH = 16;
const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
const ESCAPE = /\\(?:u(....)|(.))/g;
const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
const LONE_SURROGATE = /\p{Cs}/u;

/** Parses a JSON text. @throws Error saying what is wrong, and where */
export function parseStrictJson(text: string): unknown {
  return new Parser(text).parse();
}

/** Tells an object from the other values of JSON. */
export function isMembers(value: unknown): value is JsonMembers {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unescape(_escape: string, hex: string | undefined, character = ''): string {
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
  return ESCAPES[character] ?? character;
}

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  parse(): unknown {
    const value = this.value(1);
    if (this.at < this.text.length) this.fail('more than one value');
    return value;
  }

  private value(depth: number): unknown {
    this.take(SPACE);
    const first = this.text[this.at];
    const value =
      first === '{' ? this.object(depth) : first === '[' ? this.array(depth) : this.scalar();
    this.take(SPACE);
    return value;
  }

  private object(depth: number): JsonMembers {
    const members = Object.create(null) as JsonMembers;
    this.items(depth, '}', () => {
      this.take(SPACE);
      const name = this.string() ?? this.fail('no name');
      if (name === '__proto__' || name === 'constructor') this.fail('a forbidden name');
      if (name in members) this.fail('a name twice');
      this.take(SPACE);
      if (this.text[this.at++] !== ':') this.fail('no colon');
      members[name] = this.value(depth + 1);
    });
    return members;
  }

  private array(depth: number): unknown[] {
    const values: unknown[] = [];
    this.items(depth, ']', () => values.push(this.value(depth + 1)));
    return values;
  }

  private items(depth: number, end: string, item: () => void): void {
    if (depth > MAX_DEPTH) this.fail('nested too deep');
    this.at++;
    this.take(SPACE);
    if (this.text[this.at] === end) {
      this.at++;
      return;
    }
    for (;;) {
      item();
      const after = this.text[this.at++];
      if (after === end) return;
      if (after !== ',') this.fail('no comma');
    }
  }

  private scalar(): unknown {
    const string = this.string();
    if (string !== undefined) return string;
    const literal = this.take(LITERAL);
    if (literal !== undefined) return literal === 'null' ? null : literal === 'true';
    const number = this.take(NUMBER) ?? this.fail('no value');
    return Number(number);
  }

  private string(): string | undefined {
    const literal = this.take(STRING);
    if (literal === undefined) return undefined;
    if (Array.from(literal).some((character) => character < ' ')) this.fail('a control character');
    const value = literal.slice(1, -1).replace(ESCAPE, unescape);
    return LONE_SURROGATE.test(value) ? this.fail('a lone surrogate') : value;
  }

  private take(token: RegExp): string | undefined {
    token.lastIndex = this.at;
    const found = token.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  private fail(what: string): never {
    throw new Error(`${what} at ${this.at}`);
  }
}
