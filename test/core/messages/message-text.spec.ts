import fc from 'fast-check';
import { readMessageText, writeMessageText } from '../../../lib/core/index.js';
import { parseMessageText } from '../../../lib/core/messages/message-text.js';
import { ServiceSigningError, ServiceTokenRefusedError } from 'nestjs-service-auth/core';
import { DigestLedger, jsonText, readByHand } from '../../support/messages/message-texts.js';

/** How many cases of each property: a million with `node scripts/test-message-texts.mjs`, fewer in the suite. */
const RUNS = Number(process.env['MESSAGE_TEXT_RUNS'] ?? 2000);
const MINUTES = 60;

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

/** As classes of databases are. */
const entity: Record<string, unknown> = { toJSON: () => 7 };
entity['self'] = entity;

describe('writeMessageText()', () => {
  it.each<[string, unknown, string]>([
    ['an object', { id: 42, name: 'Ada' }, '{"id":42,"name":"Ada"}'],
    ['null', null, 'null'],
    ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['negative zero', -0, '0'],
    ['a member that is undefined', { id: 1, gone: undefined }, '{"id":1}'],
    ['a lone surrogate', '\ud800', '"\\ud800"'],
    ['a member named __proto__', JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
    ['an object that holds itself, and says what to write', { owner: entity }, '{"owner":7}'],
    ['64 levels', nested(64), `${'['.repeat(64)}1${']'.repeat(64)}`],
  ])('writes %s as JSON.stringify does', (_what, data, text) => {
    expect(writeMessageText(data)).toBe(text);
    expect(parseMessageText(text)).toEqual(JSON.parse(text));
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
    ['bytes behind an object that holds itself', { owner: entity, file: Buffer.from('x') }],
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
    expect(codeOf(() => parseMessageText(writeMessageText(data)))).toBe('message_unsignable');
  });

  it('reads the data once: what toJSON answers later is not sent', () => {
    let count = 0;
    const text = writeMessageText({ toJSON: () => ({ count: ++count }) });
    expect([text, parseMessageText(text)]).toEqual(['{"count":1}', { count: 1 }]);
  });
});

describe('parseMessageText()', () => {
  it.each(['', 'undefined', '{', '1e999', '-0'])('refuses the text %j', (text) => {
    expect(codeOf(() => parseMessageText(text))).toBe('message_unsignable');
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

  it.each([
    ['1.7976931348623158e308', true],
    ['1.7976931348623159e308', false],
    ['-2.4703282292062328e-324', true],
    ['-2.4703282292062327e-324', false],
    ['2e-324', true],
    ['[{"a":-0,"a":0}]', true],
    ['[{"a":0,"\\u0061":-0}]', false],
    [`${'['.repeat(64)}1${']'.repeat(64)}`, true],
    [`${'['.repeat(65)}1${']'.repeat(65)}`, false],
  ])('and its statement by hand agree on %s', (text, isAcceptable) => {
    expect(readByHand(text).isAcceptable).toBe(isAcceptable);
    expect(codeOf(() => readMessageText(JSON.parse(text)))).toBe(
      isAcceptable ? 'accepted' : 'body_unverifiable',
    );
  });
});

// Nothing of Jest inside: a million cases would take hours.
describe('the digests of a whole run', () => {
  const ledger = new DigestLedger();

  /** What a text is written as again; undefined where it is refused. */
  function writtenAgain(text: string): string | undefined {
    const value: unknown = JSON.parse(text);
    const { isAcceptable, value: known } = readByHand(text);
    const isAccepted = codeOf(() => readMessageText(value)) === 'accepted';
    if (isAccepted !== isAcceptable) throw new Error(`accepted: ${isAccepted}`);
    if (!isAccepted) return undefined;
    const written = readMessageText(value);
    ledger.note(written, known);
    // The text that is signed says the same, to a reader that shares no code with the one under test.
    if (readByHand(written).value !== known) throw new Error(`written as ${written}`);
    if (writeMessageText(value) !== written) throw new Error('signed as another text');
    return written;
  }

  const check = (minutes: number, property: fc.IProperty<[string]>) => {
    const interruptAfterTimeLimit = minutes * 60_000;
    fc.assert(property, { numRuns: RUNS, interruptAfterTimeLimit, markInterruptAsFailure: true });
  };

  it(
    'stand for one value each: values',
    () => {
      const values = fc.jsonValue({ maxDepth: 4 }).map((value) => writeMessageText(value));
      check(
        MINUTES,
        fc.property(values, (text) => writtenAgain(text) === text),
      );
    },
    MINUTES * 60_000,
  );

  it(
    'stand for one value each: texts',
    () => {
      const counts = { accepted: 0, refused: 0 };
      check(
        MINUTES,
        fc.property(jsonText, (text) => {
          counts[writtenAgain(text) === undefined ? 'refused' : 'accepted'] += 1;
        }),
      );
      console.log(JSON.stringify({ ...counts, ...ledger.size }));
      expect(Math.min(counts.accepted, counts.refused, ledger.size.again)).toBeGreaterThan(0);
    },
    MINUTES * 60_000,
  );
});
