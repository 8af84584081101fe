import {
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
  /** The configured target a URL belongs to. @throws ServiceSigningError `target_unknown`, `target_invalid` */
  targetOf(url: URL): SigningTarget | undefined;
  /** Is called with why a request was not signed. */
  noteSigningFailure?(
    error: unknown,
    target: Pick<SigningTarget, 'audience' | 'signing'> | undefined,
  ): void;
}

/** The headers of a call as its client sends them. Names are in any case. */
export interface CallHeaders {
  has(name: string): boolean;
  set(name: string, value: string): unknown;
  delete(name: string): unknown;
  toRecord(): OutgoingRequest['headers'];
}

/** What a client will send, copied so that nothing else can change it any more. */
export interface FrozenCall {
  readonly method: string;
  readonly headers: CallHeaders;
  /** Undefined where there is none. */
  readonly body: Buffer | undefined;
}

/** A call as its client hands it over to be signed. */
export interface ClientCall<Frozen extends FrozenCall> {
  /** Puts the absolute URL together. */
  url(): string;
  /** The options of the call. Where they name its user in words, it never leaves unsigned. */
  readonly options: object;
  /** For whom the call is made. @throws ServiceSigningError `subject_undecided` */
  subject(): CallSubject;
  /** @throws ServiceSigningError `body_unsupported`, `body_too_large`, `header_unsignable`, or what fails in the caller's hands */
  freeze(url: URL): Frozen | Promise<Frozen>;
  /** Is called with why the call was not signed. */
  noteFailure?(error: unknown): void;
}

/** A call as it has to be sent: the headers hold the token, unless it could not be signed and need not be. */
export interface SignedCall<Frozen extends FrozenCall> {
  readonly url: string;
  readonly frozen: Frozen;
}

/** Set anew by the client from the bytes: what a caller writes there can only contradict them. */
const FRAMING_HEADERS = ['content-length', 'transfer-encoding'];

/**
 * Signs one call of a client: finds the target of its URL, decides for whom it is made, freezes what will be sent, and
 * puts the token into the headers. Reports to observers why a call was not signed.
 *
 * The rest is the client's: it takes the caller's own token out of what leaves unsigned too, removes stand-ins
 * (`withoutStandIns`), decides the user in the async context of the caller, copies the body before it waits for anything,
 * and lets no redirect carry the token on.
 *
 * @returns undefined for a call that is to be sent as it is: its URL belongs to no target, where such calls are sent
 *   unsigned, or its user is not known and the target's `signing` is `best-effort`
 * @throws ServiceSigningError with a code of `SIGNING_FAILURES`, or what `freeze` throws
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
    const grant = await grantToSend(caller, target, signer);
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
    // What was read of a body is gone: a call whose body fails is not sent.
    if (!isFreezing && isSentUnsigned(error, target)) {
      signer.noteSigningFailure?.(error, target);
      return sent;
    }
    // A body that fails, or a caller who no longer wants the answer, is no failure to sign.
    if (error instanceof ServiceSigningError || sent !== undefined) {
      signer.noteSigningFailure?.(error, target && { ...target, signing: 'required' });
      call.noteFailure?.(error);
    }
    throw error;
  }
}

/** The grant that goes along with a call: that of its own user alone, to a target that takes grants, while it lasts. */
export async function grantToSend(
  { subject, grant }: CallSubject,
  target: Pick<SigningTarget, 'grants'>,
  { settings }: Pick<RequestSigner, 'settings'>,
): Promise<string | undefined> {
  if (target.grants === 'never' || grant === undefined || grant.subject !== subject) {
    return undefined;
  }
  if (!grant.isOver(settings.now())) return await grant.text();
  if (target.grants === 'send') return undefined;
  throw new ServiceSigningError('grant_unusable', { detail: 'the grant of this user is over' });
}

/** @throws ServiceSigningError for a call that names a user, whom nobody would get to know */
function leaveUnsigned(options: object): undefined {
  if (isNamed(options)) throw unsignedWords();
}

function prepareHeaders(headers: CallHeaders, signedHeaders: readonly string[], url: URL): void {
  for (const name of [...SIGNED_HEADERS, ...FRAMING_HEADERS]) headers.delete(name);
  setImplied(headers, signedHeaders, url);
}

/** Without what is not sent. Not every version of fetch leaves out the question mark of an empty query. */
function toSentUrl(url: URL): string {
  if (url.href.includes('#')) url.hash = '';
  if (url.search === '' && url.href.endsWith('?')) url.search = '';
  return url.href;
}
