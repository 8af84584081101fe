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
  formDataHeaderPolicy?: string;
  maxRedirects?: number;
  fetchOptions?: object;
  transport?: unknown;
  timeout?: number;
  signal?: {
    readonly aborted: boolean;
    addEventListener?: (type: 'abort', listener: () => void) => void;
    removeEventListener?: (type: 'abort', listener: () => void) => void;
  };
  cancelToken?: {
    throwIfRequested(): void;
    subscribe(listener: () => void): void;
    unsubscribe(listener: () => void): void;
  };
}

/**
 * Copies a configuration as axios makes them: without a prototype, so that nothing can be inherited
 * from a polluted one.
 */
export function withChanges<Config extends AxiosLikeConfig>(
  config: Config,
  changes: Partial<AxiosLikeConfig>,
): Config {
  const copy = Object.assign(Object.create(null) as Config, config);
  // Axios hides a member or two.
  for (const name of Object.getOwnPropertyNames(config)) {
    if (!(name in copy)) Object.defineProperty(copy, name, descriptorOf(config, name));
  }
  return Object.assign(copy, changes);
}

const descriptorOf = (config: object, name: string): PropertyDescriptor =>
  Object.getOwnPropertyDescriptor(config, name) ?? {};

/**
 * Asserts that nobody has cancelled the request. Axios asks before its adapters and turns whatever
 * they throw after that into its own `CanceledError`.
 */
export function assertWanted({ cancelToken, signal }: AxiosLikeConfig): void {
  cancelToken?.throwIfRequested();
  if (signal?.aborted) throw new DOMException('canceled', 'AbortError');
}
