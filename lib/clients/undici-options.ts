import { OptionReader, ServiceSigningError } from '../core/index.js';
import type { CallContext } from '../for-whom/call-subject.js';

/** A dispatcher of any version of undici, such as an `Agent`. */
export interface AnyDispatcher {
  /** Returns a dispatcher that sends through the interceptors; the last one runs first. */
  compose(...interceptors: never[]): object;
}

/** An interceptor of undici, of any of its versions. */
export type AnyInterceptor = (dispatch: never) => unknown;

/** The options of a signed dispatcher. */
export interface SignedDispatcherOptions {
  /**
   * Interceptors that repeat or share calls, such as undici's `retry()` and `redirect()`. Each attempt gets its own
   * token. Default: none.
   */
  readonly interceptors?: readonly AnyInterceptor[];
  /** Provides the user of a call that names none. In Nest: the `ServiceCallContext`. Default: no context. */
  readonly callContext?: CallContext;
}

export interface SignedDispatcherSettings {
  readonly interceptors: readonly AnyInterceptor[];
  readonly callContext: CallContext | undefined;
  /** The only origin that the dispatcher sends to, whatever a call names; undefined if calls choose it. */
  readonly ownOrigin: string | undefined;
}

const OPTION_NAMES = [
  'interceptors',
  'callContext',
] as const satisfies (keyof SignedDispatcherOptions)[];

/** Dispatchers that repeat a signed request, or hide its destination. */
const UNSUITABLE: ReadonlyMap<string, string> = new Map([
  ['RetryAgent', 'give `retry()` among the interceptors: a RetryAgent sends the used token again'],
  ['BalancedPool', 'give an Agent: a BalancedPool chooses the origin after signing'],
  [
    'ComposedDispatcher',
    'undici 6 hides what was composed: give the dispatcher itself, and the rest among the interceptors',
  ],
]);

/** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
export function readSignedDispatcherOptions(
  dispatcher: unknown,
  options: unknown,
): SignedDispatcherSettings {
  const reader = new OptionReader(options, OPTION_NAMES);
  const problem = problemOf(dispatcher);
  if (problem !== undefined) reader.report('dispatcher', problem);
  const interceptors = reader.value(
    'interceptors',
    isInterceptors,
    'write a list of interceptors of undici',
  );
  const callContext = reader.port<CallContext>('callContext', 'current');
  reader.problems.assertNone();
  const ownOrigin = ownOriginOf(dispatcher);
  return Object.freeze({ interceptors: interceptors ?? [], callContext, ownOrigin });
}

function problemOf(dispatcher: unknown): string | undefined {
  const isObject = typeof dispatcher === 'object' && dispatcher !== null;
  if (!isObject || typeof Reflect.get(dispatcher, 'compose') !== 'function') {
    return 'write a dispatcher of undici, such as new Agent()';
  }
  return UNSUITABLE.get(dispatcher.constructor.name);
}

function isInterceptors(value: unknown): value is readonly AnyInterceptor[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'function');
}

/** A Client and a Pool have their origin only under a symbol. */
function ownOriginOf(dispatcher: unknown): string | undefined {
  if (typeof dispatcher !== 'object' || dispatcher === null) return undefined;
  const symbols = Object.getOwnPropertySymbols(dispatcher);
  const url = symbols.find(({ description }) => description === 'url');
  const own: unknown = url && Reflect.get(dispatcher, url);
  return own instanceof URL ? own.origin : undefined;
}

/** The members of undici's call options that this library uses, and any others. */
export interface UndiciCall {
  readonly origin?: string | URL;
  readonly path?: string;
  readonly query?: unknown;
  readonly method?: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly signal?: unknown;
  readonly upgrade?: unknown;
  readonly [member: string | symbol]: unknown;
}

/** Headers by lower-case name, as undici accepts them. */
export type UndiciHeaders = Record<string, unknown[]>;

/** Reads the headers of a call once, in each of undici's forms: alternating names and values, pairs, or members. */
export function readHeaders(given: unknown): UndiciHeaders {
  const headers = Object.create(null) as UndiciHeaders;
  for (const [name, value] of pairsOf(given)) {
    if (value !== undefined) (headers[String(name).toLowerCase()] ??= []).push(...[value].flat());
  }
  return headers;
}

function pairsOf(given: unknown): Iterable<readonly unknown[]> {
  if (given === undefined || given === null) return [];
  if (typeof given !== 'object') throw new TypeError('headers: write an object or a list');
  if (!(Symbol.iterator in given)) return Object.entries(given);
  const items = [...(given as Iterable<unknown>)];
  if (items.every((item) => Array.isArray(item))) return items;
  return items.flatMap((name, at) => (at % 2 === 0 ? [[name, items[at + 1]]] : []));
}

/**
 * Writes header values as undici does.
 *
 * @throws ServiceSigningError `header_unsignable` for values that undici would refuse
 */
export function textsOf(values: readonly unknown[]): string[] {
  return values.map((value) => {
    if (value === null) return '';
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    throw new ServiceSigningError('header_unsignable', { detail: 'a header that is no text' });
  });
}
