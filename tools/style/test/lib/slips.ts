// Whoever calls is refused.

/**
 * The guard looks at what is there.
 *
 * @param key is had from a file
 * @throws Error for want of a key
 */
export function slip(key: string): string {
  // An observer hears
  // of each event.
  const text = `// whoever: no comment, but ${key /* the key, say. */}`;
  return text; // the store is out of reach
}

/** This one goes on about the token and the header and the body and the user and the issuer and the audience and the key and the store and the clock and the guard and the target and the client and the page and the route. */
export const LONG = /\/\/ whoever/;
