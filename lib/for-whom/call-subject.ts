import type { HeldGrant } from '../core/index.js';

/** For whom a call is made: a user, or (no subject) the service itself. */
export interface CallSubject {
  readonly subject: string | undefined;
  /** The grant that may go along, if it is that user's. */
  readonly grant?: HeldGrant | undefined;
}

/** Knows for whom calls are made at this point of the program. */
export interface CallContext {
  /** For whom a call is made that begins now and names nobody; undefined where nobody is known. */
  current(): CallSubject | undefined;
  /** The grant of this user, where one is known at this point of the program. Never looked up elsewhere. */
  grantFor?(subject: string): HeldGrant | undefined;
}
