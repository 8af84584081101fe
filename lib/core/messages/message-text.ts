import { types } from 'node:util';
import { refuse, ServiceSigningError } from '../errors.js';

/** The deepest nesting that data may have. */
const MAX_DEPTH = 64;

/** How many values data may have, those at every depth counted together. */
const MAX_VALUES = 1_000_000;

/**
 * Writes data as the JSON text that is signed, at once: an object may change while its message waits for its signature.
 *
 * @throws ServiceSigningError `message_unsignable`: undefined, a function, a symbol, a BigInt, a cycle, or bytes
 */
export function writeMessageText(given: unknown): string {
  if (holdsBytes(given)) unsignable('its data holds bytes: write them as base64 text');
  return stringify(given);
}

/**
 * The data that a text says, for the client of the broker. It never gets what the text was written from: `toJSON` may
 * answer otherwise the second time.
 *
 * @param text as {@link writeMessageText} makes it
 * @throws ServiceSigningError `message_unsignable` for data that no receiver would verify
 */
export function parseMessageText(text: string): unknown {
  const data = parse(text);
  const flaw = findFlaw(data);
  if (flaw !== undefined) unsignable(flaw);
  return data;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return unsignable('its text is no JSON');
  }
}

/** JSON writes bytes as objects with numbered members, which no receiver wants. */
function holdsBytes(data: unknown): boolean {
  return search(data, isBytes) === 'found';
}

function isBytes(value: unknown): boolean {
  if (typeof value !== 'object') return false;
  return ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value);
}

function stringify(data: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (cause) {
    throw new ServiceSigningError('message_unsignable', { detail: reasonOf(cause), cause });
  }
  return text ?? unsignable(`its data is of type ${typeof data}`);
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'its data cannot be written as JSON';
  if (cause.message.includes('BigInt')) return 'its data holds a BigInt';
  if (cause.message.includes('circular')) return 'its data holds itself';
  return `its data cannot be written as JSON: ${cause.name}`;
}

function unsignable(detail: string): never {
  throw new ServiceSigningError('message_unsignable', { detail });
}

/**
 * Reads the JSON text of data that was received, from what the handler will get. Another text may parse to the same data,
 * and data that no JSON text of JavaScript has may have come in its place (`1e999` arrives as infinity), so such data is
 * refused.
 *
 * @throws ServiceTokenRefusedError `body_unverifiable`
 */
export function readMessageText(data: unknown): string {
  const flaw = findFlaw(data);
  if (flaw !== undefined) refuse('body_unverifiable', flaw);
  return JSON.stringify(data);
}

/** What is wrong with data that should be that of a JSON text; undefined where nothing is. */
function findFlaw(data: unknown): string | undefined {
  let flaw: string | undefined;
  const outcome = search(data, (value) => (flaw = flawOf(value)) !== undefined);
  if (outcome !== 'too large') return flaw;
  return `the data is nested deeper than ${MAX_DEPTH}, or has more than ${MAX_VALUES} values`;
}

/** Looks level by level for a value that is so: in an object that holds itself, and writes itself by `toJSON`, others would hide. */
function search(
  data: unknown,
  isSo: (value: unknown) => boolean,
): 'found' | 'too large' | undefined {
  let level: unknown[] = [data];
  let left = MAX_VALUES;
  for (let depth = 0; level.length > 0; depth++) {
    left -= level.length;
    if (depth > MAX_DEPTH || left < 0) return 'too large';
    if (level.some(isSo)) return 'found';
    level = membersOf(level);
  }
  return undefined;
}

function membersOf(values: readonly unknown[]): unknown[] {
  const members: unknown[] = [];
  for (const value of values) {
    if (typeof value === 'object' && value !== null) addMembers(members, value);
  }
  return members;
}

function addMembers(list: unknown[], value: object): void {
  // No spread: a million arguments are too many.
  for (const member of Array.isArray(value) ? value : Object.values(value)) list.push(member);
}

function flawOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      if (!Number.isFinite(value)) return 'the data has a number that is not finite';
      return Object.is(value, -0) ? 'the data has a negative zero' : undefined;
    case 'object':
      return value === null || isPlain(value)
        ? undefined
        : 'the data has an object that no JSON text has';
    default:
      return `the data has a value of type ${typeof value}`;
  }
}

/** An object or array as `JSON.parse` makes it, of whatever realm. */
function isPlain(value: object): boolean {
  if (typeof Reflect.get(value, 'toJSON') === 'function') return false;
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null) return true;
  return typeof prototype === 'object' && Object.getPrototypeOf(prototype) === null;
}
