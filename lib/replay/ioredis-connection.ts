import { type EventSource, hasMethods, type RedisConnection } from './redis-connection.js';

/** `Redis` and `Cluster` of `ioredis` 5 and 6, as far as they are used here. */
export interface IoredisClient extends EventSource {
  readonly status: string;
  readonly isCluster: boolean;
  set(key: string, value: string, px: 'PX', milliseconds: number, nx: 'NX'): Promise<unknown>;
  wait(count: number, milliseconds: number): Promise<unknown>;
  info(section: string): Promise<unknown>;
}

/** Undefined where the client is none; version 4 had no `isCluster`. */
export function connectionOfIoredis(client: object): RedisConnection | undefined {
  if (!isIoredis(client)) return undefined;
  return {
    isCluster: client.isCluster,
    isReady: () => client.status === 'ready',
    isConnecting: () => client.status !== 'wait' && client.status !== 'end',
    setIfAbsent: async (key, milliseconds) => await client.set(key, '1', 'PX', milliseconds, 'NX'),
    waitForReplicas: async (count, milliseconds) => await client.wait(count, milliseconds),
    memoryInfo: async () => await client.info('memory'),
    onReady: (listener) => void client.on('ready', () => listener()),
    onError: (listener) => void client.on('error', listener),
  };
}

function isIoredis(client: object): client is IoredisClient {
  return (
    typeof Reflect.get(client, 'status') === 'string' &&
    typeof Reflect.get(client, 'isCluster') === 'boolean' &&
    hasMethods(client, ['on', 'set', 'wait', 'info'])
  );
}
