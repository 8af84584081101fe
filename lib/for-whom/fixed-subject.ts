import type { RequestState } from '../nest/request-state.js';
import type { CallSubject } from './call-subject.js';
import { NamedSubject, tagOf, undecided, type UndecidedReason } from './named-subject.js';

/**
 * For whom a call is made, as it was decided when the client's method was called. Its state is private, as that of
 * {@link NamedSubject}.
 */
export class FixedSubject {
  readonly #decision: CallSubject | UndecidedReason;
  readonly #request: RequestState | undefined;

  /** @param request the state of the request that the user was taken from; undefined where it was from none */
  constructor(decision: CallSubject | UndecidedReason, request?: RequestState) {
    this.#decision = decision;
    this.#request = request;
    Object.freeze(this);
  }

  /** The request whose user it is. */
  get request(): RequestState | undefined {
    return this.#request;
  }

  /** Whether it was decided where nobody was named and no request was served. */
  get isNobodys(): boolean {
    return this.#decision === 'outside' || (!this.isFinal && this.#request === undefined);
  }

  /** Whether code named the user, or nobody is known: then no subscription changes it. */
  get isFinal(): boolean {
    return this.#decision instanceof NamedSubject || typeof this.#decision === 'string';
  }

  /** As that of {@link NamedSubject}, for keys that are made of configurations. */
  toJSON(): string {
    return typeof this.#decision === 'string' ? this.#decision : tagOf(this.#decision);
  }

  /** @throws ServiceSigningError `subject_undecided` */
  read(): CallSubject {
    if (typeof this.#decision === 'string') throw undecided(this.#decision);
    return this.#decision;
  }
}
