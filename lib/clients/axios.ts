import {
  type OutgoingRequest,
  parseTargetUrl,
  ServiceSigningError,
  type Target,
  TOKEN_HEADER,
} from '../core/index.js';
import { freezeBody } from './axios-body.js';
import { assertWanted, type AxiosLikeConfig, withChanges } from './axios-config.js';
import { CALL_SUBJECT, type CallSubject, ChosenSubject } from './call-subject.js';
import { isByteStream } from './stream-bytes.js';

type Adapter<Config, Response> = (config: Config) => Promise<Response>;

/** What the adapter needs of the library and of axios. */
export interface SigningParts<Config> {
  /** The service in whose name this signs. */
  readonly owner: object;
  /** The final URL, as axios puts it together from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  targetOf(url: URL): Target | undefined;
  sign(request: OutgoingRequest): Promise<string | undefined>;
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
    const url = parseTargetUrl(parts.getUri(config));
    const target = parts.targetOf(url);
    const sent = target ? await signed(config, url, parts) : unsigned(config);
    assertWanted(config);
    return await sendAs(inner, sent, config);
  };
  return Object.assign(adapter, { [SIGNS]: { owner: parts.owner, inner } satisfies Signing });
}

async function signed<Config extends AxiosLikeConfig>(
  config: Config,
  url: URL,
  parts: SigningParts<Config>,
): Promise<Config> {
  const subject = readSubject(config, parts);
  const body = await freezeBody(config, parts.maxBufferedBodyBytes);
  url.hash = '';
  const headers = config.headers.concat();
  for (const name of [TOKEN_HEADER, ...FRAMING_HEADERS]) headers.delete(name);
  const token = await parts.sign({
    method: config.method ?? 'get',
    url,
    headers: headers.toJSON() as OutgoingRequest['headers'],
    body: body ?? new Uint8Array(),
    subject: subject.subject,
  });
  if (token === undefined) throw new ServiceSigningError('target_unknown');
  headers.set('JWT', token);
  return withChanges(config, {
    url: url.href,
    baseURL: undefined,
    params: undefined,
    data: body,
    headers,
    ...withoutRedirects(config),
  });
}

/** The token speaks for this one request, so it must not follow a redirect, nor must the body. */
function withoutRedirects({ fetchOptions, transport }: AxiosLikeConfig): Partial<AxiosLikeConfig> {
  return {
    maxRedirects: 0,
    fetchOptions: { ...fetchOptions, redirect: 'manual' },
    // Axios does not pass `maxRedirects` on to a transport of the caller's, which may be follow-redirects.
    transport: isTransport(transport)
      ? {
          request: (options: object, ...others: unknown[]) =>
            transport.request(Object.assign(options, { followRedirects: false }), ...others),
        }
      : transport,
  };
}

function isTransport(
  transport: unknown,
): transport is { request(options: object, ...others: unknown[]): unknown } {
  const mayHaveMembers = typeof transport === 'object' || typeof transport === 'function';
  return mayHaveMembers && transport !== null && 'request' in transport;
}

/** A token that is for us, or was made for another request, goes nowhere. */
function unsigned<Config extends AxiosLikeConfig>(config: Config): Config {
  const headers = config.headers.concat();
  headers.delete(TOKEN_HEADER);
  return withChanges(config, { headers });
}

/** Sends `sent`, and names the caller's own configuration in the answer: it holds no token. */
async function sendAs<Config extends AxiosLikeConfig, Response extends object>(
  inner: Adapter<Config, Response>,
  sent: Config,
  config: Config,
): Promise<Response> {
  try {
    const response = await inner(sent);
    // What fails while a streamed answer is read will name what was sent.
    if (isStreamed(response)) sent.headers.delete(TOKEN_HEADER);
    return restoreConfig(response, config);
  } catch (error) {
    throw restoreConfig(error, config);
  }
}

function isStreamed(response: object): boolean {
  const data: unknown = 'data' in response ? response.data : undefined;
  return typeof data === 'object' && data !== null && isByteStream(data);
}

function restoreConfig<T>(outcome: T, config: unknown): T {
  if (typeof outcome !== 'object' || outcome === null) return outcome;
  if ('config' in outcome) outcome.config = config;
  if ('response' in outcome) restoreConfig(outcome.response, config);
  if ('cause' in outcome) restoreConfig(outcome.cause, config);
  return outcome;
}

function readSubject<Config extends AxiosLikeConfig>(
  config: Config,
  parts: SigningParts<Config>,
): CallSubject {
  const chosen = (config as { [CALL_SUBJECT]?: unknown })[CALL_SUBJECT];
  if (chosen instanceof ChosenSubject) return chosen;
  const current = chosen === undefined ? parts.currentSubject() : undefined;
  if (current === undefined) throw new ServiceSigningError('subject_undecided');
  return current;
}
