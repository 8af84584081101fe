import { createSlot, ServiceAuthUsageError } from '../core/index.js';

/** What the caller gave in the place of a stand-in. */
const GIVEN = createSlot<{ readonly value: unknown }>();

/** What fetch reads: a `Request` that is made with words fails, and so does undici's own request(). */
export const READ_BY_FETCH = ['dispatcher', 'referrer'] as const;

/** What axios and fetch read before they send. */
const PLACES = ['adapter', ...READ_BY_FETCH] as const;

/**
 * Puts stand-ins in the places of what a client reads before it sends, so that words which it does not understand do not
 * leave unsigned: they fail there. A client that signs takes them out with {@link withoutStandIns}.
 */
export function withStandIns(members: object): object {
  const given = withoutStandIns(members);
  const isNothingGiven = PLACES.every((name) => given[name] === undefined);
  return { ...members, ...(isNothingGiven ? FOR_NOTHING : standInsFor(given)) };
}

/** The same options, with what the caller gave in the places of stand-ins. */
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

/** What the caller gave in the place of a stand-in; undefined for what is none. */
export function givenFor(member: unknown): { readonly value: unknown } | undefined {
  const mayBe = typeof member === 'function' || (typeof member === 'object' && member !== null);
  return mayBe ? GIVEN.get(member) : undefined;
}

/** Every fetch makes text of this before it does anything else, and a `Request` when it is made. */
class Referrer {
  toString(): never {
    return refuseToSend();
  }
}

/** Undici calls this, which Node's fetch is made of. */
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

/** Those of every call that gives nothing in their places. */
const FOR_NOTHING = standInsFor({});

function refuseToSend(): never {
  throw new ServiceAuthUsageError(
    'Nothing was sent: onBehalfOf() and actingAsItself() need a client that signs. Import ServiceHttpModule in the module that injects HttpService (in the place of HttpModule), or ServiceFetchModule and inject ServiceFetch. With undici, call a method of the dispatcher that createSignedDispatcher() returns. Name the user in the call itself, not in a Request.',
  );
}
