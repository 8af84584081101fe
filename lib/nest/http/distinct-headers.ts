import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { TOKEN_HEADER } from '../../core/index.js';

/** The member in which Node keeps `headersDistinct` from their first use on; undefined where it cannot be told. */
const DISTINCT = findDistinct(new IncomingMessage(new Socket()));

function findDistinct(raw: IncomingMessage): symbol | undefined {
  const before = new Set(Object.getOwnPropertySymbols(raw));
  void raw.headersDistinct;
  return Object.getOwnPropertySymbols(raw).find((each) => !before.has(each));
}

/**
 * Takes the token out of `headersDistinct`. Node makes them all on first use, from the raw headers, where there is no
 * token any more: where nobody has used them yet, they are not made for this. HTTP/2 has none.
 */
export function removeDistinctToken(raw: IncomingMessage): void {
  if (DISTINCT !== undefined && !Object.hasOwn(raw, DISTINCT)) return;
  delete (raw.headersDistinct as NodeJS.Dict<string[]> | undefined)?.[TOKEN_HEADER];
}
