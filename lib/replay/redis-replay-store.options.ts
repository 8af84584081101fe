import { ServiceAuthConfigError } from '../core/index.js';
import type { IoredisClient } from './ioredis-connection.js';
import type { NodeRedisClient } from './node-redis-connection.js';
import { connectionOf, describeWrongClient } from './redis-client.js';
import type { RedisConnection } from './redis-connection.js';

/** What a `RedisReplayStore` is made with. */
export interface RedisReplayStoreOptions {
  /**
   * A client of `ioredis` 5 or 6 (`Redis` or `Cluster`) or of `redis` 5 or 6 (`createClient` or `createSentinel`).
   * It stays yours: connect it, and close it after the application.
   */
  client: IoredisClient | NodeRedisClient;
  /** What every key begins with: 1 to 128 visible ASCII characters. Default `service-auth:replay:`. */
  keyPrefix?: string;
  /** How long a request waits for Redis, in milliseconds, 1 to 10000. Default 100. */
  timeoutMilliseconds?: number;
  /**
   * What becomes of a request while Redis cannot tell whether its token was used before. Default
   * `refuse`: 503. `accept-unchecked` lets it through, used or not.
   */
  onUnavailable?: 'refuse' | 'accept-unchecked';
  /** Whether the service fails to start when Redis is out of reach. Default false: it answers 503 meanwhile. */
  requireConnectionAtStart?: boolean;
  /**
   * Accepts a token only once so many replicas have its use as well, which narrows what a failover may lose.
   * Not with a cluster. Default: not waited for.
   */
  waitForReplicas?: {
    /** 1 to 10. */
    count: number;
    /** At most `timeoutMilliseconds`. */
    timeoutMilliseconds: number;
  };
  /** A clock that never steps, in milliseconds. Default `performance.now`. */
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

const KEY_PREFIX = 'write 1 to 128 visible ASCII characters';
const TIMEOUT = 'write a whole number from 1 to 10000';
const CHOICE = "write 'refuse' or 'accept-unchecked'";
const FLAG = 'write true or false';
const CLOCK = 'write a function that answers milliseconds';
const WAIT =
  'write { count, timeoutMilliseconds }: 1 to 10, and at most the timeoutMilliseconds of the store; not with a cluster';

/** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
export function readRedisReplayStoreOptions(options: unknown): RedisReplayStoreSettings {
  const isRecord = typeof options === 'object' && options !== null;
  const values = new Map<string, unknown>(isRecord ? Object.entries(options) : []);
  const problems = [...values.keys()]
    .filter((name) => !OPTION_NAMES.some((known) => known === name))
    .map((name) => `${name}: unknown option; remove it`);
  const read = <T>(
    name: (typeof OPTION_NAMES)[number],
    isGood: (value: unknown) => value is T,
    fallback: T,
    whatToWrite: string,
  ): T => {
    const value = values.get(name) ?? fallback;
    if (isGood(value)) return value;
    problems.push(`${name}: ${whatToWrite}`);
    return fallback;
  };

  const connection = connectionOf(values.get('client'));
  if (!connection) problems.push(`client: ${describeWrongClient(values.get('client'))}`);
  const keyPrefix = read('keyPrefix', isKeyPrefix, 'service-auth:replay:', KEY_PREFIX);
  const timeoutMilliseconds = read('timeoutMilliseconds', isTimeout, 100, TIMEOUT);
  const onUnavailable = read('onUnavailable', isChoice, 'refuse', CHOICE);
  const requireConnectionAtStart = read('requireConnectionAtStart', isFlag, false, FLAG);
  const isWait = (value: unknown): value is ReplicaWait | undefined =>
    value === undefined || (!connection?.isCluster && isReplicaWait(value, timeoutMilliseconds));
  const waitForReplicas = read('waitForReplicas', isWait, undefined, WAIT);

  const monotonicNow = read('monotonicNow', isClock, () => performance.now(), CLOCK);

  if (!connection || problems.length > 0) throw new ServiceAuthConfigError(problems);
  return Object.freeze({
    connection,
    keyPrefix,
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

function isTimeout(value: unknown): value is number {
  return isWholeNumber(value, 10_000);
}

function isChoice(value: unknown): value is 'refuse' | 'accept-unchecked' {
  return value === 'refuse' || value === 'accept-unchecked';
}

function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isClock(value: unknown): value is () => number {
  return typeof value === 'function';
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
