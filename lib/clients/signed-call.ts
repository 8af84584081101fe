import {
  type HeldGrant,
  isSentUnsigned,
  type OutgoingRequest,
  parseTargetUrl,
  type SendingSettings,
  ServiceSigningError,
  SIGNED_HEADERS,
  type SigningTarget,
} from '../core/index.js';
import { type CallerSettings, isNamed } from '../for-whom/call-decision.js';
import type { CallSubject } from '../for-whom/call-subject.js';
import { unsignedWords } from '../for-whom/named-subject.js';
import { setImplied } from './implied-headers.js';

/** The service that signs: a `ServiceAuth`. */
export interface RequestSigner {
  /** @internal */
  readonly settings: CallerSettings;
  /** @internal */
  readonly sending: SendingSettings;
  /** The configured target of a URL. @throws ServiceSigningError `target_unknown`, `target_invalid` */
  targetOf(url: URL): SigningTarget | undefined;
  /** Called with the error if a request was not signed. */
  noteSigningFailure?(
    error: unknown,
    target: Pick<SigningTarget, 'audience' | 'signing'> | undefined,
  ): void;
}

/** The headers of a call as its client sends them. Names may be in any case. */
export interface CallHeaders {
  has(name: string): boolean;
  set(name: string, value: string): unknown;
  delete(name: string): unknown;
  toRecord(): OutgoingRequest['headers'];
}

/** The content that a client will send, copied so that later changes have no effect. */
export interface FrozenCall {
  readonly method: string;
  readonly headers: CallHeaders;
  /** Undefined if there is no body. */
  readonly body: Buffer | undefined;
}

/** A call that a client passes in for signing. */
export interface ClientCall<Frozen extends FrozenCall> {
  /** Builds the absolute URL. */
  url(): string;
  /**
   * The options of the call. If they name its user with `onBehalfOf()` or `actingAsItself()`, it never leaves
   * unsigned.
   */
  readonly options: object;
  /** The user of the call. @throws ServiceSigningError `subject_undecided` */
  subject(): CallSubject;
  /**
   * @throws ServiceSigningError `body_unsupported`, `body_too_large`, `header_unsignable`, or an error of the
   *   caller's own code
   */
  freeze(url: URL): Frozen | Promise<Frozen>;
  /** Called with the error if the call was not signed. */
  noteFailure?(error: unknown): void;
}

/** A call to send. Its headers contain the token, unless signing failed and is `best-effort`. */
export interface SignedCall<Frozen extends FrozenCall> {
  readonly url: string;
  readonly frozen: Frozen;
}

/**
 * A token is for one request, and the client sets the framing again from the bytes: what a caller writes there can only
 * contradict them.
 */
const HEADERS_SET_HERE = [...SIGNED_HEADERS, 'content-length', 'transfer-encoding'];

/**
 * Signs one call of a client: finds the target of its URL, decides its user, fixes its content, and adds the token to
 * the headers. Calls observers if a call was not signed.
 *
 * The client does the rest. It removes the caller's own token, from unsigned calls too, and removes stand-ins
 * (`withoutStandIns`). It decides the user in the async context of the caller, and copies the body before it waits
 * for anything. And it lets no redirect carry the token on.
 *
 * @returns undefined for a call to send as it is: its URL belongs to no target and such calls are sent unsigned, or
 *   its user is unknown and the target's `signing` is `best-effort`
 * @throws ServiceSigningError with a code of `SIGNING_FAILURES`, or the error of `freeze`
 */
export async function signCall<Frozen extends FrozenCall>(
  call: ClientCall<Frozen>,
  signer: RequestSigner,
): Promise<SignedCall<Frozen> | undefined> {
  let target: SigningTarget | undefined;
  let isFreezing = false;
  let sent: SignedCall<Frozen> | undefined;
  try {
    const url = parseTargetUrl(call.url());
    target = signer.targetOf(url);
    if (target === undefined) return leaveUnsigned(call.options);
    const caller = call.subject();
    isFreezing = true;
    const frozen = await call.freeze(url);
    prepareHeaders(frozen.headers, signer.sending.signedHeaders, url);
    isFreezing = false;
    sent = { url: toSentUrl(url), frozen };
    const held = grantToSend(caller, target, signer);
    const grant = held && (await held.text());
    const token = await target.sign({
      method: frozen.method,
      headers: frozen.headers.toRecord(),
      body: frozen.body ?? new Uint8Array(),
      subject: caller.subject,
      grant,
    });
    frozen.headers.set('JWT', token);
    if (grant !== undefined) frozen.headers.set('Txn-Token', grant);
    return sent;
  } catch (error) {
    // The read part of a body is lost, so a call whose body fails is not sent.
    if (!isFreezing && isSentUnsigned(error, target)) {
      signer.noteSigningFailure?.(error, target);
      return sent;
    }
    // An error of the body, or a cancelled call, is not a signing failure.
    if (error instanceof ServiceSigningError || sent !== undefined) {
      signer.noteSigningFailure?.(error, target && { ...target, signing: 'required' });
      call.noteFailure?.(error);
    }
    throw error;
  }
}

/** The grant that is sent with a call: that of its own user alone, to a target that takes grants, while it lasts. */
export function grantToSend(
  { subject, grant }: CallSubject,
  target: Pick<SigningTarget, 'grants'>,
  { settings }: { readonly settings: Pick<CallerSettings, 'now'> },
): HeldGrant | undefined {
  if (target.grants === 'never' || grant === undefined || grant.subject !== subject) {
    return undefined;
  }
  if (!grant.isOver(settings.now())) return grant;
  if (target.grants === 'send') return undefined;
  throw new ServiceSigningError('grant_unusable', { detail: 'the grant of this user is over' });
}

/** @throws ServiceSigningError for a call that names a user, whom the receiver would never learn */
function leaveUnsigned(options: object): undefined {
  if (isNamed(options)) throw unsignedWords();
}

function prepareHeaders(headers: CallHeaders, signedHeaders: readonly string[], url: URL): void {
  for (const name of HEADERS_SET_HERE) headers.delete(name);
  setImplied(headers, signedHeaders, url);
}

/** The URL without the parts that are not sent. Some versions of fetch keep the question mark of an empty query. */
function toSentUrl(url: URL): string {
  if (url.href.includes('#')) url.hash = '';
  if (url.search === '' && url.href.endsWith('?')) url.search = '';
  return url.href;
}
