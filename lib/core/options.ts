import type { JsonWebKey, KeyObject, webcrypto } from 'node:crypto';
import type { Algorithm } from './algorithms.js';
import type { ServiceAuthObserver } from './events.js';
import type { CallTransport } from './messages/message.js';
import type { Profile } from './profiles.js';
import type { ReplayStore } from './replay.js';

/** A key as users write it: PEM text, a JWK, or a key object of `node:crypto` or WebCrypto. */
export type KeyMaterial = string | JsonWebKey | KeyObject | webcrypto.CryptoKey;

/** A private key that signs outgoing requests. */
export interface SigningKeyOptions {
  /** PKCS#8 (or SEC 1, PKCS#1) PEM, JWK, `KeyObject` or `CryptoKey`. Never encrypted. */
  privateKey: KeyMaterial;
  /** Default: the JWK's `alg`, or what fits the key: ES256/384/512 by curve, EdDSA, RS256. */
  algorithm?: Algorithm;
  /** The `kid`. Default: the JWK's `kid`, or the RFC 7638 thumbprint. */
  keyId?: string;
}

/** The keys of a rotation: `current` signs, all are published. */
export interface SigningKeyRingOptions {
  /** Published until its last token has expired and receivers use the current key. Its public half is enough. */
  previous?: SigningKeyOptions | PublicKeyOptions;
  current: SigningKeyOptions;
  /** Published before it signs, so that receivers know it in time. Its public half is enough. */
  next?: SigningKeyOptions | PublicKeyOptions;
}

/** A key in a file that the service reads again while it runs. */
export interface SigningKeyFileOptions {
  /**
   * A private key as PEM or JWK, or JSON `{ "previous": ..., "current": ..., "next": ... }` of JWKs. Replace it with
   * an atomic rename, or by swapping a symbolic link above it.
   */
  keyFile: string;
  algorithm?: Algorithm;
  keyId?: string;
  /** Seconds between two reads of the file, 1 to 3600. Default 5. */
  checkSeconds?: number;
}

/** The sources of a signing key. A function, such as a client of a vault, is called again every minute. */
export type SigningKeySourceOptions =
  | SigningKeyOptions
  | SigningKeyRingOptions
  | SigningKeyFileOptions
  | (() => Promise<SigningKeyOptions | SigningKeyRingOptions>);

/** A public key of a trusted issuer or of a key ring, with its options. */
export interface PublicKeyOptions {
  /** SPKI PEM, JWK, `KeyObject` or `CryptoKey`. */
  publicKey: KeyMaterial;
  /** The algorithms this key may be used with. Default: the issuer's, or what fits the key. */
  algorithms?: readonly Algorithm[];
  /** The `kid`. Default: the JWK's `kid`, or the RFC 7638 thumbprint. */
  keyId?: string;
}

/** The name of a service, and the source of its keys. */
export interface KeySourceOptions {
  /** The URI of the service, byte for byte as it writes it in `iss`. */
  issuer: string;
  /** Its public key, if it has one. */
  publicKey?: KeyMaterial;
  /** Its public keys, if it has several, or one needs options. */
  keys?: readonly (KeyMaterial | PublicKeyOptions)[];
  /** The URL of its key set. Default if no key is given: `.well-known/jwks.json` under its URI. */
  jwksUri?: string;
  /** The algorithms this issuer may use. Default: those that fit its keys. */
  algorithms?: readonly Algorithm[];
}

/** A service that may call, the source of its keys, and the users it may speak for. */
export interface TrustedIssuerOptions extends KeySourceOptions {
  /** `original` accepts the format first published: no request binding, no expiry. Default `strict`. */
  profile?: Profile;
  /**
   * URI prefixes of the users this issuer may speak for, each ending in `/`, `:`, `#`, `?` or `=`. Default: all
   * users.
   */
  subjects?: readonly string[];
  /**
   * Whether its calls for users need proof that the user asked: a grant of one of the `originators`. Must be written where
   * an originator vouches for users whom this issuer may speak for.
   */
  subjectProof?: SubjectProofOptions;
  /** The ways in which it may call: `http`, `messages`, `jobs`. Default: all. */
  transports?: readonly CallTransport[];
  /** How its messages are signed, where another client than that of this library sends them. */
  messages?: TrustedMessagesOptions;
}

