import type { RequestState } from '../nest/request-state.js';
import type { CallSubject } from './call-subject.js';
import { NamedSubject, tagOf, undecided, type UndecidedReason } from './named-subject.js';

/**
 * The user of a call, decided when the client's method was called. Its state is private, like that of {@link
 * NamedSubject}.
 */
export class FixedSubject {
  readonly #decision: CallSubject | UndecidedReason;
  readonly #request: RequestState | undefined;

  /** @param request the state of the request from which the user was taken; undefined if from none */
  constructor(decision: CallSubject | UndecidedReason, request?: RequestState) {
    this.#decision = decision;
    this.#request = request;
    Object.freeze(this);
  }

  /** The request from which the user was taken. */
  get request(): RequestState | undefined {
    return this.#request;
  }

  /** Whether no user was named and no request was being served. */
  get isNobodys(): boolean {
    return this.#decision === 'outside' || (!this.isFinal && this.#request === undefined);
  }

  /** Whether no user was named, and no request was being served as far as this service sees. */
  get isOutside(): boolean {
    const isUnnamed = this.#decision === 'outside' || this.#decision === 'unnamed';
    return isUnnamed && this.#request === undefined;
  }

  /** Whether code named the user, or no user is known. Then no subscription changes it. */
  get isFinal(): boolean {
    return this.#decision instanceof NamedSubject || typeof this.#decision === 'string';
  }

  /** Like that of {@link NamedSubject}, for keys made from configurations. */
  toJSON(): string {
    return typeof this.#decision === 'string' ? this.#decision : tagOf(this.#decision);
  }

  /** @throws ServiceSigningError `subject_undecided` */
  read(): CallSubject {
    if (typeof this.#decision === 'string') throw undecided(this.#decision);
    return this.#decision;
  }
}
