import { createSlot, SIGNED_HEADERS } from '../core/index.js';
import type { CallSubject } from '../for-whom/call-subject.js';
import { freezeBody } from './axios-body.js';
import {
  assertWanted,
  type AxiosLikeConfig,
  type AxiosLikeHeaders,
  withChanges,
} from './axios-config.js';
import { withoutTraces } from './axios-outcome.js';
import { signedTransport } from './axios-transport.js';
import {
  type CallHeaders,
  type ClientCall,
  type FrozenCall,
  type RequestSigner,
  signCall,
  type SignedCall,
} from './signed-call.js';

type Adapter<Config, Response> = (config: Config) => Promise<Response>;

/** What the adapter needs of the library and of axios. */
export interface SigningParts<Config> {
  /** The service in whose name this signs. */
  readonly signer: RequestSigner;
  /** The final URL, as axios puts it together from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  /** For whom a call with this configuration is made. @throws ServiceSigningError `subject_undecided` */
  subjectOf(config: Config): CallSubject;
  /** Is called with why a request was not signed. */
  noteFailure(error: unknown, config: Config): void;
}

/** No property: errors show the adapter with all its members. */
const SIGNS = createSlot<Signing>();

/** What a signing adapter is made of. */
export interface Signing {
  readonly owner: object;
  readonly inner: unknown;
  /** The final URL of a configuration of its client. */
  getUri(config: object): string;
}

/** Tells a signing adapter, so that attaching twice, or a retry, signs once; undefined for others. */
export function signingOf(adapter: unknown): Signing | undefined {
  return typeof adapter === 'function' ? SIGNS.get(adapter) : undefined;
}

/**
 * Wraps an axios adapter so that each request to a target is signed and then sent as signed. The
 * adapter is the last step in axios, and what it is handed on is frozen first: the bytes of the body,
 * the absolute URL, no redirects.
 *
 * @throws ServiceSigningError `sending_disabled` where the service has no `signingKey`
 */
export function createSigningAdapter<Config extends AxiosLikeConfig, Response extends object>(
  inner: Adapter<Config, Response>,
  parts: SigningParts<Config>,
): Adapter<Config, Response> {
  const { signer } = parts;
  const { maxBufferedBodyBytes } = signer.sending;
  const adapter = async (config: Config): Promise<Response> => {
    // A token that is for us, or was made for another request, goes nowhere.
    for (const name of SIGNED_HEADERS) config.headers.delete(name);
    const signed = await signCall(new AxiosCall(config, parts, maxBufferedBodyBytes), signer);
    if (signed === undefined) return await inner(config);
    assertWanted(config);
    return await sendAs(inner, toConfig(config, signed), config);
  };
  SIGNS.set(adapter, { owner: signer, inner, getUri: (config) => parts.getUri(config as Config) });
  return adapter;
}

/** What axios will send: the configuration without what is signed, and the headers in its own form. */
interface FrozenAxiosCall extends FrozenCall {
  readonly sentHeaders: AxiosLikeHeaders;
}

/** A call of axios, whose configuration is its options. */
class AxiosCall<Config extends AxiosLikeConfig> implements ClientCall<FrozenAxiosCall> {
  constructor(
    readonly options: Config,
    private readonly parts: SigningParts<Config>,
    private readonly maxBodyBytes: number,
  ) {}

  url(): string {
    return this.parts.getUri(this.options);
  }

  subject(): CallSubject {
    return this.parts.subjectOf(this.options);
  }

  async freeze(): Promise<FrozenAxiosCall> {
    const { options } = this;
    const body = await freezeBody(options, this.maxBodyBytes);
    const sentHeaders = options.headers.concat();
    const headers = new AxiosCallHeaders(sentHeaders);
    return { method: options.method ?? 'get', headers, body, sentHeaders };
  }

  noteFailure(error: unknown): void {
    this.parts.noteFailure(error, this.options);
  }
}

/** The configuration of a signed call. */
function toConfig<Config extends AxiosLikeConfig>(
  config: Config,
  { url, frozen }: SignedCall<FrozenAxiosCall>,
): Config {
  return withChanges(config, {
    method: frozen.method,
    url,
    baseURL: undefined,
    params: undefined,
    data: frozen.body,
    headers: frozen.sentHeaders,
    // The token speaks for this one request, so neither it nor the body follows a redirect.
    maxRedirects: 0,
    fetchOptions: { ...config.fetchOptions, redirect: 'manual' },
    transport: signedTransport(config),
  });
}

/** A header that the caller has set to `false` is in axios's headers, and is not sent. */
class AxiosCallHeaders implements CallHeaders {
  constructor(private readonly sent: AxiosLikeHeaders) {}

  has(name: string): boolean {
    return Object.keys(this.toRecord()).some((given) => given.toLowerCase() === name);
  }

  set(name: string, value: string): void {
    this.sent.delete(name);
    this.sent.set(name, value);
  }

  delete(name: string): void {
    this.sent.delete(name);
  }

  toRecord(): ReturnType<CallHeaders['toRecord']> {
    return this.sent.toJSON() as ReturnType<CallHeaders['toRecord']>;
  }
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
    for (const name of SIGNED_HEADERS) sent.headers.delete(name);
  }
}
