import type { HeldGrant } from '../core/index.js';

/** The user of a call, or (no subject) the service itself. */
export interface CallSubject {
  readonly subject: string | undefined;
  /** The grant to send, if it belongs to that user. */
  readonly grant?: HeldGrant | undefined;
}

/** Provides the user of calls at this point of the program. */
export interface CallContext {
  /** The user of a call that begins now and names none; undefined if no user is known. */
  current(): CallSubject | undefined;
  /** The grant of this user, if one is known at this point of the program. It is never looked up elsewhere. */
  grantFor?(subject: string): HeldGrant | undefined;
}
