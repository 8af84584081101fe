/** What an application without Nest imports: the subpath `nestjs-service-auth/core`. */
export * from './core/index.js';
export { MemoryReplayStore, type MemoryReplayStoreOptions } from './replay/memory-replay-store.js';
export { createServiceAuth, ServiceAuth } from './service-auth.js';
