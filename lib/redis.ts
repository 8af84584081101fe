/** The subpath `nestjs-service-auth/redis`, for services with a shared replay store. */
export type { IoredisClient } from './replay/ioredis-connection.js';
export type { NodeRedisClient } from './replay/node-redis-connection.js';
export { RedisReplayStore } from './replay/redis-replay-store.js';
export type { RedisReplayStoreOptions } from './replay/redis-replay-store.options.js';
