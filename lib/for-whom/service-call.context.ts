import { AsyncLocalStorage } from 'node:async_hooks';
import { Inject, Injectable } from '@nestjs/common';
import {
  HeldGrant,
  heldGrantOf,
  type OriginateCall,
  readUnverifiedGrant,
  type ServiceIdentity,
  ServiceSigningError,
} from '../core/index.js';
import { type RequestState, verificationBy } from '../nest/request-state.js';
import { MODULE_OPTIONS_TOKEN } from '../nest/service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from '../nest/service-auth.options.js';
import { ServiceAuth } from '../service-auth.js';
import { withKnownGrant } from './call-decision.js';
import type { CallContext, CallSubject } from './call-subject.js';
import { FixedSubject } from './fixed-subject.js';
import { keepInside, type Place, type RunInside } from './kept-inside.js';
import { type CallUser, NamedSubject, undecided, type UndecidedReason } from './named-subject.js';

/** For this time after the answer, attempts of a call that began before it still have its user. */
const ATTEMPTS_AFTER_END_MILLISECONDS = 60_000;

/** The request being served. Its state is private, since the runtime stores it where loggers print it. */
class ServedRequest {
  readonly #state: RequestState | undefined;
  readonly #afterEnd: boolean;

  /** @param state undefined for a request that no guard can verify any more, so its user is never proved */
  constructor(state: RequestState | undefined, afterEnd = false) {
    this.#state = state;
    this.#afterEnd = afterEnd;
    Object.freeze(this);
  }

  static readonly UNPROVED = new ServedRequest(undefined);

  get state(): RequestState | undefined {
    return this.#state;
  }

  get isOver(): boolean {
    return this.#state?.endedAt !== undefined && !this.#afterEnd;
  }

  /** The same request, kept after its end. One that has already ended stays ended. */
  keptAfterEnd(): ServedRequest {
    return this.isOver ? this : new ServedRequest(this.#state, true);
  }
}

/** Used instead of a named subject: each call must name its user itself. */
class Shared {
  static readonly WORK = new Shared();
}

/** The options of `bind`. */
export interface BindOptions {
  /** Whether the function keeps the user after the request has been answered. Default false. */
  readonly afterEnd?: boolean;
}

/** The options of `runOnBehalfOf`. */
export interface BehalfOptions {
  /**
   * This service authenticated the user, and vouches for the user: its calls carry a grant that is made now. Fails if
   * the request being served came from another service. `true`: with the defaults.
   */
  readonly originate?: true | OriginateCall;
  /** The grant of this user from `ServiceGrants.issue()`, for queued work. */
  readonly grant?: string;
}

/**
 * Decides the user of outgoing calls that name none themselves. That is the user of the enclosing `runOnBehalfOf` or,
 * with `subjectPropagation: 'ambient'`, the verified user of the request being served.
 */
@Injectable()
export class ServiceCallContext implements CallContext {
  // Entered only with run(): enterWith() would leak one request's user into the next one on the same socket.
  private readonly requests = new AsyncLocalStorage<ServedRequest | undefined>();
  private readonly choices = new AsyncLocalStorage<NamedSubject | Shared | undefined>();
  private readonly isAmbient: boolean;
  /** Whether contexts are kept per request. Before Node 24 this slows every promise of the process. */
  private readonly seesRequests: boolean;

  /** @internal */
  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(MODULE_OPTIONS_TOKEN) options: Pick<ServiceAuthModuleOptions, 'subjectPropagation'>,
  ) {
    this.isAmbient = options.subjectPropagation === 'ambient';
    this.seesRequests = this.isAmbient || this.actsAsItselfOutside || this.originates;
  }

  /**
   * Runs `fn`. Every call in it, and in work that it starts, is on behalf of `user`, unless the call names another
   * user.
   *
   * The result of `fn` belongs to the user too: an Observable at each subscription, a generator at each step. An
   * operator that you pipe to that Observable runs in the subscriber's context, not for the user. Wrap the innermost
   * work of one user, not a call into work that requests share.
   *
   * @param user the URI of the user, or the verified identity from `@ServiceCaller()`. Undefined, as for a request
   *   without a verified caller: calls fail with `subject_undecided`
   * @param options the grant of the calls. Default: that of the identity. For a user named by URI: that of the
   *   request being served, if it is the same user's (`subjectPropagation: 'ambient'`)
   * @throws TypeError unless the user is a URI, or an identity that a guard of this service verified; also for an
   *   `originate` that is neither `true` nor an object
   * @throws ServiceSigningError `originate_refused`, `grant_unusable`, before `fn` is called
   */
  runOnBehalfOf<T>(user: CallUser | undefined, fn: () => T, options: BehalfOptions = {}): T {
    const subject = NamedSubject.of(user);
    subject.assertVerifiedBy(this.serviceAuth.settings.receiving);
    return this.runChosen(this.withGivenGrant(subject, options), fn);
  }

