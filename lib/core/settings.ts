import type { ServiceAuthObserver } from './events.js';
import type { GrantSettings, OriginateSettings } from './grants/grant-settings.js';
import type { IssuerDirectory } from './issuers.js';
import type { SigningKeySource } from './keys.js';
import type { Profile } from './profiles.js';
import type { RefusalDetailLevel } from './refusal-details.js';
import type { ReplayStore } from './replay.js';
import type { KeyFetchSettings } from './settings-parts.js';

/** What the library reads at run time: checked options with every default. Frozen. */
export interface ServiceAuthSettings {
  /** The URI of this service. */
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock, for durations. */
  readonly monotonicNow: () => number;
  /** Undefined in a service that only sends. */
  readonly receiving: ReceivingSettings | undefined;
  /** Undefined in a service that only receives. */
  readonly sending: SendingSettings | undefined;
  readonly observer: ServiceAuthObserver;
  /** With what keys of further services are fetched. */
  readonly keyFetch: KeyFetchSettings;
}

/** The half that verifies requests. */
export interface ReceivingSettings {
  /** The names this service answers to; the first is the realm of a challenge. */
  readonly audiences: ReadonlySet<string>;
  readonly realm: string;
  readonly trustedIssuers: IssuerDirectory;
  /** Whether the service starts only with keys for every issuer. */
  readonly requireKeysAtStart: boolean;
  readonly clockToleranceSeconds: number;
  /** The longest `exp - iat`, for each profile. */
  readonly maxTokenLifetimeSeconds: Readonly<Record<Profile, number>>;
  /** The longest life of the token of an event or job. */
  readonly maxMessageLifetimeSeconds: number;
  /** Further audiences of events: broadcasts. */
  readonly topics: ReadonlySet<string>;
  /** Put before the received request target before it is compared; empty when nothing strips a prefix. */
  readonly publicPathPrefix: string;
  /** Lower-case names of headers that a strict token must bind if the request has them. */
  readonly requiredHeaders: readonly string[];
  readonly maxBufferedBodyBytes: number;
  /** Whether details of refusals quote paths and queries. */
  readonly refusalDetails: RefusalDetailLevel;
  readonly replayStore: ReplayStore;
  /** Undefined in a service without originators. */
  readonly grants: GrantSettings | undefined;
}

/** The half that signs requests. */
export interface SendingSettings {
  readonly signingKeys: SigningKeySource;
  /** Undefined if the keys are not published. */
  readonly publishedKeys: PublishedKeysSettings | undefined;
  /** Longest path prefix first, so that the first match is the closest. */
  readonly targets: readonly Target[];
  readonly unknownTargets: 'refuse' | 'send-unsigned';
  readonly tokenLifetimeSeconds: number;
  readonly messageLifetimeSeconds: number;
  readonly jobLifetimeSeconds: number;
  /** Lower-case names of headers to bind besides those that describe the content. */
  readonly signedHeaders: readonly string[];
  readonly subjectOutsideRequest: 'refuse' | 'act-as-itself';
  readonly maxBufferedBodyBytes: number;
  /** The `aud` of the grants that this service makes and sends; undefined if it does neither. */
  readonly trustDomain: string | undefined;
  /** Undefined in a service that makes no grants. */
  readonly originate: OriginateSettings | undefined;
}

/** Where and for how long the public keys are served. */
export interface PublishedKeysSettings {
  readonly path: string;
  readonly maxAgeSeconds: number;
}

/** A service to call: the URLs that belong to it, and what its tokens contain. */
export interface Target {
  readonly origin: string;
  /** Begins and ends with a slash. */
  readonly pathPrefix: string;
  readonly audience: string;
  readonly profile: Profile;
  /** Whether a call that cannot be signed fails, or goes out without a token. */
  readonly signing: 'required' | 'best-effort';
  /** Whether to send the grant of a call's user, and whether a call for a user fails without one. */
  readonly grants: 'send' | 'required' | 'never';
}
