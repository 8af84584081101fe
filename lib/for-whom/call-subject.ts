/** For whom a call is made: a user, or (no subject) the service itself. */
export interface CallSubject {
  readonly subject: string | undefined;
}

/** Knows for whom calls are made at this point of the program. */
export interface CallContext {
  /** For whom a call is made that begins now and names nobody; undefined where nobody is known. */
  current(): CallSubject | undefined;
}
