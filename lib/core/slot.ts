/** A place for a value on any object, which only the holder of the slot sees. */
export interface Slot<T> {
  get(object: object): T | undefined;
  set(object: object, value: T): void;
}

/** Makes what extends it put its private fields on the object that it is given. */
class Given {
  constructor(object: object) {
    return object;
  }
}

/**
 * A slot is what a WeakMap is, kept in the object: no property, so that nobody else can read it, set it or
 * copy it. A WeakMap whose values lead to their keys, a request and its body say, keeps both alive until
 * the next full collection of garbage; for requests that come by the thousand, this is dear.
 */
export function createSlot<T>(): Slot<T> {
  class Occupied extends Given {
    #value: T;

    constructor(object: object, value: T) {
      super(object);
      this.#value = value;
    }

    static get(object: object): T | undefined {
      return #value in object ? object.#value : undefined;
    }

    static set(object: object, value: T): void {
      if (#value in object) object.#value = value;
      else new Occupied(object, value);
    }
  }
  return Occupied;
}
