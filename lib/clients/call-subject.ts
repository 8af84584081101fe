/** For whom a call is made: a user, or (no subject) the service itself. */
export interface CallSubject {
  readonly subject: string | undefined;
}

/** The member of a request configuration that says for whom that one call is made. */
export const CALL_SUBJECT = 'serviceAuthCallSubject';

/**
 * A subject that code has chosen. A class, so that no configuration that was read from JSON or
 * merged from user input can name a user.
 */
export class ChosenSubject implements CallSubject {
  constructor(readonly subject: string | undefined) {
    Object.freeze(this);
  }
}
