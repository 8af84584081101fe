import {
  type OutgoingRequest,
  parseTargetUrl,
  ServiceSigningError,
  type Target,
  TOKEN_HEADER,
} from '../core/index.js';
import { createSlot } from '../core/slot.js';
import { freezeBody } from './axios-body.js';
import {
  assertWanted,
  type AxiosLikeConfig,
  type AxiosLikeHeaders,
  withChanges,
} from './axios-config.js';
import { withoutTraces } from './axios-outcome.js';
import { signedTransport } from './axios-transport.js';
import type { CallSubject } from '../for-whom/call-subject.js';
import { unsignedWords } from '../for-whom/named-subject.js';
import { setImplied } from './implied-headers.js';

type Adapter<Config, Response> = (config: Config) => Promise<Response>;

/** What the adapter needs of the library and of axios. */
export interface SigningParts<Config> {
  /** The service in whose name this signs. */
  readonly owner: object;
  /** The final URL, as axios puts it together from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  targetOf(url: URL): Target | undefined;
  sign(request: OutgoingRequest): Promise<string | undefined>;
  /** Is called with why a request was not signed. */
  noteSigningFailure(error: ServiceSigningError, target: Target | undefined, config: Config): void;
  /** In lower case, as `signedHeaders` of the settings. */
  readonly signedHeaders: readonly string[];
  /** For whom a call with this configuration is made. @throws ServiceSigningError `subject_undecided` */
  subjectOf(config: Config): CallSubject;
  /** Whether the configuration names the user in words: such a call never leaves unsigned. */
  isNamed(config: Config): boolean;
  readonly maxBufferedBodyBytes: number;
}

/** No property: errors show the adapter with all its members. */
const SIGNS = createSlot<Signing>();

/** Set anew by axios or Node from the bytes: what a caller writes there can only contradict them. */
const FRAMING_HEADERS = ['content-length', 'transfer-encoding'];

/** What a signing adapter is made of. */
export interface Signing {
  readonly owner: object;
  readonly inner: unknown;
}

/** Tells a signing adapter, so that attaching twice, or a retry, signs once; undefined for others. */
export function signingOf(adapter: unknown): Signing | undefined {
  return typeof adapter === 'function' ? SIGNS.get(adapter) : undefined;
}

/**
 * Wraps an axios adapter so that each request to a target is signed and then sent as signed. The
 * adapter is the last step in axios, and what it is handed on is frozen first: the bytes of the body,
 * the absolute URL, no redirects.
 */
export function createSigningAdapter<Config extends AxiosLikeConfig, Response extends object>(
  inner: Adapter<Config, Response>,
  parts: SigningParts<Config>,
): Adapter<Config, Response> {
  const adapter = async (config: Config): Promise<Response> => {
    const sent = await signedIfKnown(config, parts);
    if (sent === undefined) return await inner(config);
    assertWanted(config);
    return await sendAs(inner, sent, config);
  };
  SIGNS.set(adapter, { owner: parts.owner, inner });
  return adapter;
}

/** The request as it is sent to a target; undefined where it goes to none. */
async function signedIfKnown<Config extends AxiosLikeConfig>(
  config: Config,
  parts: SigningParts<Config>,
): Promise<Config | undefined> {
  let target: Target | undefined;
  try {
    const url = parseTargetUrl(parts.getUri(config));
    // A token that is for us, or was made for another request, goes nowhere.
    config.headers.delete(TOKEN_HEADER);
    target = parts.targetOf(url);
    if (target) return await signed(config, url, parts);
    if (parts.isNamed(config)) throw unsignedWords();
    return undefined;
  } catch (error) {
    // A body that fails, or a caller who no longer wants the answer, is no failure to sign.
    if (error instanceof ServiceSigningError) parts.noteSigningFailure(error, target, config);
    throw error;
  }
}

async function signed<Config extends AxiosLikeConfig>(
  config: Config,
  url: URL,
  parts: SigningParts<Config>,
): Promise<Config> {
  const { subject } = parts.subjectOf(config);
  const body = await freezeBody(config, parts.maxBufferedBodyBytes);
  if (url.href.includes('#')) url.hash = '';
  const headers = config.headers.concat();
  for (const name of [TOKEN_HEADER, ...FRAMING_HEADERS]) headers.delete(name);
  setImplied(settable(headers), parts.signedHeaders, url);
  const token = await parts.sign({
    method: config.method ?? 'get',
    url,
    headers: headers.toJSON() as OutgoingRequest['headers'],
    body: body ?? new Uint8Array(),
    subject,
  });
  if (token === undefined) throw new ServiceSigningError('target_unknown');
  headers.set('JWT', token);
  return withChanges(config, {
    url: url.href,
    baseURL: undefined,
    params: undefined,
    data: body,
    headers,
    // The token speaks for this one request, so neither it nor the body follows a redirect.
    maxRedirects: 0,
    fetchOptions: { ...config.fetchOptions, redirect: 'manual' },
    transport: signedTransport(config),
  });
}

/** A header that the caller has set to `false` is in axios's headers, and is not sent. */
function settable(headers: AxiosLikeHeaders): Parameters<typeof setImplied>[0] {
  return {
    has: (name) => Object.keys(headers.toJSON()).some((given) => given.toLowerCase() === name),
    set: (name, value) => {
      headers.delete(name);
      headers.set(name, value);
    },
  };
}

/** Sends `sent`; what comes of it names `config`, and the token no more. */
async function sendAs<Config extends AxiosLikeConfig, Response extends object>(
  inner: Adapter<Config, Response>,
  sent: Config,
  config: Config,
): Promise<Response> {
  try {
    return withoutTraces(await inner(sent), config);
  } catch (error) {
    throw withoutTraces(error, config);
  } finally {
    // What fails while a streamed answer is read will name what was sent.
    sent.headers.delete(TOKEN_HEADER);
  }
}