  /** Runs `fn`. Every call in it, and in work that it starts, names no user, unless the call names one itself. */
  runActingAsItself<T>(fn: () => T): T {
    return this.runChosen(NamedSubject.NONE, fn);
  }

  /**
   * Runs `fn`, which works for several users at once, such as the batch function of a DataLoader. It has no user, so
   * each call in it must name its user, or fails.
   */
  runShared<T>(fn: () => T): T {
    return this.runChosen(Shared.WORK, fn);
  }

  /**
   * Binds a function to the current user, wherever it is called later: a task for a limiter, the callback of a pool,
   * a listener. It runs as if it was called now. After the request being served now has ended, it has no user, unless
   * `afterEnd` is set.
   *
   * @example
   * `limiter.schedule(callContext.bind(() => this.load(id)))`
   */
  bind<This, Args extends unknown[], Result>(
    fn: (this: This, ...args: Args) => Result,
    { afterEnd = false }: BindOptions = {},
  ): (this: This, ...args: Args) => Result {
    const here = this.requests.getStore();
    const place = this.placeOf(this.runHere(afterEnd ? here?.keptAfterEnd() : here));
    return function bound(this: This, ...args: Args): Result {
      return keepInside(
        place.run(() => fn.apply(this, args)),
        place,
      );
    };
  }

  /**
   * The grant of this user for calls in this context: of the closest `runOnBehalfOf`, or of the request being served.
   */
  grantFor(subject: string): HeldGrant | undefined {
    const choice = this.choices.getStore();
    if (choice instanceof Shared) return undefined;
    const grant = choice?.grant ?? this.grantOfRequest();
    return grant?.subject === subject ? grant : undefined;
  }

  /**
   * Asserts that this service may vouch for a user now. A service that another service called must pass on the grant
   * of that call.
   *
   * @throws ServiceSigningError `originate_refused`
   * @internal
   */
  assertMayOriginate({ insteadOf }: Pick<OriginateCall, 'insteadOf'>): void {
    if (insteadOf === 'served-grant') return;
    let verification = this.requests.getStore()?.state?.verification;
    while (verification && !verification.isOfService) verification = verification.previous;
    if (!verification) return;
    const detail = 'the request being served came from another service';
    throw new ServiceSigningError('originate_refused', { detail });
  }

  /** The user of a call that names none in this context; undefined if the call fails, or has no user. */
  current(): CallSubject | undefined {
    const decision = this.decide();
    return typeof decision === 'string' ? undefined : decision;
  }

  /**
   * Decides the user of a call that is created now and names none. For the library's own clients.
   *
   * @internal
   */
  fix(): FixedSubject {
    return new FixedSubject(this.decide(), this.requests.getStore()?.state);
  }

  /**
   * Compares the user of a call with the current context, when it is subscribed to or repeated. For the library's own
   * clients.
   *
   * @returns the user of this attempt
   * @internal
   */
  attempt(fixed: FixedSubject): FixedSubject {
    const objection = this.objectionTo(fixed);
    return objection === undefined ? fixed : new FixedSubject(objection);
  }

  /**
   * Runs `fn` as part of serving `request`, whatever the current context is: it may belong to another request, with
   * another subject. For the library's own hooks.
   *
   * @internal
   */
  runForRequest<T>(request: RequestState, fn: () => T): T {
    return this.runUnchosen(() => this.runIn(new ServedRequest(request), fn));
  }

  /**
   * Runs `fn` as part of a request whose user is not proved, whatever the current context is. For the library's own
   * hooks.
   *
   * @internal
   */
  runUnproved<T>(fn: () => T): T {
    return this.runUnchosen(() => this.runIn(ServedRequest.UNPROVED, fn));
  }

  /**
   * Whether the end of a request must be recorded in its state.
   *
   * @internal
   */
  get notesEnd(): boolean {
    return this.seesRequests;
  }

  private get actsAsItselfOutside(): boolean {
    return this.serviceAuth.settings.sending?.subjectOutsideRequest === 'act-as-itself';
  }

  private get originates(): boolean {
    return this.serviceAuth.settings.sending?.originate !== undefined;
  }

