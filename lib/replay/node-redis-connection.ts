import { hasMethods, type RedisConnection } from './redis-connection.js';
import { readServerId } from './redis-server-info.js';

/** The members of a client from `createClient` of `redis` 5 and 6 that this library uses. */
export interface NodeRedisClient {
  /** Calls back at each event of this name. */
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  readonly isOpen: boolean;
  readonly isReady: boolean;
  /** `SET key value PX milliseconds NX`. */
  set(
    key: string,
    value: string,
    options: { expiration: { type: 'PX'; value: number }; condition: 'NX' },
  ): Promise<unknown>;
  /** `EVAL script 1 key args`: what reserves a use while its handler runs. */
  eval?(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  /** `WAIT count milliseconds`. */
  wait(count: number, milliseconds: number): Promise<unknown>;
  /** `INFO section`. */
  info(section: string): Promise<unknown>;
}

/** Undefined for other clients; version 4 had no `withCommandOptions`, and other options of `set`. */
export function connectionOfNodeRedis(client: object): RedisConnection | undefined {
  if (!isNodeRedis(client)) return undefined;
  return {
    isCluster: false,
    risk: undefined,
    isReady: () => client.isReady,
    isConnecting: () => client.isOpen,
    setIfAbsent: async (key, milliseconds) => {
      const expiration = { type: 'PX', value: milliseconds } as const;
      return await client.set(key, '1', { expiration, condition: 'NX' });
    },
    evaluate: async (script, key, args) => {
      if (!client.eval) throw new Error('the client has no method eval');
      return await client.eval(script, { keys: [key], arguments: [...args] });
    },
    waitForReplicas: async (count, milliseconds) => await client.wait(count, milliseconds),
    info: async (section) => await client.info(section),
    serverIds: async () => [readServerId(await client.info('server'))],
    onReady: (listener) => void client.on('ready', () => listener()),
    // The event of a Sentinel client about its own clients, instead of `ready`.
    onMove: (listener) => {
      for (const event of ['client-error', 'topology-change']) {
        client.on(event, (what) => {
          if (isAboutPrimary(what)) listener();
        });
      }
    },
    onError: (listener) => void client.on('error', listener),
  };
}

function isAboutPrimary(event: unknown): boolean {
  const type: unknown =
    typeof event === 'object' && event !== null ? Reflect.get(event, 'type') : undefined;
  return type === 'MASTER' || type === 'MASTER_CHANGE';
}

/** Its cluster and its pool emit no event for a new connection, so they are not accepted. */
function isNodeRedis(client: object): client is NodeRedisClient {
  return (
    typeof Reflect.get(client, 'isReady') === 'boolean' &&
    typeof Reflect.get(client, 'isOpen') === 'boolean' &&
    Reflect.get(client, 'slots') === undefined &&
    hasMethods(client, ['on', 'set', 'wait', 'info', 'withCommandOptions'])
  );
}
