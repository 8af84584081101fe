import { format, inspect } from 'node:util';
import { isMap, isSet } from 'node:util/types';
import type { TestKey } from '../keys/keys.js';

/** The segments of tokens that tell something: any of them in a log is a leak. */
export function tellingSegments(tokens: readonly string[]): string[] {
  return tokens.flatMap((token) => token.split('.')).filter((segment) => segment.length > 20);
}

/** What nobody but its owner may see of a key, in the spellings it comes in. */
export function secretsOfKey(key: TestKey): string[] {
  const { d = '' } = key.privateKey.export({ format: 'jwk' });
  return [d, ...key.privatePem.split('\n').filter((line) => /^[\w+/=]{20,}$/.test(line))];
}

export type Printing = readonly [name: string, print: (value: unknown) => string];

/** How errors and answers come to be read: by people, in logs, in reports. */
export const PRINTINGS: readonly Printing[] = [
  ['util.inspect', (value) => inspect(value)],
  ['util.inspect to any depth', (value) => inspect(value, { depth: Infinity })],
  ['util.inspect with getters', (value) => inspect(value, { depth: Infinity, getters: true })],
  ['util.format("%O")', (value) => format('%O', value)],
  ['JSON.stringify', toJson],
  ['String and stack', toText],
  ['a log line of pino', (value) => toJson(pinoRecord(value), withoutCircles())],
  ['structuredClone', (value) => inspect(cloneOf(value), { depth: Infinity })],
  ['every member that can be enumerated', (value) => stringsIn(value, false).join('\n')],
];

/** The same for those who look behind what is meant to be seen. */
export const DEEP_PRINTINGS: readonly Printing[] = [
  ['util.inspect with hidden members', (value) => inspect(value, SHOW_ALL)],
  ['util.format("%o")', (value) => format('%o', value)],
  ['every member there is', (value) => stringsIn(value, true).join('\n')],
];

const SHOW_ALL = { depth: Infinity, showHidden: true };

/** The names of the printings that show one of the secrets. */
export function leaksOf(
  value: unknown,
  secrets: readonly string[],
  printings: readonly Printing[] = [...PRINTINGS, ...DEEP_PRINTINGS],
): string[] {
  const isShown = (text: string): boolean => secrets.some((secret) => text.includes(secret));
  return printings.filter(([, print]) => isShown(print(value))).map(([name]) => name);
}

/** Empty where there is no JSON of it: what cannot be printed is not shown. */
function toJson(value: unknown, replacer?: (name: string, member: unknown) => unknown): string {
  try {
    return JSON.stringify(value, replacer) ?? '';
  } catch (error) {
    // By name: what Node itself throws is of another realm than that of a test.
    if (['TypeError', 'RangeError'].includes(String(Reflect.get(Object(error), 'name')))) return '';
    throw error;
  }
}

/** Each object once. */
function withoutCircles(): (name: string, member: unknown) => unknown {
  const seen = new Set<unknown>();
  return (_name, member) => {
    if (!isObject(member)) return member;
    if (seen.has(member)) return '[Circular]';
    seen.add(member);
    return member;
  };
}

function toText(value: unknown): string {
  return value instanceof Error ? [value, value.message, value.stack].map(String).join('\n') : '';
}

/** As pino's standard serializer has it: what an error is, and every member that can be enumerated. */
function pinoRecord(value: unknown): unknown {
  if (!(value instanceof Error)) return { res: value };
  const { name, message, stack, cause } = value;
  const record = { type: name, message, stack, cause: cause && pinoRecord(cause) };
  return { err: Object.assign({}, value, record) };
}

function cloneOf(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return undefined; // functions and streams cannot be cloned
  }
}

/** Every text that can be reached from `root`: bytes as Latin-1, hidden members and getters if asked for. */
export function stringsIn(root: unknown, isHiddenToo: boolean): string[] {
  const found: string[] = [];
  const seen = new Set<unknown>();
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value === 'string') found.push(value);
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    if (ArrayBuffer.isView(value)) found.push(bytesOf(value));
    else waiting.push(...membersOf(value, isHiddenToo));
  }
  return found;
}

function membersOf(owner: object, isHiddenToo: boolean): unknown[] {
  const isCollection = isMap(owner) || isSet(owner);
  const inside: unknown[] = isCollection ? [...(owner as Iterable<unknown>)].flat() : [];
  const own = Reflect.ownKeys(owner).flatMap((name) => {
    const member = Reflect.getOwnPropertyDescriptor(owner, name);
    if (!member || (!member.enumerable && !isHiddenToo)) return [];
    return [name, 'value' in member ? member.value : readQuietly(owner, name)] as unknown[];
  });
  return [...inside, ...own];
}

function readQuietly(owner: object, name: PropertyKey): unknown {
  try {
    return Reflect.get(owner, name);
  } catch {
    return undefined; // deprecated ones throw
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  if (buffer.byteLength === 0) return ''; // given away
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('latin1');
}
