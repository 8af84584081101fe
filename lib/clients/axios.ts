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

/** The parts of the library and of axios that the adapter needs. */
export interface SigningParts<Config> {
  /** The service that signs. */
  readonly signer: RequestSigner;
  /** The final URL, which axios builds from `baseURL`, `url` and `params`. */
  getUri(config: Config): string;
  /** The user of a call with this configuration. @throws ServiceSigningError `subject_undecided` */
  subjectOf(config: Config): CallSubject;
  /** Called with the error if a request was not signed. */
  noteFailure(error: unknown, config: Config): void;
}

/** Not a property, since errors show all members of the adapter. */
const SIGNS = createSlot<Signing>();

/** The parts of a signing adapter. */
export interface Signing {
  readonly owner: object;
  readonly inner: unknown;
  /** The final URL of a configuration of its client. */
  getUri(config: object): string;
}

/** The parts of a signing adapter, so that attaching twice, or a retry, signs once; undefined for other adapters. */
export function signingOf(adapter: unknown): Signing | undefined {
  return typeof adapter === 'function' ? SIGNS.get(adapter) : undefined;
}

/**
 * Wraps an axios adapter so that each request to a target is signed, and then sent as signed. The adapter is the last
 * step in axios. Before signing, the wrapper fixes the bytes of the body and the absolute URL, and disables
 * redirects.
 *
 * @throws ServiceSigningError `sending_disabled` if the service has no `signingKey`
 */
export function createSigningAdapter<Config extends AxiosLikeConfig, Response extends object>(
  inner: Adapter<Config, Response>,
  parts: SigningParts<Config>,
): Adapter<Config, Response> {
  const { signer } = parts;
  const { maxBufferedBodyBytes } = signer.sending;
  const adapter = async (config: Config): Promise<Response> => {
    // A token for this service, or for another request, is never sent on.
    for (const name of SIGNED_HEADERS) config.headers.delete(name);
    const signed = await signCall(new AxiosCall(config, parts, maxBufferedBodyBytes), signer);
    if (signed === undefined) return await inner(config);
    assertWanted(config);
    return await sendAs(inner, toConfig(config, signed), config);
  };
  SIGNS.set(adapter, { owner: signer, inner, getUri: (config) => parts.getUri(config as Config) });
  return adapter;
}

/** The call that axios will send: the configuration without the signed parts, and the headers in axios's form. */
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
    // The token is for this one request, so neither the token nor the body follows a redirect.
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

/** Sends `sent`. The answer or the error then refers to `config`, without the token. */
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
    // An error while a streamed answer is read refers to the sent configuration.
    for (const name of SIGNED_HEADERS) sent.headers.delete(name);
  }
}
