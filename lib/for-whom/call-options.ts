import { type CallUser, NamedSubject } from './named-subject.js';
import { withStandIns } from './stand-ins.js';

/** The member of a request configuration, or of an init of fetch, with the user of that one call. */
export const CALL_SUBJECT = 'serviceAuthCallSubject';

/** Members that fetch also reads from prototypes, such as those of a `Request` used as init. */
const MEMBERS_OF_FETCH = [
  'body',
  'cache',
  'credentials',
  'dispatcher',
  'duplex',
  'headers',
  'integrity',
  'keepalive',
  'method',
  'mode',
  'priority',
  'redirect',
  'referrer',
  'referrerPolicy',
  'signal',
  'window',
];

/**
 * Makes the call with these options for a user, even while the service serves another user.
 *
 * @param user the URI of the user, or the verified identity from `@ServiceCaller()`. If the identity names no user,
 *   the call names none either. Undefined, as for a request without a verified caller: the call fails with
 *   `subject_undecided`
 * @param options of the call: a configuration of axios, an init of fetch
 * @returns new options of the same kind, which fail in a client that does not sign. Pass `adapter`, `dispatcher` and
 *   `referrer` to this function: its result overrides those that you spread before it
 * @throws TypeError unless the user is a URI, or an identity that the guard of this application verified
 *
 * @example
 * `http.get(url, onBehalfOf(caller))`, `await fetch(url, onBehalfOf(caller, { method: 'DELETE' }))`
 */
export function onBehalfOf<const Options extends object>(
  user: CallUser | undefined,
  options?: Options,
): Options {
  return withSubject(NamedSubject.of(user), options);
}

/**
 * Makes the call with these options in the service's own name: the token names no user.
 *
 * @param options of the call: a configuration of axios, an init of fetch
 * @returns new options of the same kind, which fail in a client that does not sign
 *
 * @example
 * `http.get(url, actingAsItself())`, `await fetch(url, actingAsItself({ method: 'POST', body }))`
 */
export function actingAsItself<const Options extends object>(options?: Options): Options {
  return withSubject(NamedSubject.NONE, options);
}

function withSubject<Options extends object>(
  subject: NamedSubject,
  options: Options | undefined,
): Options {
  const named = { [CALL_SUBJECT]: subject, ...withStandIns(readMembers(options)) };
  // The options may name another user.
  named[CALL_SUBJECT] = subject;
  return named as unknown as Options;
}

/** Reads every member once, as fetch does, including getters and prototypes. Omits symbols and undefined members. */
export function readMembers(options: unknown): Record<string, unknown> {
  if (typeof options !== 'object' || options === null) return {};
  const members: Record<string, unknown> = { ...options };
  // Node's `Request` has its headers, which may include a token, under a symbol.
  for (const symbol of Object.getOwnPropertySymbols(members))
    Reflect.deleteProperty(members, symbol);
  for (const name of MEMBERS_OF_FETCH) {
    if (!isEnumerable(options, name)) members[name] = Reflect.get(options, name);
  }
  for (const name of Object.keys(members)) if (members[name] === undefined) delete members[name];
  return members;
}

const isEnumerable = (options: object, name: string): boolean =>
  Object.prototype.propertyIsEnumerable.call(options, name);
