/**
 * What an application without Nest imports: the subpath `nestjs-service-auth/core`. Each name here is a promise to
 * users; the library itself imports from the folders.
 */
export { createSignedFetch, type SignedFetch } from './clients/fetch.js';
export type { AnyFetch, SignedFetchOptions } from './clients/fetch-options.js';
export type { RequestSigner } from './clients/signed-call.js';
export {
  type Algorithm,
  type AnswerOptions,
  answerOf,
  type BodyHashAlgorithm,
  type IncomingRequest,
  type IssuerTrust,
  type KeyMaterial,
  type KeySourceHealth,
  type OutgoingRequest,
  type Profile,
  type PublicKeyOptions,
  type PublishedKey,
  type PublishedKeysOptions,
  type RefusalAnswer,
  type RefusalCode,
  type RefusalDetails,
  type RefusalStatus,
  REFUSALS,
  type ReplayStore,
  type RequestAccepted,
  type RequestAnonymous,
  type BodyArrival,
  type RequestBody,
  type RequestFailed,
  type RequestRefused,
  type RequestSigned,
  type RequestWouldBeRefused,
  type RequestToDestination,
  type RoutePolicy,
  ServiceAuthConfigError,
  ServiceAuthError,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  type ServiceAuthOptions,
  ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceIdentity,
  ServiceSigningError,
  ServiceTokenRefusedError,
  SIGNING_FAILURES,
  type SigningFailed,
  type SigningFailureCode,
  type SigningKeyFileOptions,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
  type SigningKeySourceOptions,
  type SigningTarget,
  type TargetOptions,
  type TokenUse,
  type TokenUseVerdict,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
  type UnavailableCode,
} from './core/index.js';
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallContext, CallSubject } from './for-whom/call-subject.js';
export type { CallUser } from './for-whom/named-subject.js';
export { MemoryReplayStore, type MemoryReplayStoreOptions } from './replay/memory-replay-store.js';
export {
  createServiceAuth,
  type JwkSet,
  type ServiceAuth,
  type VerifyOptions,
} from './service-auth.js';