  /** With `explicit` propagation, the request being served provides nothing: code passes the identity on. */
  private grantOfRequest(): HeldGrant | undefined {
    const request = this.isAmbient ? this.requests.getStore() : undefined;
    const user = request && this.userOf(request);
    return typeof user === 'object' ? user.grant : undefined;
  }

  private withGivenGrant(named: NamedSubject, { originate, grant }: BehalfOptions): NamedSubject {
    if (originate === undefined && grant === undefined) return withKnownGrant(named, this);
    if (originate !== undefined && grant !== undefined) {
      throw new TypeError('Give runOnBehalfOf() a grant, or let it originate one, not both.');
    }
    const { subject } = named;
    if (subject === undefined) throw undecided('unknown');
    const held =
      grant === undefined ? this.originate(subject, originate) : holdText(subject, grant);
    if (held.isOver(this.serviceAuth.settings.now())) throw unusable('it is over');
    return named.withGrant(held);
  }

  private originate(subject: string, given: BehalfOptions['originate']): HeldGrant {
    const options = given === true ? {} : given;
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(
        `originate is true, or says what the grant says: got ${String(options)}.`,
      );
    }
    this.assertMayOriginate(options);
    const { text, expiresAtSeconds } = this.serviceAuth.originate(subject, options);
    return new HeldGrant(text, { subject, expiresAtSeconds });
  }

  private decide(): CallSubject | UndecidedReason {
    const choice = this.choices.getStore();
    if (choice instanceof Shared) return 'shared';
    if (choice) return choice.isUnknown ? 'unknown' : choice;
    const request = this.requests.getStore();
    if (request) return this.isAmbient ? this.userOf(request) : 'unnamed';
    if (this.actsAsItselfOutside) return { subject: undefined };
    return this.isAmbient ? 'outside' : 'unnamed';
  }

  private userOf({ state, isOver }: ServedRequest): CallSubject | UndecidedReason {
    if (isOver) return 'over';
    const identity = state && this.identityIn(state);
    if (identity) return { subject: identity.subject, grant: heldGrantOf(identity) };
    return state?.verification?.identity ? 'other-service' : 'unproved';
  }

  private identityIn(state: RequestState): ServiceIdentity | undefined {
    return verificationBy(this.serviceAuth, state)?.identity;
  }

  private objectionTo(fixed: FixedSubject): UndecidedReason | undefined {
    const here = this.requests.getStore();
    if (here && fixed.isNobodys) return 'nobody';
    if (fixed.isFinal) return undefined;
    const choice = this.choices.getStore();
    if (choice instanceof NamedSubject && choice.isUnknown) return 'unknown';
    if (choice instanceof NamedSubject && choice.subject !== fixed.read().subject) {
      return 'two-opinions';
    }
    const { request } = fixed;
    if (here && !here.isOver) return here.state === request ? undefined : 'other-request';
    return isExpired(request) ? 'expired' : undefined;
  }

  private runChosen<T>(choice: NamedSubject | Shared, fn: () => T): T {
    const run: RunInside = (inner) => this.choices.run(choice, inner);
    return keepInside(run(fn), this.placeOf(run));
  }

  private placeOf(run: RunInside): Place {
    return { run, back: () => this.runHere(this.requests.getStore()) };
  }

  /** Runs functions as if they were called now, while `request` is being served. */
  private runHere(request: ServedRequest | undefined): RunInside {
    const choice = this.choices.getStore();
    return (inner) => this.choices.run(choice, () => this.runIn(request, inner));
  }

  private runUnchosen<T>(fn: () => T): T {
    return this.choices.getStore() === undefined ? fn() : this.choices.run(undefined, fn);
  }

  private runIn<T>(request: ServedRequest | undefined, fn: () => T): T {
    if (!this.seesRequests || this.requests.getStore() === request) return fn();
    return this.requests.run(request, fn);
  }
}

function isExpired(request: RequestState | undefined): boolean {
  if (request?.endedAt === undefined) return false;
  return performance.now() - request.endedAt > ATTEMPTS_AFTER_END_MILLISECONDS;
}

/** A grant that code kept. Only the receiver verifies its signature: this service may not know its originator. */
function holdText(subject: string, text: string): HeldGrant {
  const read = typeof text === 'string' ? readUnverifiedGrant(text) : undefined;
  if (read === undefined) throw unusable('it is no grant');
  if (read.subject !== subject) throw unusable("it is another user's");
  return new HeldGrant(text, read);
}

function unusable(detail: string): ServiceSigningError {
  return new ServiceSigningError('grant_unusable', { detail });
}