/** How the messages of one issuer are signed. */
export interface TrustedMessagesOptions {
  /** `raw`: the digest of the bytes of the whole message, in the claim `raw` (RabbitMQ, MQTT). Default `json`. */
  bodies?: 'json' | 'raw';
}

/** What a receiver requires of the calls of one issuer besides a valid token. */
export interface SubjectProofOptions {
  /**
   * `off`: no proof. `report`: no request is refused, and `request_accepted` has the code of the refusal that
   * `required` would cause.
   */
  mode: 'off' | 'report' | 'required';
  /** Whether the issuer may act for itself, which needs no proof. Must be written with `required`. */
  withoutSubject?: 'allowed' | 'refused';
  /**
   * How old a grant may be when this issuer uses it, 1 to 604800. Default 300. A grant older than 300 s also needs a
   * route that allows it, with `@RequireSubjectProof({ maxAgeSeconds })`.
   */
  maxAgeSeconds?: number;
}

/**
 * A service that authenticates users and vouches for them with grants. It may not call unless it is in
 * `trustedIssuers` too. For a service in both lists, `{ issuer, subjects }` takes the keys of the trusted issuer.
 */
export interface OriginatorOptions extends KeySourceOptions {
  /** URI prefixes of the users it may vouch for, each ending in `/`, `:`, `#`, `?` or `=`. */
  subjects: readonly string[];
  /** The only scopes its grants may have. Default: all. */
  scopes?: readonly string[];
}

/** How this service makes grants. */
export interface OriginateOptions {
  /** URI prefixes of the users that it authenticates. */
  subjects: readonly string[];
  /** The lifetime of a grant in seconds if its maker gives none, 1 to 604800. Default 300. */
  lifetimeSeconds?: number;
  /**
   * The longest lifetime in seconds that its maker may ask for, 1 to 604800. Default 86400, as in
   * `maxGrantLifetimeSeconds` of receivers.
   */
  maxLifetimeSeconds?: number;
}

/** Looks up trusted issuers when they call, such as in a database. */
export interface TrustedIssuerFinder {
  /**
   * The options of the issuer with exactly this URI; null or undefined if it is not trusted. The service keeps an
   * answer for a minute and a missing issuer for ten seconds. It repeats a failed look-up after five seconds.
   */
  find(
    issuer: string,
  ): TrustedIssuerOptions | null | undefined | Promise<TrustedIssuerOptions | null | undefined>;
}

/** How this service serves its public keys as a JWK Set (RFC 7517 section 5). */
export interface PublishedKeysOptions {
  /** Default `/.well-known/jwks.json`. */
  path?: string;
  /** For how long receivers may use the set before they ask again, 60 to 3600. Default 600. */
  maxAgeSeconds?: number;
}

/** A service to call. */
export interface TargetOptions {
  /** Scheme, host, port and path prefix of the requests to this service. */
  baseUrl: string;
  /** The URI of the called service. Default: `baseUrl` as written. */
  audience?: string;
  /** `original` signs in the format first published. Default `strict`. */
  profile?: Profile;
  /**
   * What the client does with a call that it cannot sign, such as a call that names no user. Default `required`: the
   * call fails. `best-effort`: the client sends the call without a token, for a receiver that does not enforce tokens
   * yet. It never sends a token without the user.
   */
  signing?: 'required' | 'best-effort';
  /**
   * Whether the client sends the grant of a call's user. Default `send` if `trustDomain` is set. `required`: a call
   * for a user without a usable grant fails with `grant_unusable`. `never`: the client sends no grant.
   */
  grants?: 'send' | 'required' | 'never';
  /** The trust domain of the called service. If it is not your own, the service gets no grants. */
  trustDomain?: string;
}

