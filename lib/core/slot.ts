/** Stores a value on any object. Only the holder of the slot can read it. */
export interface Slot<T> {
  get(object: object): T | undefined;
  set(object: object, value: T): void;
}

/** Lets a subclass put its private fields on the given object. */
class Given {
  constructor(object: object) {
    return object;
  }
}

/**
 * A slot works like a WeakMap, but in a private field: other code cannot read, set or copy it. A WeakMap whose values
 * refer to their keys, such as a body to its request, keeps both alive until the next full garbage collection. With
 * thousands of requests this costs much memory.
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
