/** Headers of which fetch and axios send a value of their own, after signing, where the caller names none. */
const IMPLIED = {
  accept: () => '*/*',
  'accept-language': () => '*',
  host: ({ host }: URL) => host,
} as const satisfies Record<string, (url: URL) => string>;

type ImpliedName = keyof typeof IMPLIED;

const IMPLIED_NAMES: readonly ImpliedName[] = ['accept', 'accept-language', 'host'];

/** Headers of a client, as far as they are used here. */
interface SettableHeaders {
  has(name: string): boolean;
  set(name: string, value: string): unknown;
}

/**
 * Sets those that are to be signed and that the caller leaves to the client, so that what is signed is what
 * is sent.
 */
export function setImplied(
  headers: SettableHeaders,
  signedHeaders: readonly string[],
  url: URL,
): void {
  for (const name of IMPLIED_NAMES) {
    if (signedHeaders.includes(name) && !headers.has(name)) headers.set(name, IMPLIED[name](url));
  }
}
