import type { ReceivingSettings, SendingSettings } from '../core/index.js';
import { CALL_SUBJECT } from './call-options.js';
import type { CallContext, CallSubject } from './call-subject.js';
import { FixedSubject } from './fixed-subject.js';
import { NamedSubject, undecided } from './named-subject.js';

/** The settings that decide for which users a service may call. */
export interface CallerSettings {
  readonly receiving: ReceivingSettings | undefined;
  readonly sending: SendingSettings | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** A context that decides the user of a call when the client's method is called. */
interface FixingContext extends CallContext {
  fix(): FixedSubject;
}

/**
 * The named user, with the user's grant that is known at this point of the program. Decided once: a call without a
 * grant gets none later, even if it is repeated, or subscribed to, in the context of that user.
 */
export function withKnownGrant(
  named: NamedSubject,
  context: Pick<CallContext, 'grantFor'> | undefined,
): NamedSubject {
  if (named.isGrantDecided || named.subject === undefined) return named;
  return named.withGrant(context?.grantFor?.(named.subject));
}

/** Whether the options of a call name its user: with `onBehalfOf()` or `actingAsItself()`. */
export function isNamed(options: object): boolean {
  return Reflect.get(options, CALL_SUBJECT) instanceof NamedSubject;
}

/**
 * The user of a call whose options name one, or got one when the client's method was called.
 *
 * @param context provides the grant of a user named by URI
 * @returns undefined if the options name no user
 * @throws ServiceSigningError `subject_undecided`
 * @throws TypeError for an identity that the calling service did not verify
 */
export function subjectIn(
  options: object,
  settings: CallerSettings,
  context?: CallContext,
): CallSubject | undefined {
  const mark: unknown = Reflect.get(options, CALL_SUBJECT);
  if (mark === undefined) return undefined;
  if (mark instanceof FixedSubject) return mark.read();
  if (!(mark instanceof NamedSubject)) throw undecided('unreadable');
  if (mark.isUnknown) throw undecided('unknown');
  mark.assertVerifiedBy(settings.receiving);
  return withKnownGrant(mark, context);
}

/**
 * The user of a call that names none, decided in the current context.
 *
 * @throws ServiceSigningError `subject_undecided`
 */
export function subjectHere(
  context: CallContext | undefined,
  settings: CallerSettings,
): CallSubject {
  if (context && isFixing(context)) return context.fix().read();
  const known = context?.current();
  if (known) return known;
  if (settings.sending?.subjectOutsideRequest === 'act-as-itself') return { subject: undefined };
  throw undecided('outside');
}

function isFixing(context: CallContext): context is FixingContext {
  return typeof Reflect.get(context, 'fix') === 'function';
}
