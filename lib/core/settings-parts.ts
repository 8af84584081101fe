import type { ServiceAuthObserver } from './events.js';
import type { IssuerDirectory, TrustedIssuer } from './issuers.js';
import type { KeySource, SigningKeySource } from './keys.js';
import type { KeySourceOptions, TrustedIssuerFinder, TrustedIssuerOptions } from './options.js';
import type { ReplayStore } from './replay.js';

/** The ports that `createServiceAuth()` provides. Settings are built from them and from options. */
export interface SettingsParts {
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to the issuer */
  createKeySource(options: KeySourceOptions): Promise<KeySource>;
  /** Looks issuers up. `resolve` turns the options that it finds into a trusted issuer. */
  createIssuerDirectory(
    finder: TrustedIssuerFinder,
    resolve: (options: TrustedIssuerOptions) => Promise<TrustedIssuer>,
  ): IssuerDirectory;
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to `signingKey` */
  createSigningKeySource(options: unknown): Promise<SigningKeySource>;
  /** The replay store of a service without `replayStore`. */
  createReplayStore(): ReplayStore;
}

/** The settings that all fetchers of keys share. */
export interface KeyFetchSettings {
  readonly allowInsecureKeyUrls: boolean;
  readonly maxStaleSeconds: number;
  /** Milliseconds of a monotonic clock, or of the clock in the options. */
  readonly steadyNow: () => number;
  readonly observer: ServiceAuthObserver;
}

/** What both halves of the settings share. */
export interface CommonSettings {
  readonly issuer: string;
  readonly maxBufferedBodyBytes: number;
  readonly trustDomain: string | undefined;
}
