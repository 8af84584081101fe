export {
  ANSWER_FAILURES,
  type AnswerFailureCode,
  type CallTransport,
  type DuplicateDropped,
  type GrantIssued,
  type GrantOptions,
  type GrantUnbound,
  type IncomingMessage,
  type IssuerTrust,
  type KeySourceOptions,
  type KeyMaterial,
  type KeySourceHealth,
  type Lease,
  type LeaseLost,
  type LeasingReplayStore,
  type MessageTarget,
  type MessageVerb,
  type OriginateCall,
  type OriginateOptions,
  type OriginatorOptions,
  type OutgoingMessage,
  type Profile,
  type PublicKeyOptions,
  type PublishedKeysOptions,
  REFUSALS,
  type RefusalCode,
  type RefusalStatus,
  type ReplayStore,
  type RequestAccepted,
  type RequestAnonymous,
  type RequestFailed,
  type RequestRefused,
  type RequestSigned,
  type RequestWouldBeRefused,
  type ReservationVerdict,
  ServiceAnswerRefusedError,
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
  type SignedMessage,
  type SigningKeyFileOptions,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
  type SigningKeySourceOptions,
  type SubjectProofOptions,
  type TargetOptions,
  type TokenUse,
  type TokenUseVerdict,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
  type TrustedMessagesOptions,
  type UnboundReason,
  type VerifiedGrant,
} from './core/index.js';
export { type IssuerKeyHealth, KeyHealth } from './nest/key-health.js';
export { AllowIssuers } from './nest/allow-issuers.decorator.js';
export { LoggingObserver, type LoggingObserverOptions } from './nest/logging-observer.js';
export { ReportOnly } from './nest/report-only.decorator.js';
export { MaxBodyBytes } from './nest/max-body-bytes.decorator.js';
export {
  RequireSubjectProof,
  type RequireSubjectProofOptions,
} from './for-whom/require-subject-proof.decorator.js';
export { RequireSubject } from './for-whom/require-subject.decorator.js';
export {
  OptionalServiceAuth,
  RequireServiceAuth,
  SkipServiceAuth,
} from './nest/route-mode.decorator.js';
export {
  type FastifyReplyLike,
  type MountOptions,
  type ServiceAuthExpressMiddleware,
  type ServiceAuthFastifyHook,
  type ServiceAuthUpgradeListener,
  ServiceAuthMiddleware,
} from './nest/service-auth.middleware.js';
export { ServiceAuthModule } from './nest/service-auth.module.js';
export type {
  ServiceAuthModuleOptions,
  ServiceAuthOptionsFactory,
  ServiceUserResolver,
} from './nest/service-auth.options.js';
export type { CallSubject } from './for-whom/call-subject.js';
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
export {
  type BehalfOptions,
  type BindOptions,
  ServiceCallContext,
} from './for-whom/service-call.context.js';
export { ServiceGrant } from './for-whom/service-grant.decorator.js';
export { ServiceGrants } from './for-whom/service-grants.js';
export { ServiceCaller } from './for-whom/service-caller.decorator.js';
export { ServiceCallExceptionFilter } from './nest/service-call-exception.filter.js';
export { ServiceJwtGuard } from './nest/service-jwt.guard.js';
export {
  ServiceSubject,
  type ServiceSubjectOptions,
} from './for-whom/service-subject.decorator.js';
export { MemoryReplayStore } from './replay/memory-replay-store.js';
export type { MemoryReplayStoreOptions } from './replay/memory-replay-store.options.js';
export { ServiceAuth, type VerifyOptions } from './service-auth.js';
