import type { JsonWebKey, KeyObject, webcrypto } from 'node:crypto';
import type { Algorithm } from './algorithms.js';
import type { ServiceAuthObserver } from './events.js';
import type { CallTransport } from './messages/message.js';
import type { Profile } from './profiles.js';
import type { ReplayStore } from './replay.js';

/** A key as users have it: PEM text, a JWK, or a key object of `node:crypto` or WebCrypto. */
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
  /** Published until its last token has expired and receivers have turned over; its public half will do. */
  previous?: SigningKeyOptions | PublicKeyOptions;
  current: SigningKeyOptions;
  /** Published before it signs, so that receivers know it by then; its public half will do. */
  next?: SigningKeyOptions | PublicKeyOptions;
}

/** A key in a file that is read again while the service runs. */
export interface SigningKeyFileOptions {
  /**
   * A private key as PEM or JWK, or JSON `{ "previous": ..., "current": ..., "next": ... }` of JWKs. May be
   * replaced by an atomic rename or by swapping a symbolic link above it.
   */
  keyFile: string;
  algorithm?: Algorithm;
  keyId?: string;
  /** How often the file is read, 1 to 3600. Default 5. */
  checkSeconds?: number;
}

/** Everything a signing key can come from; a function (a vault, say) is asked again every minute. */
export type SigningKeySourceOptions =
  | SigningKeyOptions
  | SigningKeyRingOptions
  | SigningKeyFileOptions
  | (() => Promise<SigningKeyOptions | SigningKeyRingOptions>);

/** A public key of a trusted issuer, or of a key ring, with what is to be said about it. */
export interface PublicKeyOptions {
  /** SPKI PEM, JWK, `KeyObject` or `CryptoKey`. */
  publicKey: KeyMaterial;
  /** The algorithms this key may be used with. Default: the issuer's, or what fits the key. */
  algorithms?: readonly Algorithm[];
  /** The `kid`. Default: the JWK's `kid`, or the RFC 7638 thumbprint. */
  keyId?: string;
}

/** The name of a service, and where its keys are. */
export interface KeySourceOptions {
  /** The URI of the service, byte for byte as it writes it in `iss`. */
  issuer: string;
  /** Its public key, where it has one. */
  publicKey?: KeyMaterial;
  /** Its public keys, where it has several or one needs a word about it. */
  keys?: readonly (KeyMaterial | PublicKeyOptions)[];
  /** Where it publishes its keys. Default, where no key is given: `.well-known/jwks.json` under its URI. */
  jwksUri?: string;
  /** The algorithms this issuer may use. Default: those its keys are made for. */
  algorithms?: readonly Algorithm[];
}

/** A service that may call, where its keys are, and for whom it may speak. */
export interface TrustedIssuerOptions extends KeySourceOptions {
  /** `original` accepts the format first published: no request binding, no expiry. Default `strict`. */
  profile?: Profile;
  /** URI prefixes of the users this issuer may speak for, each ending in `/`, `:`, `#`, `?` or `=`. Default: everybody. */
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

/** What a receiver asks of the calls of one issuer besides a good token. */
export interface SubjectProofOptions {
  /** `off`: nothing. `report`: nobody is refused, and `request_accepted` says who would be. */
  mode: 'off' | 'report' | 'required';
  /** Whether the issuer may act for itself, which needs no proof. Must be written with `required`. */
  withoutSubject?: 'allowed' | 'refused';
  /**
   * How old a grant may be when this issuer uses it, 1 to 604800. Default 300. An older one than 300 s passes only on a route
   * that allows it too, with `@RequireSubjectProof({ maxAgeSeconds })`.
   */
  maxAgeSeconds?: number;
}

/**
 * A service that authenticates users and vouches for them with grants. It may not call: who calls is in `trustedIssuers`,
 * and a service that does both is in both lists, where `{ issuer, subjects }` takes the keys of the trusted issuer.
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
  /** How long a grant lives where its maker says nothing, 1 to 604800. Default 300. */
  lifetimeSeconds?: number;
  /** The longest life that its maker may ask for, 1 to 604800. Default 86400, what receivers accept unless they say otherwise. */
  maxLifetimeSeconds?: number;
}

