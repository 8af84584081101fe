import fc from 'fast-check';
import { readMessageText, writeMessageText } from '../../../lib/core/index.js';
import { ServiceSigningError, ServiceTokenRefusedError } from 'nestjs-service-auth/core';

/** How many cases of each property: a million in `scripts/fuzz.mjs`, fewer in the suite. */
const RUNS = Number(process.env['MESSAGE_TEXT_RUNS'] ?? 2000);

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'accepted';
  } catch (error) {
    if (error instanceof ServiceTokenRefusedError || error instanceof ServiceSigningError)
      return error.code;
    throw error;
  }
}

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

const cyclic: Record<string, unknown> = {};
cyclic['self'] = cyclic;

describe('writeMessageText()', () => {
  it.each<[string, unknown, string]>([
    ['an object', { id: 42, name: 'Ada' }, '{"id":42,"name":"Ada"}'],
    ['null', null, 'null'],
    ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['negative zero', -0, '0'],
    ['a member that is undefined', { id: 1, gone: undefined }, '{"id":1}'],
    ['a lone surrogate', '\ud800', '"\\ud800"'],
    ['a member named __proto__', JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
    ['64 levels', nested(64), `${'['.repeat(64)}1${']'.repeat(64)}`],
  ])('writes %s as JSON.stringify does', (_what, data, text) => {
    expect(writeMessageText(data)).toEqual({ text, data: JSON.parse(text) as unknown });
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a BigInt', { id: 1n }],
    ['a cycle', cyclic],
    ['a Buffer', { file: Buffer.from('x') }],
    ['a typed array', new Float64Array(1)],
    ['an ArrayBuffer', [new ArrayBuffer(1)]],
    ['65 levels', nested(65)],
    [
      'a toJSON that throws',
      {
        toJSON: () => {
          throw new Error('no');
        },
      },
    ],
  ])('refuses %s', (_what, data) => {
    expect(codeOf(() => writeMessageText(data))).toBe('message_unsignable');
  });

  it('reads the data once: what toJSON answers later is not sent', () => {
    let count = 0;
    const { text, data } = writeMessageText({ toJSON: () => ({ count: ++count }) });
    expect([text, data]).toEqual(['{"count":1}', { count: 1 }]);
  });
});

describe('readMessageText()', () => {
  it.each<[string, unknown]>([
    ['infinity, which 1e999 arrives as', JSON.parse('1e999')],
    ['NaN', Number.NaN],
    ['negative zero', JSON.parse('-0')],
    ['undefined', undefined],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['an object with toJSON', { toJSON: () => 1 }],
    ['an instance of a class', new (class Point {})()],
    ['a sparse array', Object.assign([], { length: 1 })],
    ['65 levels', nested(65)],
    ['a million and one values', Array.from({ length: 1_000_000 }, () => 0)],
  ])('refuses %s', (_what, data) => {
    expect(codeOf(() => readMessageText(data))).toBe('body_unverifiable');
  });

  it.each<[string, unknown, string]>([
    ['zero', JSON.parse('0'), '0'],
    ['the largest number', JSON.parse('1.7976931348623157e308'), '1.7976931348623157e+308'],
    ['an object without prototype', Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ['a million values', Array.from({ length: 999_999 }, () => 0), `[${'0,'.repeat(999_998)}0]`],
  ])('reads %s', (_what, data, text) => {
    expect(readMessageText(data)).toBe(text);
  });

  it('never reads the digest of one value from the text of another: values', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const { text, data } = writeMessageText(value);
        expect(readMessageText(data)).toBe(text);
        expect(readMessageText(JSON.parse(text))).toBe(text);
      }),
      { numRuns: RUNS },
    );
  });

  it('never reads the digest of one value from the text of another: texts', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        const value: unknown = JSON.parse(text);
        if (codeOf(() => readMessageText(value)) !== 'accepted') return;
        // What is accepted is the very value that a sender signed: it writes, and is written as, one text.
        const signed = readMessageText(value);
        expect(writeMessageText(value).text).toBe(signed);
        expect(JSON.parse(signed)).toEqual(value);
      }),
      { numRuns: RUNS },
    );
  });
});

const digits = fc.stringMatching(/^(?:0|[1-9]\d{0,24})$/);
const fraction = fc.stringMatching(/^\.\d{1,30}$/);
const exponent = fc.stringMatching(/^[eE][+-]?\d{1,4}$/);
const number = fc
  .tuple(fc.boolean(), digits, fc.option(fraction), fc.option(exponent))
  .map(
    ([isNegative, whole, part, power]) =>
      `${isNegative ? '-' : ''}${whole}${part ?? ''}${power ?? ''}`,
  );
const character = fc.oneof(
  fc.stringMatching(/^[\u0020!#-[\]-\u007e\u00e9\u2028\u{1f600}]$/u),
  fc.constantFrom('\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'),
  fc.stringMatching(/^[0-9a-fA-F]{4}$/).map((hex) => `\\u${hex}`),
);
const string = fc.array(character, { maxLength: 8 }).map((parts) => `"${parts.join('')}"`);
const name = fc.oneof(
  string,
  fc.constantFrom('"__proto__"', '"2"', '"10"', '"-0"', '"toJSON"', '"constructor"'),
);
const space = fc.constantFrom('', ' ', '\n', '\t ');

/** Texts of the grammar of RFC 8259: odd numbers, escapes, names that occur twice, white space. */
const jsonText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    number,
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
