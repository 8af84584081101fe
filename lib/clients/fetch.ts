import {
  type OutgoingRequest,
  parseTargetUrl,
  type SendingSettings,
  ServiceSigningError,
  type Target,
  TOKEN_HEADER,
} from '../core/index.js';
import { type CallerSettings, isNamed, subjectHere, subjectIn } from '../for-whom/call-decision.js';
import type { CallSubject } from '../for-whom/call-subject.js';
import { unsignedWords } from '../for-whom/named-subject.js';
import { freezeRequest } from './fetch-body.js';
import { type FetchCall, readCall } from './fetch-call.js';
import { freezePlainCall } from './fetch-plain-call.js';
import {
  type AnyFetch,
  readSignedFetchOptions,
  type SignedFetchOptions,
  type SignedFetchSettings,
} from './fetch-options.js';
import { setImplied } from './implied-headers.js';

/** A fetch with the parameters and answers of another one. */
export type SignedFetch<Fetch extends AnyFetch = typeof fetch> = (
  ...call: Parameters<Fetch>
) => ReturnType<Fetch>;

/** The service that signs: a `ServiceAuth`. */
export interface RequestSigner {
  /** @internal */
  readonly settings: CallerSettings;
  /** @internal */
  readonly sending: SendingSettings;
  /**
   * The configured target a URL belongs to.
   *
   * @throws ServiceSigningError `target_unknown`, `target_invalid`
   * @internal
   */
  targetOf(url: URL): Target | undefined;
  /** The token of a request. @throws ServiceSigningError with a code of `SIGNING_FAILURES` */
  sign(request: OutgoingRequest): Promise<string | undefined>;
  /**
   * Notes why a request was not signed, where that is not `sign` itself.
   *
   * @internal
   */
  noteSigningFailure?(error: unknown, target: Target | undefined): void;
}

/** Set anew by fetch from the bytes: what a caller writes there can only contradict them. */
const FRAMING_HEADERS = ['content-length', 'transfer-encoding'];

/**
 * Makes a fetch whose requests to the configured targets are signed, and then sent as signed; others are
 * refused unless `unknownTargets` is `send-unsigned`. It is called like fetch and answers like fetch.
 *
 * Each call is signed once, for that one attempt: wrap what repeats calls around it, not inside.
 * Streams, and bodies of `Request` objects, are read into memory first, up to `maxBufferedBodyBytes`. A
 * redirect is not followed with a token: it is the answer, or with `redirect: 'error'` a failure.
 *
 * The returned function fails with
 *   a ServiceSigningError of any code of `SIGNING_FAILURES` before anything is sent,
 *   a TypeError where fetch itself refuses the call,
 *   or whatever the fetch that sends fails with.
 *
 * @typeParam Fetch the kind of fetch that is signed: that of Node, or another
 * @throws ServiceAuthConfigError for options that are not understood
 * @throws ServiceSigningError `sending_disabled` where the service has no `signingKey`
 *
 * @example
 * const census = createSignedFetch(auth);
 * const response = await census('https://census.service/user/', actingAsItself());
 */
export function createSignedFetch<Fetch extends AnyFetch = typeof fetch>(
  signer: RequestSigner,
  options: SignedFetchOptions<Fetch> = {},
): SignedFetch<Fetch> {
  const { send, callContext } = readSignedFetchOptions(options);
  const { sending } = signer;
  const { settings } = signer;
  const subjectOf = (init: object): CallSubject =>
    subjectIn(init, settings) ?? subjectHere(callContext, settings);
  const parts = { signer, sending, subjectOf };
  const signedFetch = async (input: unknown, init?: unknown): Promise<unknown> => {
    const call = readCall(input, init);
    const request = await signedIfKnown(call, parts);
    if (request === undefined) return await send(call.input, call.init);
    return await sendSigned(call, request, send);
  };
  return signedFetch as unknown as SignedFetch<Fetch>;
}

interface SigningParts {
  readonly signer: RequestSigner;
  readonly sending: SendingSettings;
  readonly subjectOf: (init: object) => CallSubject;
}

type SignedRequest = Awaited<ReturnType<typeof signed>>;

/** The call as it is sent to a target; undefined where it goes to none. */
async function signedIfKnown(
  call: FetchCall,
  parts: SigningParts,
): Promise<SignedRequest | undefined> {
  let target: Target | undefined;
  try {
    const url = parseTargetUrl(call.url);
    target = parts.signer.targetOf(url);
    if (target) return await signed(call, url, parts);
    if (isNamed(call.init)) throw unsignedWords();
    return undefined;
  } catch (error) {
    // A body that fails, or a caller who no longer wants the answer, is no failure to sign.
    if (error instanceof ServiceSigningError) parts.signer.noteSigningFailure?.(error, target);
    throw error;
  }
}

async function sendSigned(
  call: FetchCall,
  { url, ...request }: SignedRequest,
  send: SignedFetchSettings['send'],
): Promise<unknown> {
  const input = typeof call.input === 'string' ? url : call.input;
  try {
    return await send(input, { ...call.init, ...request });
  } finally {
    // Whoever still holds what was sent (a failure, say, of a fetch of the caller's) holds no token.
    request.headers.delete(TOKEN_HEADER);
  }
}

async function signed(call: FetchCall, url: URL, { signer, sending, subjectOf }: SigningParts) {
  const stop = signalOf(call);
  const { subject } = subjectOf(call.init);
  const plain = freezePlainCall(call);
  const frozen = plain ?? (await freezeRequest(call, sending.maxBufferedBodyBytes, stop));
  const { method, headers, body, redirect } = frozen;
  if (url.href.includes('#')) url.hash = '';
  // The empty query as well: not every version of fetch would send its question mark.
  if (url.search === '' && url.href.endsWith('?')) url.search = '';
  for (const name of FRAMING_HEADERS) headers.delete(name);
  assertOwnHost(headers, sending.signedHeaders, url);
  setImplied(headers, sending.signedHeaders, url);
  const token = await signer.sign({
    method,
    url,
    headers: valuesByName(headers),
    body: body ?? new Uint8Array(),
    subject,
  });
  if (token === undefined) throw new ServiceSigningError('target_unknown');
  headers.set('JWT', token);
  stop?.throwIfAborted();
  // The token speaks for this one request, so neither it nor the body follows a redirect.
  return {
    url: url.href,
    method,
    headers,
    body,
    redirect: redirect === 'error' ? 'error' : 'manual',
  };
}

/** Fetch takes the host from the URL, and drops what a caller writes there: it would be signed and not sent. */
function assertOwnHost(headers: Headers, signedHeaders: readonly string[], { host }: URL): void {
  if (!signedHeaders.includes('host') || (headers.get('host') ?? host) === host) return;
  throw new ServiceSigningError('header_unsignable', { detail: 'fetch takes host from the URL' });
}

/** The caller's signal, or that of the request; without one nothing stops the call. */
function signalOf({ input, init }: FetchCall): AbortSignal | undefined {
  const ofRequest = typeof input === 'string' ? undefined : input.signal;
  const signal = init.signal === undefined ? ofRequest : init.signal;
  return signal instanceof AbortSignal ? signal : undefined;
}

function valuesByName(headers: Headers): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of headers) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(values);
}
