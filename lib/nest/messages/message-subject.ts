import { isNamed, subjectIn, withKnownGrant } from '../../for-whom/call-decision.js';
import { CALL_SUBJECT } from '../../for-whom/call-options.js';
import type { CallSubject } from '../../for-whom/call-subject.js';
import { NamedSubject, undecided } from '../../for-whom/named-subject.js';
import type { ServiceCallContext } from '../../for-whom/service-call.context.js';
import type { ServiceAuth } from '../../service-auth.js';
import { ServiceMessage } from './service-message.js';

/** Who signs: the service, and for whom it sends. */
export interface ClientSigner {
  readonly serviceAuth: ServiceAuth;
  readonly callContext: ServiceCallContext;
}

/** Data as its sender gave it, and for whom it is sent. */
export interface AddressedData {
  readonly data: unknown;
  /** For whom this attempt is made. @throws ServiceSigningError `subject_undecided` */
  readonly subject: () => CallSubject;
}

/**
 * Fixes for whom data is sent, where the method of the client is called: for the user that {@link ServiceMessage} names,
 * else for the one that is known here.
 *
 * @throws TypeError for an identity that another service verified
 */
export function readAddressed(given: unknown, signer: ClientSigner): AddressedData {
  const message = given instanceof ServiceMessage ? given : undefined;
  const named = message && readNamed(message, signer);
  const fixed = named ? undefined : signer.callContext.fix();
  const subject = (): CallSubject => {
    if (named) return named();
    if (!fixed) throw undecided('lost');
    return signer.callContext.attempt(fixed).read();
  };
  return { data: message ? message.data : given, subject };
}

/** The user that the message names in words. The grant of one who is named by URI is that which is known here. */
function readNamed(
  { options }: ServiceMessage,
  { serviceAuth, callContext }: ClientSigner,
): (() => CallSubject) | undefined {
  if (!isNamed(options)) return undefined;
  const mark: unknown = Reflect.get(options, CALL_SUBJECT);
  const known = mark instanceof NamedSubject ? withKnownGrant(mark, callContext) : mark;
  return () => {
    const subject = subjectIn({ [CALL_SUBJECT]: known }, serviceAuth.settings);
    if (subject === undefined) throw undecided('lost');
    return subject;
  };
}
