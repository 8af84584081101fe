import { isUint8Array } from 'node:util/types';
import {
  type OutgoingRequest,
  parseTargetUrl,
  ServiceSigningError,
  type Target,
  TOKEN_HEADER,
} from '../core/index.js';
import { CALL_SUBJECT, type CallSubject, ChosenSubject } from './call-subject.js';
import { isByteStream, readStream } from './stream-bytes.js';

/** Axios's headers, as far as they are used here. */
export interface AxiosLikeHeaders {
  set(name: string, value: string): unknown;
  delete(name: string): unknown;
  concat(): AxiosLikeHeaders;
  toJSON(): object;
}

/** Axios's configuration as its adapters get it: every interceptor and transformation has run. */
export interface AxiosLikeConfig {
  method?: string;
  url?: string;
  baseURL?: string;
  params?: unknown;
  data?: unknown;
  headers: AxiosLikeHeaders;
  maxRedirects?: number;
  fetchOptions?: object;
  beforeRedirect?: (...args: never[]) => void;
}

type Adapter<Config, Response> = (config: Config) => Promise<Response>;

/** What the adapter needs of the library and of axios. */
export interface SigningParts<Config> {
  /** The final URL, as axios puts it together from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  targetOf(url: URL): Target | undefined;
  sign(request: OutgoingRequest): Promise<string | undefined>;
  /** For whom calls are made here; undefined when nobody said. */
  currentSubject(): CallSubject | undefined;
  readonly maxBufferedBodyBytes: number;
}

const SIGNS = Symbol('nestjs-service-auth:signs');

/** Whether an adapter signs already, so that attaching twice, or a retry, signs once. */
export function isSigningAdapter(adapter: unknown): boolean {
  return typeof adapter === 'function' && Object.hasOwn(adapter, SIGNS);
}

/**
 * Wraps an axios adapter so that each request to a target is signed and then sent as signed. The
 * adapter is the last step in axios, and what it is handed on is frozen first: the bytes of the body,
 * the absolute URL, no redirects.
 */
export function createSigningAdapter<Config extends AxiosLikeConfig, Response>(
  inner: Adapter<Config, Response>,
  parts: SigningParts<Config>,
): Adapter<Config, Response> {
  const adapter = async (config: Config): Promise<Response> => {
    const url = parseTargetUrl(parts.getUri(config));
    const target = parts.targetOf(url);
    const sent = target ? await signed(config, url, parts) : unsigned(config);
    return await sendAs(inner, sent, config);
  };
  return Object.assign(adapter, { [SIGNS]: true });
}

async function signed<Config extends AxiosLikeConfig>(
  config: Config,
  url: URL,
  parts: SigningParts<Config>,
): Promise<Config> {
  const subject = readSubject(config, parts);
  // Kept on the configuration as well: a retry finds the bytes of a stream that is used up.
  const body = await freezeBody(config, parts.maxBufferedBodyBytes);
  url.hash = '';
  const headers = config.headers.concat();
  headers.delete(TOKEN_HEADER);
  headers.delete('content-length'); // axios sets it from the bytes
  const token = await parts.sign({
    method: config.method ?? 'get',
    url,
    headers: headers.toJSON() as OutgoingRequest['headers'],
    body: body ?? new Uint8Array(),
    subject: subject.subject,
  });
  if (token === undefined) throw new ServiceSigningError('target_unknown');
  headers.set('JWT', token);
  return {
    ...config,
    url: url.href,
    baseURL: undefined,
    params: undefined,
    data: body,
    headers,
    // The token speaks for this one request, so it must not follow a redirect, nor must the body.
    maxRedirects: 0,
    fetchOptions: { ...config.fetchOptions, redirect: 'manual' },
  };
}

/** A token that is for us, or was made for another request, goes nowhere. */
function unsigned<Config extends AxiosLikeConfig>(config: Config): Config {
  const headers = config.headers.concat();
  headers.delete(TOKEN_HEADER);
  return { ...config, headers };
}

/** Sends `sent`, and names the caller's own configuration in the answer: it holds no token. */
async function sendAs<Config, Response>(
  inner: Adapter<Config, Response>,
  sent: Config,
  config: Config,
): Promise<Response> {
  try {
    return restoreConfig(await inner(sent), config);
  } catch (error) {
    throw restoreConfig(error, config);
  }
}

function restoreConfig<T>(outcome: T, config: unknown): T {
  if (typeof outcome !== 'object' || outcome === null) return outcome;
  if ('config' in outcome) outcome.config = config;
  if ('response' in outcome) restoreConfig(outcome.response, config);
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

/** Replaces the body by its exact bytes; undefined when there is none. */
async function freezeBody(config: AxiosLikeConfig, maxBytes: number): Promise<Buffer | undefined> {
  const bytes = await readBody(config, maxBytes);
  config.data = bytes;
  return bytes;
}

async function readBody(config: AxiosLikeConfig, maxBytes: number): Promise<Buffer | undefined> {
  const { data, headers } = config;
  // What axios itself takes for no body.
  if (data === undefined || data === null || data === '' || data === false) return undefined;
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  if (typeof data !== 'object')
    throw new ServiceSigningError('body_unsupported', { detail: typeof data });
  if (data instanceof ArrayBuffer) return Buffer.from(data);
  if (isUint8Array(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof Blob) return await readBlob(data, headers);
  if (data instanceof FormData) return await readForm(data, headers);
  if (!isByteStream(data)) throw new ServiceSigningError('body_unsupported', { detail: 'object' });
  if (isFormPackage(data)) {
    for (const [name, value] of Object.entries(data.getHeaders())) headers.set(name, value);
  }
  return await readStream(data, maxBytes);
}

/** The npm package form-data, whose stream comes with headers of its own. */
function isFormPackage(data: object): data is { getHeaders(): Record<string, string> } {
  return 'getHeaders' in data && typeof data.getHeaders === 'function';
}

async function readBlob(blob: Blob, headers: AxiosLikeHeaders): Promise<Buffer> {
  if (blob.size > 0) headers.set('content-type', blob.type || 'application/octet-stream');
  return Buffer.from(await blob.arrayBuffer());
}

/** Serialised once, so that the boundary between the parts is settled before it is signed. */
async function readForm(form: FormData, headers: AxiosLikeHeaders): Promise<Buffer> {
  const serialised = new Response(form);
  headers.set('content-type', serialised.headers.get('content-type') ?? 'multipart/form-data');
  return Buffer.from(await serialised.arrayBuffer());
}