/** The options of a service: its name, whom it trusts, and whom it calls. */
export interface ServiceAuthOptions {
  /** The URI of this service: its name in every token. */
  issuer: string;
  /** Further names this service answers to, besides `issuer`. */
  audience?: string | readonly string[];
  /** The key that signs outgoing requests. Left out: the service only receives. */
  signingKey?: SigningKeySourceOptions;
  /** Where this service's public keys are served as a JWK Set; `off`: nowhere. */
  publishedKeys?: PublishedKeysOptions | 'off';
  /** The services that may call. Left out: the service only sends. */
  trustedIssuers?: readonly TrustedIssuerOptions[] | TrustedIssuerFinder;
  /** Allows key sets over plain `http:` from hosts other than this one. Default false. */
  allowInsecureKeyUrls?: boolean;
  /**
   * Whether the service fails to start if it cannot fetch keys. Default false: it starts, and fetches them meanwhile.
   */
  requireKeysAtStart?: boolean;
  /** How many seconds the service uses known keys while it cannot reach a key server, 0 to 604800. Default 86400. */
  maxStaleSeconds?: number;
  /** The services to call over HTTP. Default none: the service signs messages, jobs and answers alone. */
  targets?: readonly TargetOptions[];
  /** What the client does with a request to a URL outside `targets`. Default `refuse`. */
  unknownTargets?: 'refuse' | 'send-unsigned';
  /** What the client does with a call that names no user, in code that no request started. Default `refuse`. */
  subjectOutsideRequest?: 'refuse' | 'act-as-itself';
  /**
   * The environment whose grants count, such as production or staging: the `aud` of each grant. 1 to 256 visible
   * ASCII characters, compared byte for byte. Not the name of a service.
   */
  trustDomain?: string;
  /** The services that vouch for users. With them, each issuer that may speak for those users needs a `subjectProof`. */
  originators?: readonly OriginatorOptions[];
  /** The longest lifetime of an accepted grant in seconds, 1 to 604800. Default 86400. */
  maxGrantLifetimeSeconds?: number;
  /** Makes this service an originator, which vouches for the users it authenticates. */
  originate?: OriginateOptions;
  /** The lifetime in seconds of a token that this service signs, 1 to 300. Default 60. */
  tokenLifetimeSeconds?: number;
  /** How long the token of an event that is sent here lives, 1 to 604800. Default 600. */
  messageLifetimeSeconds?: number;
  /** How long the token of a job that is queued here lives after its delay, 1 to 604800. Default 3600. */
  jobLifetimeSeconds?: number;
  /**
   * The longest life of the token of an event or job that is accepted, 1 to 604800. Default 3600. Above it, `replayStore` must
   * be one that processes share.
   */
  maxMessageLifetimeSeconds?: number;
  /** Names of broadcasts whose events this service takes, beside those that are sent to it by name. */
  topics?: readonly string[];
  /** The longest life of a strict token that is accepted, 1 to 3600. Default 300. */
  maxTokenLifetimeSeconds?: number;
  /** How many seconds the clocks of caller and receiver may differ, 0 to 60. Default 5. */
  clockToleranceSeconds?: number;
  /** The part of the path that a gateway removes, such as `/census`. Default: nothing. */
  publicPathPrefix?: string;
  /**
   * Headers to bind to outgoing requests that have them. Content-Type, Content-Encoding and Content-Range of a body
   * are always bound.
   */
  signedHeaders?: readonly string[];
  /** Headers that a strict token must bind whenever the request carries them. */
  requiredHeaders?: readonly string[];
  /**
   * What the details of refusals contain, in events, logs and spans. Default `brief`: how the request differs from
   * the one that was signed. `full`: also both paths and queries, which may contain users or secrets.
   */
  refusalDetails?: 'brief' | 'full';
  /**
   * How many bytes of a body the service keeps in memory because no parser reads it, or because it is a stream to
   * sign. Default 1 MiB.
   */
  maxBufferedBodyBytes?: number;
  /** Remembers used tokens. Default: in the memory of this process. */
  replayStore?: ReplayStore;
  /**
   * Called with each decision, each change of keys, and each failure of keys or of the replay store. One observer, or
   * several.
   */
  observer?: ServiceAuthObserver | readonly ServiceAuthObserver[];
  /** The clock, in milliseconds since the epoch. Default `Date.now`. If given, it also times the fetches of keys. */
  now?: () => number;
  /** A monotonic clock, in milliseconds, for the durations in events. Default `performance.now`. */
  monotonicNow?: () => number;
}
