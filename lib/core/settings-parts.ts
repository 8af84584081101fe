import type { ServiceAuthObserver } from './events.js';
import type { IssuerDirectory, TrustedIssuer } from './issuers.js';
import type { KeySource, SigningKeySource } from './keys.js';
import type { KeySourceOptions, TrustedIssuerFinder, TrustedIssuerOptions } from './options.js';
import type { ReplayStore } from './replay.js';

/** The ports that `createServiceAuth()` fills, from which settings are built besides options. */
export interface SettingsParts {
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to the issuer */
  createKeySource(options: KeySourceOptions): Promise<KeySource>;
  /** Looks issuers up; `resolve` turns what is found into what is trusted. */
  createIssuerDirectory(
    finder: TrustedIssuerFinder,
    resolve: (options: TrustedIssuerOptions) => Promise<TrustedIssuer>,
  ): IssuerDirectory;
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to `signingKey` */
  createSigningKeySource(options: unknown): Promise<SigningKeySource>;
  /** The store of a service that was given none. */
  createReplayStore(): ReplayStore;
}

/** What everything that fetches keys shares. */
export interface KeyFetchSettings {
  readonly allowInsecureKeyUrls: boolean;
  readonly maxStaleSeconds: number;
  /** Milliseconds of a clock that does not step, unless a clock was given. */
  readonly steadyNow: () => number;
  readonly observer: ServiceAuthObserver;
}

/** What both halves of the settings share. */
export interface CommonSettings {
  readonly issuer: string;
  readonly maxBufferedBodyBytes: number;
  readonly trustDomain: string | undefined;
}
