import {
  type OutgoingRequest,
  parseTargetUrl,
  ServiceSigningError,
  type Target,
  TOKEN_HEADER,
} from '../core/index.js';
import { freezeBody } from './axios-body.js';
import { assertWanted, type AxiosLikeConfig, withChanges } from './axios-config.js';
import { withoutTraces } from './axios-outcome.js';
import { signedTransport } from './axios-transport.js';
import { type CallSubject, decideSubject } from './call-subject.js';

type Adapter<Config, Response> = (config: Config) => Promise<Response>;

/** What the adapter needs of the library and of axios. */
export interface SigningParts<Config> {
  /** The service in whose name this signs. */
  readonly owner: object;
  /** The final URL, as axios puts it together from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  targetOf(url: URL): Target | undefined;
  sign(request: OutgoingRequest): Promise<string | undefined>;
  /** Hears why a request was not signed. */
  noteSigningFailure(error: ServiceSigningError, target: Target | undefined): void;
  /** For whom calls are made here; undefined when nobody said. */
  currentSubject(): CallSubject | undefined;
  readonly maxBufferedBodyBytes: number;
}

const SIGNS = Symbol('nestjs-service-auth:signs');

/** Set anew by axios or Node from the bytes: what a caller writes there can only contradict them. */
const FRAMING_HEADERS = ['content-length', 'transfer-encoding'];

/** What a signing adapter is made of. */
export interface Signing {
  readonly owner: object;
  readonly inner: unknown;
}

/** Tells a signing adapter, so that attaching twice, or a retry, signs once; undefined for others. */
export function signingOf(adapter: unknown): Signing | undefined {
  if (typeof adapter !== 'function' || !Object.hasOwn(adapter, SIGNS)) return undefined;
  return (adapter as unknown as { [SIGNS]: Signing })[SIGNS];
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
  // Not enumerable: errors show the adapter with all its members.
  const value = { owner: parts.owner, inner } satisfies Signing;
  return Object.defineProperty(adapter, SIGNS, { value });
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
    return target && (await signed(config, url, parts));
  } catch (error) {
    // A body that fails, or a caller who no longer wants the answer, is no failure to sign.
    if (error instanceof ServiceSigningError) parts.noteSigningFailure(error, target);
    throw error;
  }
}

async function signed<Config extends AxiosLikeConfig>(
  config: Config,
  url: URL,
  parts: SigningParts<Config>,
): Promise<Config> {
  const { subject } = decideSubject(config, () => parts.currentSubject());
  const body = await freezeBody(config, parts.maxBufferedBodyBytes);
  if (url.href.includes('#')) url.hash = '';
  const headers = config.headers.concat();
  for (const name of [TOKEN_HEADER, ...FRAMING_HEADERS]) headers.delete(name);
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
