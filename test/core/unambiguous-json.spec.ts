import { JsonFlaw, readJsonObject } from '../../lib/core/unambiguous-json.js';

/** What is read, or the kind of its flaw. */
function outcomeOf(text: string): unknown {
  try {
    return { ...readJsonObject(Buffer.from(text)) };
  } catch (error) {
    if (error instanceof JsonFlaw) return error.kind;
    throw error;
  }
}

describe('readJsonObject()', () => {
  // Shorter and longer than what is looked at byte by byte, without an escape and with one.
  it.each(['', 'b', 'b'.repeat(31), 'b'.repeat(32), 'b'.repeat(33), 'b'.repeat(500)])(
    'refuses a text that ends within a string: %p',
    (value) => {
      expect(outcomeOf(`{"a":"${value}`)).toBe('text');
      expect(outcomeOf(`{"${value}`)).toBe('text');
      expect(outcomeOf(`{"a":"${value}\\`)).toBe('text');
      expect(outcomeOf(`{"a":"${value}\\"`)).toBe('text');
      expect(outcomeOf(`{"a":"${value}"}`)).toEqual({ a: value });
      expect(outcomeOf(`{"a":"${value}\\""}`)).toEqual({ a: `${value}"` });
      expect(outcomeOf(`{"${value}":1}`)).toEqual({ [value]: 1 });
    },
  );
});
