import { SIGNED_HEADERS } from '../../core/index.js';

/** Names and values that came with a message. */
export interface HeaderCarrier {
  names(): readonly string[];
  /** Each value of exactly this name. A value that is no text is {@link NOT_TEXT}. */
  values(name: string): readonly string[];
  remove(name: string): void;
}

/** Replaces a value that is no text: no token and no grant has this form. */
const NOT_TEXT = '\0';

/** An object whose members are headers. */
export function recordHeaders(record: unknown): HeaderCarrier | undefined {
  if (typeof record !== 'object' || record === null) return undefined;
  return {
    names: () => Object.keys(record),
    values: (name) => [member(record, name)].flat().map(headerText),
    remove: (name) => void Reflect.deleteProperty(record, name),
  };
}

/**
 * The tokens and grants that came with a message or job, by their names in lower case. The case of a name does not count.
 *
 * @param carrier undefined where it has no headers
 */
export function signedHeaders(
  carrier: HeaderCarrier | undefined,
): ReadonlyMap<string, readonly string[]> {
  const headers = new Map<string, readonly string[]>();
  for (const name of carrier?.names().filter(isSigned) ?? []) {
    const lower = name.toLowerCase();
    headers.set(lower, [...(headers.get(lower) ?? []), ...(carrier?.values(name) ?? [])]);
  }
  return headers;
}

/** Takes tokens and grants out of a message, in every spelling of their names. */
export function removeSigned(carrier: HeaderCarrier | undefined): void {
  for (const name of carrier?.names().filter(isSigned) ?? []) carrier?.remove(name);
}

/** Whether a header of this name holds a token or a grant, in whatever spelling. */
export function isSigned(name: string): boolean {
  return SIGNED_HEADERS.some((signed) => signed === name.toLowerCase());
}

/** The value of a header, if it is text. */
export function headerText(value: unknown): string {
  return typeof value === 'string' ? value : NOT_TEXT;
}

/** A member of an object that is its own. */
export function member(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null;
  return isObject && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
}
