/** The subpath `nestjs-service-auth/undici`, for services that call others with undici. It loads no Nest. */
export type { CallContext, CallSubject } from './for-whom/call-subject.js';
export type { RequestSigner } from './clients/signed-call.js';
export { createSignedDispatcher } from './clients/undici.js';
export type {
  AnyDispatcher,
  AnyInterceptor,
  SignedDispatcherOptions,
} from './clients/undici-options.js';
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
