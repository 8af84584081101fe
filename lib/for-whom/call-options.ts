import { type CallUser, NamedSubject } from './named-subject.js';
import { withStandIns } from './stand-ins.js';

/** The member of a request configuration, or of an init of fetch, that says for whom that one call is made. */
export const CALL_SUBJECT = 'serviceAuthCallSubject';

/** Members that fetch finds on the prototypes of what it is given too, as on a `Request` that serves as init. */
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
 * Makes the one call with these options for a user, also while another user is served.
 *
 * @param user the URI of the user, or the verified identity that `@ServiceCaller()` gives; with an identity that names
 *   no user, the call names none either. Undefined, as it gives for a request without a verified caller: the call fails with
 *   `subject_undecided`
 * @param options of the call: a configuration of axios, an init of fetch
 * @returns new options of the same kind, which fail in a client that does not sign. Give `adapter`, `dispatcher` and
 *   `referrer` to this function: spread before its result, they are replaced
 * @throws TypeError for anything else than a URI or an identity as the guard of this application verified it
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
 * Makes the one call with these options in the service's own name: the token names no user.
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

/**
 * Reads every member once, as fetch does: getters and prototypes included. Leaves out symbols, and members that are
 * undefined.
 */
export function readMembers(options: unknown): Record<string, unknown> {
  if (typeof options !== 'object' || options === null) return {};
  const members: Record<string, unknown> = { ...options };
  // Node's `Request` keeps its headers, a token among them, under a symbol.
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
