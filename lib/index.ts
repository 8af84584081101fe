export {
  type IssuerTrust,
  type KeyMaterial,
  type KeySource,
  type KeySourceHealth,
  type Profile,
  type PublicKeyOptions,
  type PublishedKeysOptions,
  REFUSALS,
  type RefusalCode,
  type ReplayStore,
  type RequestAccepted,
  type RequestAnonymous,
  type RequestFailed,
  type RequestRefused,
  type RequestSigned,
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
  type TargetOptions,
  type TokenUse,
  type TokenUseVerdict,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from './core/index.js';
export { type IssuerKeyHealth, KeyHealth } from './nest/key-health.js';
export { AllowIssuers } from './nest/allow-issuers.decorator.js';
export { LoggingObserver, type LoggingObserverOptions } from './nest/logging-observer.js';
export { MaxBodyBytes } from './nest/max-body-bytes.decorator.js';
export { RequireSubject } from './nest/require-subject.decorator.js';
export {
  OptionalServiceAuth,
  RequireServiceAuth,
  SkipServiceAuth,
} from './nest/route-mode.decorator.js';
export { ServiceAuthModule } from './nest/service-auth.module.js';
export type {
  ServiceAuthModuleOptions,
  ServiceAuthOptionsFactory,
  ServiceUserResolver,
} from './nest/service-auth.options.js';
export type { CallSubject } from './clients/call-subject.js';
export { ServiceCallContext } from './nest/service-call.context.js';
export { ServiceCaller } from './nest/service-caller.decorator.js';
export { ServiceJwtGuard } from './nest/service-jwt.guard.js';
export { ServiceSubject, type ServiceSubjectOptions } from './nest/service-subject.decorator.js';
export { MemoryReplayStore, type MemoryReplayStoreOptions } from './replay/memory-replay-store.js';
export { ServiceAuth, type VerifyOptions } from './service-auth.js';
