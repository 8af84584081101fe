export {
  type KeyMaterial,
  type KeySource,
  type KeySourceHealth,
  type Profile,
  type PublicKeyOptions,
  type PublishedKeysOptions,
  REFUSALS,
  type RefusalCode,
  type ReplayStore,
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
export { ServiceAuth } from './service-auth.js';