/** Trusted issuers that are looked up when they call: in a database, say. */
export interface TrustedIssuerFinder {
  /**
   * What is known of the issuer with exactly this URI; null or undefined when it is not trusted. Answers
   * are kept for a minute and noes for ten seconds; a look-up that failed is repeated after five.
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
  /** Scheme, host, port and path prefix of the requests that go to this service. */
  baseUrl: string;
  /** The URI the service answers to. Default: `baseUrl` as written. */
  audience?: string;
  /** `original` signs in the format first published. Default `strict`. */
  profile?: Profile;
  /**
   * What the client does with a call that it cannot sign, such as a call that names no user. Default `required`: it fails.
   * `best-effort`: it is sent without a token, for a receiver that does not enforce tokens yet. Never without its user
   * and with a token.
   */
  signing?: 'required' | 'best-effort';
  /**
   * Whether the grant of a call's user is sent along. Default `send` where `trustDomain` is set. `required`: a call for a
   * user without a grant that can be used fails with `grant_unusable`. `never`: it stays here.
   */
  grants?: 'send' | 'required' | 'never';
  /** The trust domain of that service, where it is another one: it gets no grants. */
  trustDomain?: string;
}

/** What a service says about itself, whom it trusts, and whom it calls. */
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
  /** Lets keys be fetched over plain `http:` from hosts other than this one. Default false. */
  allowInsecureKeyUrls?: boolean;
  /** Whether the service fails to start when keys cannot be fetched. Default false: they are fetched meanwhile. */
  requireKeysAtStart?: boolean;
  /** How long known keys serve while a key server is out of reach, 0 to 604800. Default 86400. */
  maxStaleSeconds?: number;
  /** The services to call. */
  targets?: readonly TargetOptions[];
  /** What becomes of a request to a URL outside `targets`. Default `refuse`. */
  unknownTargets?: 'refuse' | 'send-unsigned';
  /** What becomes of a call that names no user, in code that no request started. Default `refuse`. */
  subjectOutsideRequest?: 'refuse' | 'act-as-itself';
  /**
   * The environment whose grants count, as production or staging: the `aud` of each grant. 1 to 256 visible ASCII characters,
   * compared byte for byte; no name of a service.
   */
  trustDomain?: string;
  /** The services that vouch for users. With them, each issuer that may speak for those users needs a `subjectProof`. */
  originators?: readonly OriginatorOptions[];
  /** The longest life of a grant that is accepted, 1 to 604800. Default 86400. */
  maxGrantLifetimeSeconds?: number;
  /** Makes this service an originator, which vouches for the users it authenticates. */
  originate?: OriginateOptions;
  /** How long a token that is signed here lives, 1 to 300. Default 60. */
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
  /** How far the clocks of caller and receiver may differ, 0 to 60. Default 5. */
  clockToleranceSeconds?: number;
  /** What a gateway strips from the path before a request arrives, as `/census`. Default: nothing. */
  publicPathPrefix?: string;
  /**
   * Headers to bind to outgoing requests, where a request has them. Content-Type, Content-Encoding and
   * Content-Range of a body are bound always.
   */
  signedHeaders?: readonly string[];
  /** Headers that a strict token must bind whenever the request carries them. */
  requiredHeaders?: readonly string[];
  /**
   * What the details of refusals hold, in events, logs and spans. Default `brief`: how the request differs from the one
   * that was signed. `full`: both paths and queries too, which may name users or hold secrets.
   */
  refusalDetails?: 'brief' | 'full';
  /** How much of a body is held in memory because no parser reads it, or because it is a stream to sign. Default 1 MiB. */
  maxBufferedBodyBytes?: number;
  /** Remembers used tokens. Default: in the memory of this process. */
  replayStore?: ReplayStore;
  /**
   * Hears of every decision, of keys that change or cannot be had, and of a replay store in trouble: one
   * observer, or several.
   */
  observer?: ServiceAuthObserver | readonly ServiceAuthObserver[];
  /** The clock, in milliseconds since the epoch. Default `Date.now`. Given, it also times the fetching of keys. */
  now?: () => number;
  /** A clock that never steps, in milliseconds, for the durations in events. Default `performance.now`. */
  monotonicNow?: () => number;
}
