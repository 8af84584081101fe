import { type SendingSettings, ServiceSigningError } from '../core/index.js';

/** For whom a call is made: a user, or (no subject) the service itself. */
export interface CallSubject {
  readonly subject: string | undefined;
}

/** Knows for whom calls are made at this point of the program; undefined when nobody said. */
export interface CallContext {
  /** For whom a call is made that begins now. */
  current(): CallSubject | undefined;
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

/**
 * For whom a call is made: whoever its configuration names, or else whom `current` does.
 *
 * @throws ServiceSigningError `subject_undecided`, also where the configuration names somebody in
 *   another way than by {@link ChosenSubject}
 */
export function decideSubject(config: object, current: () => CallSubject | undefined): CallSubject {
  const chosen: unknown = Reflect.get(config, CALL_SUBJECT);
  if (chosen instanceof ChosenSubject) return chosen;
  const found = chosen === undefined ? current() : undefined;
  if (found === undefined) throw new ServiceSigningError('subject_undecided');
  return found;
}

/** For whom calls are made here, where their own configuration names nobody. */
export function subjectHere(
  context: CallContext | undefined,
  { subjectOutsideRequest }: Pick<SendingSettings, 'subjectOutsideRequest'>,
): CallSubject | undefined {
  const actsAsItself = subjectOutsideRequest === 'act-as-itself';
  return context?.current() ?? (actsAsItself ? { subject: undefined } : undefined);
}
