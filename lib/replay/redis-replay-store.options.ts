import { OptionReader, ServiceAuthConfigError } from '../core/index.js';
import type { IoredisClient } from './ioredis-connection.js';
import type { NodeRedisClient } from './node-redis-connection.js';
import { connectionOf, describeWrongClient } from './redis-client.js';
import type { RedisConnection } from './redis-connection.js';

/** The options of a `RedisReplayStore`. */
export interface RedisReplayStoreOptions {
  /**
   * A client of `ioredis` 5 or 6 (`Redis` or `Cluster`) or of `redis` 5 or 6 (`createClient` or `createSentinel`).
   * It stays yours: connect it, and close it after the application.
   */
  client: IoredisClient | NodeRedisClient;
  /** The prefix of every key: 1 to 128 visible ASCII characters. Default `service-auth:replay:`. */
  keyPrefix?: string;
  /** How long a request waits for Redis, in milliseconds, 1 to 10000. Default 100. */
  timeoutMilliseconds?: number;
  /**
   * What the store does while Redis cannot decide whether a token was used before. Default `refuse`: 503.
   * `accept-unchecked` accepts the token, used or not.
   */
  onUnavailable?: 'refuse' | 'accept-unchecked';
  /** Whether the service fails to start if Redis is unreachable. Default false: it answers 503 meanwhile. */
  requireConnectionAtStart?: boolean;
  /**
   * Accepts a token only after this many replicas have its use too, which reduces what a failover may lose. Not with
   * a cluster. Default: does not wait.
   */
  waitForReplicas?: {
    /** 1 to 10. */
    count: number;
    /** At most `timeoutMilliseconds`. */
    timeoutMilliseconds: number;
  };
  /** A monotonic clock, in milliseconds. Default `performance.now`. */
  monotonicNow?: () => number;
}

export interface RedisReplayStoreSettings {
  readonly connection: RedisConnection;
  readonly keyPrefix: string;
  readonly timeoutMilliseconds: number;
  readonly onUnavailable: 'refuse' | 'accept-unchecked';
  readonly requireConnectionAtStart: boolean;
  readonly waitForReplicas: ReplicaWait | undefined;
  readonly monotonicNow: () => number;
}

interface ReplicaWait {
  readonly count: number;
  readonly timeoutMilliseconds: number;
}

const OPTION_NAMES = [
  'client',
  'keyPrefix',
  'timeoutMilliseconds',
  'onUnavailable',
  'requireConnectionAtStart',
  'waitForReplicas',
  'monotonicNow',
] as const satisfies (keyof RedisReplayStoreOptions)[];

const CHOICES = ['refuse', 'accept-unchecked'] as const;
const WAIT =
  'write { count, timeoutMilliseconds }: 1 to 10, and at most the timeoutMilliseconds of the store; not with a cluster';

/** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
export function readRedisReplayStoreOptions(options: unknown): RedisReplayStoreSettings {
  const reader = new OptionReader(options ?? {}, OPTION_NAMES);
  const client = reader.raw('client');
  const connection = connectionOf(client);
  if (!connection) reader.report('client', describeWrongClient(client));
  const keyPrefix = reader.value(
    'keyPrefix',
    isKeyPrefix,
    'write 1 to 128 visible ASCII characters',
  );
  const timeoutMilliseconds = reader.integer('timeoutMilliseconds', {
    from: 1,
    to: 10_000,
    fallback: 100,
  });
  const onUnavailable = reader.word('onUnavailable', CHOICES, 'refuse');
  const requireConnectionAtStart = reader.flag('requireConnectionAtStart');
  const isWait = (value: unknown): value is ReplicaWait =>
    !connection?.isCluster && isReplicaWait(value, timeoutMilliseconds);
  const waitForReplicas = reader.value('waitForReplicas', isWait, WAIT);
  const monotonicNow = reader.monotonicClock('monotonicNow');
  const { problems } = reader.problems;
  if (!connection || problems.length > 0) throw new ServiceAuthConfigError(problems);
  return Object.freeze({
    connection,
    keyPrefix: keyPrefix ?? 'service-auth:replay:',
    timeoutMilliseconds,
    onUnavailable,
    requireConnectionAtStart,
    waitForReplicas: waitForReplicas && Object.freeze({ ...waitForReplicas }),
    monotonicNow,
  });
}

function isKeyPrefix(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value);
}

function isReplicaWait(value: unknown, longest: number): value is ReplicaWait {
  if (typeof value !== 'object' || value === null) return false;
  const { count, timeoutMilliseconds, ...others } = value as Partial<Record<string, unknown>>;
  return (
    isWholeNumber(count, 10) &&
    isWholeNumber(timeoutMilliseconds, longest) &&
    Object.keys(others).length === 0
  );
}

function isWholeNumber(value: unknown, to: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= to;
}
