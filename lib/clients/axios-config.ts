/** The members of axios's headers that this library uses. */
export interface AxiosLikeHeaders {
  set(name: string, value: string): unknown;
  delete(name: string): unknown;
  concat(): AxiosLikeHeaders;
  toJSON(): object;
}

/** Axios's configuration for adapters, after all interceptors and transformations. */
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
 * Copies a configuration. Like those of axios, the copy has no prototype, so it inherits nothing from a polluted one.
 */
export function withChanges<Config extends AxiosLikeConfig>(
  config: Config,
  changes: Partial<AxiosLikeConfig>,
): Config {
  const copy = Object.assign(Object.create(null) as Config, config);
  // Some members of axios are not enumerable.
  for (const name of Object.getOwnPropertyNames(config)) {
    if (!(name in copy)) Object.defineProperty(copy, name, descriptorOf(config, name));
  }
  return Object.assign(copy, changes);
}

const descriptorOf = (config: object, name: string): PropertyDescriptor =>
  Object.getOwnPropertyDescriptor(config, name) ?? {};

/**
 * Asserts that the request is not cancelled. Axios checks before its adapters, and turns later errors of theirs into
 * its own `CanceledError`.
 */
export function assertWanted({ cancelToken, signal }: AxiosLikeConfig): void {
  cancelToken?.throwIfRequested();
  if (signal?.aborted) throw new DOMException('canceled', 'AbortError');
}
