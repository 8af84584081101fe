/** What an application without Nest imports: the subpath `nestjs-service-auth/core`. */
export type { CallContext, CallSubject } from './for-whom/call-subject.js';
export { createSignedFetch, type SignedFetch } from './clients/fetch.js';
export type { AnyFetch, SignedFetchOptions } from './clients/fetch-options.js';
export type { RequestSigner } from './clients/signed-call.js';
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
export * from './core/index.js';
export { MemoryReplayStore, type MemoryReplayStoreOptions } from './replay/memory-replay-store.js';
export { createServiceAuth, ServiceAuth, type VerifyOptions } from './service-auth.js';
