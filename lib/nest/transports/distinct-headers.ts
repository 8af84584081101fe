import type { IncomingMessage } from 'node:http';
import { TOKEN_HEADER } from '../../core/index.js';

/**
 * By the class of a request: the member in which Node keeps `headersDistinct` from their first use on; undefined where
 * it cannot be told.
 */
const MEMBERS = new WeakMap<object, symbol | undefined>();

/**
 * Takes the token out of `headersDistinct`. Node makes them all on first use, from the raw headers, where there is no
 * token any more: where nobody has used them yet, they are not made for this. HTTP/2 has none.
 */
export function removeDistinctToken(raw: IncomingMessage): void {
  const member = memberOf(raw);
  if (member !== undefined && !Object.hasOwn(raw, member)) return;
  delete (raw.headersDistinct as NodeJS.Dict<string[]> | undefined)?.[TOKEN_HEADER];
}

function memberOf(raw: IncomingMessage): symbol | undefined {
  const prototype: object = Reflect.getPrototypeOf(raw) ?? raw;
  if (!MEMBERS.has(prototype)) MEMBERS.set(prototype, findMember(prototype));
  return MEMBERS.get(prototype);
}

/** Tried on an object without a request in it: no socket is made, and no header is read. */
function findMember(prototype: object): symbol | undefined {
  const sample: object = Object.create(prototype) as object;
  try {
    void Reflect.get(sample, 'headersDistinct');
  } catch {
    // A class that keeps them in another way: they are made, and the token is taken out.
    return undefined;
  }
  const [member, ...others] = Object.getOwnPropertySymbols(sample);
  return others.length === 0 ? member : undefined;
}
