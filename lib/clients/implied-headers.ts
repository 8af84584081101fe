/** Headers for which fetch and axios send their own value, after signing, if the caller gives none. */
const IMPLIED = {
  accept: () => '*/*',
  'accept-language': () => '*',
  host: ({ host }: URL) => host,
} as const satisfies Record<string, (url: URL) => string>;

type ImpliedName = keyof typeof IMPLIED;

const IMPLIED_NAMES: readonly ImpliedName[] = ['accept', 'accept-language', 'host'];

/** The members of a client's headers that this library uses. */
interface SettableHeaders {
  has(name: string): boolean;
  set(name: string, value: string): unknown;
}

/** Sets the headers to sign that the caller leaves to the client, so that the client sends the signed values. */
export function setImplied(
  headers: SettableHeaders,
  signedHeaders: readonly string[],
  url: URL,
): void {
  for (const name of IMPLIED_NAMES) {
    if (signedHeaders.includes(name) && !headers.has(name)) headers.set(name, IMPLIED[name](url));
  }
}
