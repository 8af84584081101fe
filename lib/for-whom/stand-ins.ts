import { createSlot, ServiceAuthUsageError } from '../core/index.js';

/** The caller's value that a stand-in replaces. */
const GIVEN = createSlot<{ readonly value: unknown }>();

/** Members that fetch reads: creating a `Request` with a stand-in fails, and so does undici's own request(). */
export const READ_BY_FETCH = ['dispatcher', 'referrer'] as const;

/** Members that axios and fetch read before they send. */
const PLACES = ['adapter', ...READ_BY_FETCH] as const;

/**
 * Replaces members that a client reads before it sends by stand-ins. So a call that names its user fails in a client
 * that does not sign, instead of leaving unsigned. A client that signs removes them with {@link withoutStandIns}.
 */
export function withStandIns(members: object): object {
  const given = withoutStandIns(members);
  const isNothingGiven = PLACES.every((name) => given[name] === undefined);
  return { ...members, ...(isNothingGiven ? FOR_NOTHING : standInsFor(given)) };
}

/** The same options, with the caller's values instead of stand-ins. */
export function withoutStandIns(members: object): Record<string, unknown> {
  const all: Record<string, unknown> = { ...members };
  for (const name of PLACES) {
    const given = givenFor(all[name]);
    if (given === undefined) continue;
    if (given.value === undefined) delete all[name];
    else all[name] = given.value;
  }
  return all;
}

/** The caller's value behind a stand-in; undefined if the member is not a stand-in. */
export function givenFor(member: unknown): { readonly value: unknown } | undefined {
  const mayBe = typeof member === 'function' || (typeof member === 'object' && member !== null);
  return mayBe ? GIVEN.get(member) : undefined;
}

/** Every fetch converts this to text first, and so does the constructor of `Request`. */
class Referrer {
  toString(): never {
    return refuseToSend();
  }
}

/** Undici, on which Node's fetch is built, calls this. */
class Dispatcher {
  dispatch(): never {
    return refuseToSend();
  }
}

function standInsFor(given: Record<string, unknown>): Record<(typeof PLACES)[number], object> {
  const standIns = {
    adapter: refuseToSend.bind(undefined),
    dispatcher: new Dispatcher(),
    referrer: new Referrer(),
  };
  for (const name of PLACES) {
    GIVEN.set(standIns[name], { value: given[name] });
    Object.freeze(standIns[name]);
  }
  return standIns;
}

/** The stand-ins of every call without such members. */
const FOR_NOTHING = standInsFor({});

function refuseToSend(): never {
  throw new ServiceAuthUsageError(
    'Nothing was sent: onBehalfOf() and actingAsItself() need a client that signs. Import ServiceHttpModule in the module that injects HttpService (instead of HttpModule), or ServiceFetchModule and inject ServiceFetch. With undici, call a method of the dispatcher that createSignedDispatcher() returns. Name the user in the call itself, not in a Request.',
  );
}
