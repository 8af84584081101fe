import { randomUUID } from 'node:crypto';
import { stringify } from 'node:querystring';
import {
  ServiceAuthUsageError,
  ServiceSigningError,
  SIGNED_HEADERS,
  TOKEN_HEADER,
} from '../core/index.js';
import { subjectHere, subjectIn } from '../for-whom/call-decision.js';
import { CALL_SUBJECT } from '../for-whom/call-options.js';
import type { CallSubject } from '../for-whom/call-subject.js';
import { tagOf, undecided } from '../for-whom/named-subject.js';
import { withoutStandIns } from '../for-whom/stand-ins.js';
import {
  type CallHeaders,
  type FrozenCall,
  type RequestSigner,
  signCall,
  type SignedCall,
} from './signed-call.js';
import { freezeUndiciBody } from './undici-body.js';
import {
  type AnyDispatcher,
  readHeaders,
  readSignedDispatcherOptions,
  type SignedDispatcherOptions,
  type SignedDispatcherSettings,
  textsOf,
  type UndiciCall,
  type UndiciHeaders,
} from './undici-options.js';

/** The handler that undici calls with the result of a request. Before version 7 it has `onError`. */
interface Handler {
  onResponseError?(controller: null, error: unknown): void;
  onError?(error: unknown): void;
}

type Dispatch = (call: UndiciCall, handler: Handler) => unknown;
type Interceptor = (dispatch: Dispatch) => Dispatch;

/**
 * The user of a call, decided when the call began. Its grant goes only to the URL of the call itself, not to a
 * redirect. A function, so that printed options show no user.
 */
type Decision = (url: string) => CallSubject;

/** A symbol, which copies of the options keep: interceptors copy them for each attempt. */
const DECISION = Symbol('DECISION');

/**
 * Creates a dispatcher of undici that signs requests to the configured targets, and sends them as signed. It refuses
 * other requests unless `unknownTargets` is `send-unsigned`. It has the methods of every dispatcher (`request`,
 * `stream`, `pipeline`), and undici's functions accept it as `dispatcher`.
 *
 * The user of a call is decided once, when the call begins. Each attempt is signed again: a retry, and a redirect,
 * which gets a token only if it leads to a target. Streams are first read into memory, up to `maxBufferedBodyBytes`.
 *
 * A call fails with a ServiceSigningError of any code of `SIGNING_FAILURES` before anything is sent, with a
 * ServiceAuthUsageError for a CONNECT or an upgrade to a target, or with an error of undici.
 *
 * @param dispatcher sends the requests: an Agent, a ProxyAgent, a Pool, a Client. A cache belongs below the signing:
 *   compose it onto this dispatcher
 * @throws ServiceAuthConfigError for invalid options, and for dispatchers that repeat or reroute requests
 * @throws ServiceSigningError `sending_disabled` if the service has no `signingKey`
 *
 * @example
 * const census = createSignedDispatcher(auth, new Agent(), { interceptors: [interceptors.retry()] });
 * await census.request(onBehalfOf(caller, { origin: 'https://census.service', path: '/user/', method: 'GET' }));
 */
export function createSignedDispatcher<Dispatcher extends AnyDispatcher>(
  signer: RequestSigner,
  dispatcher: Dispatcher,
  options: SignedDispatcherOptions = {},
): ReturnType<Dispatcher['compose']> {
  const settings = readSignedDispatcherOptions(dispatcher, options);
  // Undici runs the last interceptor first.
  const chain = [signing(signer, settings), ...settings.interceptors, deciding(signer, settings)];
  return dispatcher.compose(...(chain as never[])) as ReturnType<Dispatcher['compose']>;
}

/**
 * Decides the user when the call begins. An attempt after a redirect begins in the async context of the request that
 * opened the socket, which may belong to another user.
 */
function deciding({ settings }: RequestSigner, options: SignedDispatcherSettings): Interceptor {
  return (dispatch) => (call, handler) => {
    const [decision, tag] = decide(
      () =>
        subjectIn(call, settings, options.callContext) ??
        subjectHere(options.callContext, settings),
      () => urlOf(call, options.ownOrigin),
    );
    const headers = readHeaders(call.headers);
    // Until there is a token, the tag keeps users apart in interceptors that share answers between equal requests.
    headers[TOKEN_HEADER] = [tag];
    const decided = { ...withoutStandIns(call), headers: toPlain(headers), [DECISION]: decision };
    return dispatch(decided, handler);
  };
}

function decide(
  subjectOf: () => CallSubject,
  firstUrl: () => string,
): [decision: Decision, tag: string] {
  try {
    const decided = subjectOf();
    if (decided.grant === undefined) return [() => decided, tagOf(decided)];
    const ownUrl = firstUrl();
    const { subject } = decided;
    return [(url) => (url === ownUrl ? decided : { subject }), tagOf(decided)];
  } catch (error) {
    return [() => rethrow(error), tagOf({ subject: randomUUID() })];
  }
}

