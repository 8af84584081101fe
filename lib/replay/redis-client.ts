import { connectionOfIoredis } from './ioredis-connection.js';
import { connectionOfNodeRedis } from './node-redis-connection.js';
import type { RedisConnection } from './redis-connection.js';

/**
 * The connection of a client of `ioredis` 5 or 6 (`Redis` or `Cluster`), or of `redis` 5 or 6
 * (`createClient` or `createSentinel`), told apart by what they have; undefined for anything else.
 */
export function connectionOf(client: unknown): RedisConnection | undefined {
  if (typeof client !== 'object' || client === null) return undefined;
  return connectionOfIoredis(client) ?? connectionOfNodeRedis(client);
}
