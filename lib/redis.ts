/** What a service imports that shares a replay store: the subpath `nestjs-service-auth/redis`. */
export type { IoredisClient } from './replay/ioredis-connection.js';
export type { NodeRedisClient } from './replay/node-redis-connection.js';
export { RedisReplayStore } from './replay/redis-replay-store.js';
export type { RedisReplayStoreOptions } from './replay/redis-replay-store.options.js';
