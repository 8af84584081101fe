import { type SendingSettings, ServiceSigningError, SIGNED_HEADERS } from '../core/index.js';
import { subjectHere, subjectIn } from '../for-whom/call-decision.js';
import { freezeRequest } from './fetch-body.js';
import { type FetchCall, readCall } from './fetch-call.js';
import {
  type AnyFetch,
  readSignedFetchOptions,
  type SignedFetchOptions,
  type SignedFetchSettings,
} from './fetch-options.js';
import { freezePlainCall } from './fetch-plain-call.js';
import {
  type CallHeaders,
  type FrozenCall,
  type RequestSigner,
  signCall,
  type SignedCall,
} from './signed-call.js';

/** A fetch with the parameters and answers of another one. */
export type SignedFetch<Fetch extends AnyFetch = typeof fetch> = (
  ...call: Parameters<Fetch>
) => ReturnType<Fetch>;

/**
 * Creates a fetch that signs requests to the configured targets, and sends them as signed. It refuses other requests
 * unless `unknownTargets` is `send-unsigned`. Parameters and answers are those of fetch.
 *
 * Each call is signed once, for one attempt: wrap retries around this fetch, not inside. It first reads streams, and
 * bodies of `Request` objects, into memory, up to `maxBufferedBodyBytes`. It follows no redirect with a token: the
 * redirect is the answer, or with `redirect: 'error'` a failure.
 *
 * The returned function fails with a ServiceSigningError of any code of `SIGNING_FAILURES` before anything is sent, a
 * TypeError if fetch itself refuses the call, or the error of the fetch that sends.
 *
 * @typeParam Fetch the type of the fetch that sends: that of Node, or another
 * @throws ServiceAuthConfigError for invalid options
 * @throws ServiceSigningError `sending_disabled` if the service has no `signingKey`
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
  const { settings, sending } = signer;
  const signedFetch = async (input: unknown, init?: unknown): Promise<unknown> => {
    const call = readCall(input, init);
    const signed = await signCall(
      {
        url: () => call.url,
        options: call.init,
        subject: () =>
          subjectIn(call.init, settings, callContext) ?? subjectHere(callContext, settings),
        freeze: (url) => freeze(call, url, sending),
      },
      signer,
    );
    if (signed === undefined) return await send(call.input, call.init);
    signalOf(call)?.throwIfAborted();
    return await sendSigned(call, signed, send);
  };
  return signedFetch as unknown as SignedFetch<Fetch>;
}

/** The call that fetch will send, and the headers in its form. */
interface FrozenFetchCall extends FrozenCall {
  readonly sentHeaders: Headers;
  readonly redirect: string;
}

async function freeze(
  call: FetchCall,
  url: URL,
  { maxBufferedBodyBytes, signedHeaders }: SendingSettings,
): Promise<FrozenFetchCall> {
  const plain = freezePlainCall(call);
  const frozen = plain ?? (await freezeRequest(call, maxBufferedBodyBytes, signalOf(call)));
  assertOwnHost(frozen.headers, signedHeaders, url);
  return { ...frozen, headers: callHeaders(frozen.headers), sentHeaders: frozen.headers };
}

async function sendSigned(
  call: FetchCall,
  { url, frozen }: SignedCall<FrozenFetchCall>,
  send: SignedFetchSettings['send'],
): Promise<unknown> {
  const { method, sentHeaders: headers, body } = frozen;
  const input = typeof call.input === 'string' ? url : call.input;
  // The token is for this one request, so neither the token nor the body follows a redirect.
  const redirect = frozen.redirect === 'error' ? 'error' : 'manual';
  try {
    return await send(input, { ...call.init, method, headers, body, redirect });
  } finally {
    // An error of the caller's own fetch may keep the sent headers, so the token is removed from them.
    for (const name of SIGNED_HEADERS) headers.delete(name);
  }
}

/** Fetch takes the host from the URL and drops the caller's `Host`, which would be signed but not sent. */
function assertOwnHost(headers: Headers, signedHeaders: readonly string[], { host }: URL): void {
  if (!signedHeaders.includes('host') || (headers.get('host') ?? host) === host) return;
  throw new ServiceSigningError('header_unsignable', { detail: 'fetch takes host from the URL' });
}

/** The caller's signal, or that of the request; undefined if there is none. */
function signalOf({ input, init }: FetchCall): AbortSignal | undefined {
  const ofRequest = typeof input === 'string' ? undefined : input.signal;
  const signal = init.signal === undefined ? ofRequest : init.signal;
  return signal instanceof AbortSignal ? signal : undefined;
}

function callHeaders(headers: Headers): CallHeaders {
  return {
    has: (name) => headers.has(name),
    set: (name, value) => headers.set(name, value),
    delete: (name) => headers.delete(name),
    toRecord: () => valuesByName(headers),
  };
}

function valuesByName(headers: Headers): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of headers) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(values);
}
