export { ALGORITHMS, type Algorithm, isAlgorithm } from './algorithms.js';
export {
  type AnswerOptions,
  answerOf,
  type RefusalAnswer,
  refusalBody,
  refusalHeaders,
} from './answer.js';
export { type BodyHashAlgorithm, hashBody } from './body-hash.js';
export { withinDeadline } from './deadline.js';
export {
  ANSWER_FAILURES,
  type AnswerFailureCode,
  isRefusalCode,
  REFUSALS,
  type RefusalCode,
  type RefusalStatus,
  SETUP_ERRORS,
  SIGNING_FAILURES,
  type SigningFailureCode,
  STATUSES,
  type UnavailableCode,
} from './codes.js';
export {
  isRefusal,
  type RefusalDetails,
  ServiceAnswerRefusedError,
  ServiceAuthConfigError,
  ServiceAuthError,
  ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  ServiceSigningError,
  ServiceTokenRefusedError,
} from './errors.js';
export {
  type DuplicateDropped,
  flushObserver,
  type GrantIssued,
  type GrantUnbound,
  type IssuerTrust,
  type LeaseLost,
  NO_OBSERVER,
  type RequestAccepted,
  type RequestAnonymous,
  type RequestFailed,
  type RequestRefused,
  type RequestSigned,
  type RequestWouldBeRefused,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  type SigningFailed,
  tell,
  type UnboundReason,
} from './events.js';
export { isScopeToken } from './grants/grant-claims.js';
export { GrantCache } from './grants/grant-cache.js';
export { NO_PROOF, type ProofPolicy, type SubjectProof } from './grants/grant-settings.js';
export { heldGrantOf, HeldGrant, holdGrant } from './grants/held-grant.js';
export type { GrantOptions, IssuedGrant, OriginateCall } from './grants/issue-grant.js';
export { type ProofOutcome, proveSubject } from './grants/prove-subject.js';
export { sharedPrefix } from './grants/resolve-originators.js';
export { readUnverifiedGrant, type UnverifiedGrant } from './grants/unverified-grant.js';
export type { VerifiedGrant } from './grants/verified-grant.js';
export { grantHash, isGrantText, MAX_GRANT_LENGTH } from './grants/verify-grant.js';
export { markVerified, type ServiceIdentity, verifierOf } from './identity.js';
export type { IssuerDirectory, TrustedIssuer } from './issuers.js';
export type {
  KeySource,
  KeySourceHealth,
  PublishedKey,
  SigningKey,
  SigningKeySource,
  VerificationKey,
} from './keys.js';
export { OptionReader, ProblemList } from './option-reader.js';
export {
  describeUriFlaw,
  kindOf,
  nearestName,
  shown,
  shownPath,
  unknownOption,
} from './option-words.js';
export type {
  KeyMaterial,
  KeySourceOptions,
  OriginateOptions,
  OriginatorOptions,
  PublicKeyOptions,
  PublishedKeysOptions,
  ServiceAuthOptions,
  SigningKeyFileOptions,
  SigningKeyOptions,
  SigningKeyRingOptions,
  SigningKeySourceOptions,
  SubjectProofOptions,
  TargetOptions,
  TrustedIssuerFinder,
  TrustedMessagesOptions,
  TrustedIssuerOptions,
} from './options.js';
export {
  type AnsweredMessage,
  type AnswerPart,
  AnswerSigner,
  AnswerVerifier,
} from './messages/answer-token.js';
export {
  type CallTransport,
  type IncomingMessage,
  jobRoute,
  MAX_DELAY_SECONDS,
  type MessageTransport,
  type MessageVerb,
  type OutgoingMessage,
  transportOf,
} from './messages/message.js';
export {
  JOB_QUEUE_OPTIONS,
  MESSAGE_CLIENT_OPTIONS,
  readClientTarget,
  readQueueTarget,
  readReception,
  RECEPTION_OPTIONS,
} from './messages/addressed-options.js';
export { parseMessageText, readMessageText, writeMessageText } from './messages/message-text.js';
export { type MessageTarget, type SignedMessage, signMessage } from './messages/sign-message.js';
export { type MessageTerms, type VerifiedMessage } from './messages/verify-message.js';
export type { Profile } from './profiles.js';
export {
  isLeasing,
  type Lease,
  type LeasingReplayStore,
  type ReplayStore,
  type ReservationVerdict,
  type TokenUse,
  type TokenUseVerdict,
} from './replay.js';
export {
  type BodyArrival,
  GRANT_HEADER,
  headerValues,
  type IncomingRequest,
  type OutgoingRequest,
  type RequestBody,
  type RequestToDestination,
  isWholeHeaderList,
  SIGNED_HEADERS,
  TOKEN_HEADER,
} from './request.js';
export { assertOutgoingRequest } from './request-shape.js';
export { Receiver, type VerificationOptions } from './receiver.js';
export { RequestVerification } from './request-verification.js';
export { resolveSettings } from './resolve-settings.js';
export type {
  ReceivingSettings,
  SendingSettings,
  ServiceAuthSettings,
  Target,
} from './settings.js';
export type { KeyFetchSettings } from './settings-parts.js';
export { Sender, type SigningTarget } from './sender.js';
export { isSentUnsigned } from './signing-report.js';
export { isServiceUri, parseUrl } from './service-uri.js';
export { type Signer, signRequest } from './sign-request.js';
export { type Destination, findDestination, parseTargetUrl } from './targets.js';
export { createSlot, type Slot } from './slot.js';
export { TokenIds } from './token-ids.js';
export { JsonFlaw, readJsonObject } from './unambiguous-json.js';
export { readUnverifiedBodyHash } from './unverified-body-hash.js';
export { type DecisionMode, describeRefusal } from './verification-progress.js';
export { verifyRequest } from './verify-request.js';
export { assertRoutePolicy, recordUse, type RoutePolicy } from './verification-steps.js';