function rethrow(error: unknown): never {
  throw error;
}

function decisionOf(call: UndiciCall): Decision {
  const decision = call[DECISION];
  // An interceptor created its own options, which do not name the user.
  if (typeof decision !== 'function') throw undecided('lost');
  return decision as Decision;
}

function signing(signer: RequestSigner, { ownOrigin }: SignedDispatcherSettings): Interceptor {
  const { maxBufferedBodyBytes } = signer.sending;
  return (dispatch) => (call, handler) => {
    const send = async (): Promise<void> => {
      const signed = await signCall(
        {
          url: () => urlOf(call, ownOrigin),
          options: call,
          subject: () => decisionOf(call)(urlOf(call, ownOrigin)),
          freeze: async () => await freeze(call, maxBufferedBodyBytes),
        },
        signer,
      );
      dispatch(signed ? toSent(call, signed) : toUnsigned(call), handler);
    };
    send().catch((error: unknown) => fail(handler, error));
    return true;
  };
}

function fail(handler: Handler, error: unknown): void {
  if (handler.onResponseError) handler.onResponseError(null, error);
  else handler.onError?.(error);
}

/** Built as undici does: a path that looks like another host is a path of this host. */
function urlOf({ origin, path, query, method }: UndiciCall, ownOrigin: string | undefined): string {
  const base = String(origin ?? ownOrigin ?? '').replace(/\/$/, '');
  if (base === '') throw invalid('the call has no origin');
  if (ownOrigin !== undefined && originOf(base) !== ownOrigin) {
    throw invalid('a Client and a Pool send to their own origin alone');
  }
  if (method === 'CONNECT') return base;
  if (typeof path !== 'string' || !path.startsWith('/')) throw invalid('the path has no slash');
  if (query === undefined || query === null) return base + path;
  if (/[?#]/.test(path)) throw invalid('the path has a query, and there is another one');
  return `${base}${path}?${stringify(query as Parameters<typeof stringify>[0])}`;
}

function originOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).origin : undefined;
}

function invalid(detail: string): ServiceSigningError {
  return new ServiceSigningError('target_invalid', { detail });
}

interface FrozenUndiciCall extends FrozenCall {
  readonly sentHeaders: UndiciHeaders;
}

async function freeze(call: UndiciCall, maxBytes: number): Promise<FrozenUndiciCall> {
  const method = (call.method ?? 'GET').toUpperCase();
  if (method === 'CONNECT' || call.upgrade) {
    throw new ServiceAuthUsageError(
      'Nothing was sent: a tunnel or an upgraded connection to a target cannot be signed, since a token speaks for one request.',
    );
  }
  const sentHeaders = readHeaders(call.headers);
  const headers = callHeaders(sentHeaders);
  const { bytes, type } = await freezeUndiciBody(call, maxBytes);
  if (type !== undefined && !headers.has('content-type')) headers.set('content-type', type);
  return { method, headers, body: bytes, sentHeaders };
}

function callHeaders(headers: UndiciHeaders): CallHeaders {
  return {
    has: (name) => name.toLowerCase() in headers,
    set: (name, value) => (headers[name.toLowerCase()] = [value]),
    delete: (name) => delete headers[name.toLowerCase()],
    toRecord: () =>
      Object.fromEntries(Object.entries(headers).map(([name, all]) => [name, textsOf(all)])),
  };
}

function toSent(call: UndiciCall, { url, frozen }: SignedCall<FrozenUndiciCall>): UndiciCall {
  const { origin, pathname, search } = new URL(url);
  const { method, body = null, sentHeaders } = frozen;
  return {
    ...withoutOurs(call),
    origin,
    path: pathname + search,
    query: undefined,
    method,
    body,
    headers: toPlain(sentHeaders),
    // The token is for this one request, so interceptors below must not repeat it elsewhere.
    maxRedirections: 0,
  };
}

function toUnsigned(call: UndiciCall): UndiciCall {
  const headers = readHeaders(call.headers);
  for (const name of SIGNED_HEADERS) delete headers[name];
  return { ...withoutOurs(call), headers: toPlain(headers) };
}

function withoutOurs(call: UndiciCall): UndiciCall {
  const { [CALL_SUBJECT]: _named, [DECISION]: _decision, ...others } = call;
  return others;
}

/** Undici refuses lists for some headers, such as Host. */
function toPlain(headers: UndiciHeaders): Record<string, unknown> {
  const entries = Object.entries(headers);
  return Object.fromEntries(entries.map(([name, all]) => [name, all.length === 1 ? all[0] : all]));
}
