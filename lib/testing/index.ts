/** What the tests of an application import: the subpath `nestjs-service-auth/testing`. */
export { type DecodedToken, decodeToken, type TokenCarrier } from './decode-token.js';
export { FLAWS, type Flaw } from './flaws.js';
export type { ProviderOverrides } from './provider-overrides.js';
export {
  ServiceAuthTesting,
  type ServiceAuthTestingOptions,
  type ServiceAuthTestModuleOptions,
} from './service-auth-testing.js';
export type { TestCaller, TestHeaders } from './test-caller.js';
export { TestClock } from './test-clock.js';
export type { ServiceAuthTestOptions } from './test-options.js';
export type {
  ReceivedRequest,
  TestAnswer,
  TestReceiver,
  TestReceiverOptions,
} from './test-receiver.js';
export type { SentRequest, TestBody, TestRequestOptions } from './test-request.js';
export type { TokenlessCaller } from './tokenless.js';
