/** The subpath `nestjs-service-auth/testing`, for the tests of an application. */
export {
  decodeGrant,
  type DecodedToken,
  decodeToken,
  type TokenCarrier,
} from './testing/decode-token.js';
export { FLAWS, type Flaw, MESSAGE_FLAWS } from './testing/flaws.js';
export { GRANT_FLAWS, type GrantFlaw } from './testing/grant-flaws.js';
export type { ProviderFactory, ProviderOverrides } from './testing/provider-overrides.js';
export {
  ServiceAuthTesting,
  type ServiceAuthTestingOptions,
  type ServiceAuthTestModuleOptions,
} from './testing/service-auth-testing.js';
export type { ActingAsOptions, TestCaller, TestHeaders } from './testing/test-caller.js';
export { TestClock } from './testing/test-clock.js';
export type { TestGrantOptions } from './testing/test-grant.js';
export type { ServiceAuthTestOptions } from './testing/test-options.js';
export type {
  ReceivedRequest,
  TestAnswer,
  TestReceiver,
  TestReceiverOptions,
} from './testing/test-receiver.js';
export type { TestJob, TestJobOptions } from './testing/test-message.js';
export type { SentRequest, TestBody, TestRequestOptions } from './testing/test-request.js';
export type { TokenlessCaller } from './testing/tokenless.js';
