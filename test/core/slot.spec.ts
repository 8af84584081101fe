import { createSlot } from '../../lib/core/slot.js';

describe('a slot', () => {
  it('holds the last value it was given, of each object its own', () => {
    const slot = createSlot<string>();
    const [one, other] = [{}, {}];
    slot.set(one, 'first');
    slot.set(other, 'of another');
    slot.set(one, 'second');
    expect([slot.get(one), slot.get(other)]).toEqual(['second', 'of another']);
  });

  it('is empty on an object that was given nothing, or given it by another slot', () => {
    const slot = createSlot<string>();
    const object = {};
    createSlot<string>().set(object, 'of another slot');
    expect(slot.get(object)).toBeUndefined();
    expect(slot.get({})).toBeUndefined();
  });

  it('goes over to no copy, no heir and no proxy of the object', () => {
    const slot = createSlot<string>();
    const object = { name: 'request' };
    slot.set(object, 'held');
    const others = [
      { ...object },
      Object.assign({}, object),
      Object.defineProperties({}, Object.getOwnPropertyDescriptors(object)),
      Object.create(object) as object,
      new Proxy(object, {}),
      structuredClone(object),
    ];
    expect(others.map((other) => slot.get(other))).toEqual(others.map(() => undefined));
    expect(slot.get(object)).toBe('held');
  });

  it('leaves nothing on the object that others see', () => {
    const slot = createSlot<string>();
    const object = { name: 'request' };
    slot.set(object, 'held');
    expect(Reflect.ownKeys(object)).toEqual(['name']);
    expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
    expect(JSON.stringify(object)).toBe('{"name":"request"}');
  });
});
