import { AsyncLocalStorage } from 'node:async_hooks';
import { Inject, Injectable } from '@nestjs/common';
import type { ServiceIdentity } from '../core/index.js';
import { type RequestState, verificationBy } from '../nest/request-state.js';
import { MODULE_OPTIONS_TOKEN } from '../nest/service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from '../nest/service-auth.options.js';
import { ServiceAuth } from '../service-auth.js';
import type { CallContext, CallSubject } from './call-subject.js';
import { FixedSubject } from './fixed-subject.js';
import { keepInside, type Place, type RunInside } from './kept-inside.js';
import { type CallUser, NamedSubject, type UndecidedReason } from './named-subject.js';

/** For how long after the answer an attempt is made for the user of a call that began before it. */
const ATTEMPTS_AFTER_END_MILLISECONDS = 60_000;

/** The request being served. Its state is private: the runtime keeps it where loggers print it. */
class ServedRequest {
  readonly #state: RequestState | undefined;
  readonly #afterEnd: boolean;

  /** @param state undefined for one that no guard can verify any more: its user will never be proved */
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

  /** One that is over already stays over. */
  keptAfterEnd(): ServedRequest {
    return this.isOver ? this : new ServedRequest(this.#state, true);
  }
}

/** In the place of a named subject: each call says itself for whom it is made. */
class Shared {
  static readonly WORK = new Shared();
}

/** What `bind` takes besides the function. */
export interface BindOptions {
  /** Whether the function may go on in the user's name once the request has been answered. Default false. */
  readonly afterEnd?: boolean;
}

/**
 * Decides for whom outgoing calls are made that name nobody themselves: for the user that `runOnBehalfOf` names around
 * them and, with `subjectPropagation: 'ambient'`, for the verified user of the request being served.
 */
@Injectable()
export class ServiceCallContext implements CallContext {
  // Only ever entered with run(): enterWith() would leak one request's user into the next one
  // on the same socket.
  private readonly requests = new AsyncLocalStorage<ServedRequest | undefined>();
  private readonly choices = new AsyncLocalStorage<NamedSubject | Shared | undefined>();
  private readonly isAmbient: boolean;
  /** Whether requests are told apart: until Node 24 this makes every promise of the process slower. */
  private readonly seesRequests: boolean;

  /** @internal */
  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(MODULE_OPTIONS_TOKEN) options: Pick<ServiceAuthModuleOptions, 'subjectPropagation'>,
  ) {
    this.isAmbient = options.subjectPropagation === 'ambient';
    this.seesRequests = this.isAmbient || this.actsAsItselfOutside;
  }

  /**
   * Runs `fn`; every call made in it, and in what it starts, is on behalf of `user`, unless the call says otherwise.
   *
   * What `fn` returns belongs to the user too: an Observable each time that it is subscribed to, a generator at each
   * step. An operator that you pipe to that Observable runs where one subscribes, so not for the user.
   * Put it around one user's innermost piece of work, not around a call into work that requests share.
   *
   * @param user the URI of the user, or the verified identity that `@ServiceCaller()` gives; undefined, as it gives for a
   *   request without a verified caller: calls fail with `subject_undecided`
   * @throws TypeError for anything else than a URI or an identity as a guard of this service verified it
   */
  runOnBehalfOf<T>(user: CallUser | undefined, fn: () => T): T {
    const subject = NamedSubject.of(user);
    subject.assertVerifiedBy(this.serviceAuth.settings.receiving);
    return this.runChosen(subject, fn);
  }

  /** Runs `fn`; every call made in it, and in what it starts, names no user, unless the call says otherwise. */
  runActingAsItself<T>(fn: () => T): T {
    return this.runChosen(NamedSubject.NONE, fn);
  }

  /**
   * Runs `fn`, which works for several users at once, such as the batch function of a DataLoader: for nobody, so that
   * each call made in it says for whom, or is refused.
   */
  runShared<T>(fn: () => T): T {
    return this.runChosen(Shared.WORK, fn);
  }

  /**
   * Makes a function do one user's piece of work wherever it is called: a task for a limiter, the callback of a pool, a
   * listener. It runs as if it was called here. With the request that is being served here ends its user, unless
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

  /** For whom a call is made here that names nobody; undefined where such a call is refused, or has no user. */
  current(): CallSubject | undefined {
    const decision = this.decide();
    return typeof decision === 'string' ? undefined : decision;
  }

  /**
   * Fixes for whom a call is made that is created here and names nobody. For the library's own clients.
   *
   * @internal
   */
  fix(): FixedSubject {
    return new FixedSubject(this.decide(), this.requests.getStore()?.state);
  }

  /**
   * Compares for whom a call was created with where it is subscribed to, or repeated. For the library's own clients.
   *
   * @returns for whom this attempt is made
   * @internal
   */
  attempt(fixed: FixedSubject): FixedSubject {
    const objection = this.objectionTo(fixed);
    return objection === undefined ? fixed : new FixedSubject(objection);
  }

  /**
   * Runs `fn` as part of serving `request`, whatever is around it: that may be another request's turn, and a subject
   * chosen there is not this one's. For the library's own hooks.
   *
   * @internal
   */
  runForRequest<T>(request: RequestState, fn: () => T): T {
    return this.runUnchosen(() => this.runIn(new ServedRequest(request), fn));
  }

  /**
   * Runs `fn` as part of a request whose user is not proved, whatever is around it. For the library's own hooks.
   *
   * @internal
   */
  runUnproved<T>(fn: () => T): T {
    return this.runUnchosen(() => this.runIn(ServedRequest.UNPROVED, fn));
  }

  /**
   * Whether the end of a request has to be noted in its state.
   *
   * @internal
   */
  get notesEnd(): boolean {
    return this.seesRequests;
  }

  private get actsAsItselfOutside(): boolean {
    return this.serviceAuth.settings.sending?.subjectOutsideRequest === 'act-as-itself';
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
    if (identity) return { subject: identity.subject };
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

  /** Runs functions as if they were called here, while `request` is served. */
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
