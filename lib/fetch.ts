/** The subpath `nestjs-service-auth/fetch`, for services that call others with fetch. */
export type { CallContext, CallSubject } from './for-whom/call-subject.js';
export { createSignedFetch, type SignedFetch } from './clients/fetch.js';
export type { AnyFetch, SignedFetchOptions } from './clients/fetch-options.js';
export type { RequestSigner } from './clients/signed-call.js';
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
export { ServiceFetch } from './nest/fetch/service-fetch.js';
export { ServiceFetchModule } from './nest/fetch/service-fetch.module.js';
export type { ServiceFetchModuleOptions } from './nest/fetch/service-fetch.module-definition.js';
