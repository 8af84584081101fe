import { createHmac, randomBytes } from 'node:crypto';
import {
  type HeldGrant,
  heldGrantOf,
  type ServiceIdentity,
  ServiceSigningError,
  verifierOf,
} from '../core/index.js';
import type { CallSubject } from './call-subject.js';

/** A user: the URI, or the verified identity from `@ServiceCaller()`. */
export type CallUser = string | ServiceIdentity;

/** A key of this process, so that a reader of a tag cannot find the user by trying. */
const TAG_KEY = randomBytes(32);

/**
 * A text that represents a subject without revealing it: equal in this process for equal subjects with equal grants.
 * So a call without a proof that the user asked does not get the answer to a call with one.
 */
export function tagOf({ subject, grant }: CallSubject): string {
  const hmac = createHmac('sha256', TAG_KEY).update(JSON.stringify([subject, grant?.digest]));
  return `user ${hmac.digest('base64url')}`;
}

interface Named {
  readonly verifier?: object | undefined;
  readonly grant?: HeldGrant | undefined;
  readonly isGrantDecided?: boolean;
}

/**
 * A subject that code has named. Its state is private: printing a configuration or an async context does not show the
 * user. And a configuration that was parsed or merged from user input cannot name one.
 */
export class NamedSubject implements CallSubject {
  readonly #subject: string | undefined;
  readonly #verifier: object | undefined;
  readonly #grant: HeldGrant | undefined;
  readonly #isGrantDecided: boolean;

  private constructor(
    subject: string | undefined,
    { verifier, grant, isGrantDecided = grant !== undefined }: Named = {},
  ) {
    this.#subject = subject;
    this.#verifier = verifier;
    this.#grant = grant;
    this.#isGrantDecided = isGrantDecided;
    Object.freeze(this);
  }

  /** The service itself: no user. */
  static readonly NONE = new NamedSubject(undefined);

  /** An unknown user: calls for it are not signed. */
  static readonly UNKNOWN = new NamedSubject(undefined);

  /**
   * @param user undefined for an unknown user
   * @throws TypeError unless it is a string or a verified identity; a copy or parsed JSON is not
   */
  static of(user: CallUser | undefined): NamedSubject {
    if (user === undefined) return NamedSubject.UNKNOWN;
    if (typeof user === 'string') return new NamedSubject(user);
    const isObject = typeof user === 'object' && user !== null;
    const verifier = isObject ? verifierOf(user) : undefined;
    if (verifier) return new NamedSubject(user.subject, { verifier, grant: heldGrantOf(user) });
    const given = isObject ? 'an object that no guard verified' : String(typeof user);
    throw new TypeError(
      `The user of a call is a URI or the identity that @ServiceCaller() gives, not a copy of one: got ${given}.`,
    );
  }

  get subject(): string | undefined {
    return this.#subject;
  }

  /** The grant that came with the identity, or was made for this user. */
  get grant(): HeldGrant | undefined {
    return this.#grant;
  }

  /** Whether the grant of its calls is decided, or that they have none. Then no other context changes it. */
  get isGrantDecided(): boolean {
    return this.#isGrantDecided;
  }

  /** The same user, with this grant, or without a grant. */
  withGrant(grant: HeldGrant | undefined): NamedSubject {
    return new NamedSubject(this.#subject, {
      verifier: this.#verifier,
      grant,
      isGrantDecided: true,
    });
  }

  /** Libraries make keys of batches and caches from options as JSON, so users must differ there. */
  toJSON(): string {
    return this.isUnknown ? 'unknown' : tagOf(this);
  }

  get isUnknown(): boolean {
    return this === NamedSubject.UNKNOWN;
  }

  /** @param verifier the settings with which the calling service verifies requests @throws TypeError */
  assertVerifiedBy(verifier: object | undefined): void {
    if (this.#verifier === undefined || this.#verifier === verifier) return;
    throw new TypeError(
      'The identity was verified by another service than the one that calls: name its user by URI if this service may act for that user.',
    );
  }
}

/** Why a call that names no user has none. */
const REASONS = {
  outside: 'no request is being served here',
  unnamed:
    'take `@ServiceCaller() caller: ServiceIdentity` in the handler and write `onBehalfOf(caller)` in the call',
  unknown:
    'the user it names is undefined, as @ServiceCaller() gives for an anonymous caller, and for a request that would be refused',
  unproved: 'no guard of this service verified a user for the request being served',
  'other-service': 'the request being served was verified by another service of this application',
  over: 'the request whose user it would be for has been answered',
  expired: 'the request in which it was created was answered more than 60 seconds ago',
  'other-request':
    'it was created while another request was served than the one that subscribes to it: create it where it is subscribed to, with `defer(() => http.get(...))`',
  nobody:
    'it was created where no request was served and subscribed to while one is: write `defer(() => http.get(...))`',
  'two-opinions':
    'it was created for another user than the one that runOnBehalfOf() names where it is subscribed to',
  shared: 'it was made in runShared(), which works for several users',
  unreadable: 'its options name the user in another way than with onBehalfOf() or actingAsItself()',
  lost: 'an interceptor replaced its configuration, or its axios instance was made from one that signs',
} as const;

/** The reasons that {@link undecided} explains. */
export type UndecidedReason = keyof typeof REASONS;

/** The error of a call whose user is unknown, with the reason in words. */
export function undecided(reason: UndecidedReason): ServiceSigningError {
  return new ServiceSigningError('subject_undecided', { detail: REASONS[reason] });
}

/** The error of a call that names its user but goes to no target, where other calls leave unsigned. */
export function unsignedWords(): ServiceSigningError {
  const detail = 'a call that names its user is never sent unsigned';
  return new ServiceSigningError('target_unknown', { detail });
}
