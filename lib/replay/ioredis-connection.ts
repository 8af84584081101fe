import { hasMethods, isEventSource, type RedisConnection } from './redis-connection.js';
import { readServerId } from './redis-server-info.js';

/** The members of `Redis` and `Cluster` of `ioredis` 5 and 6 that this library uses. */
export interface IoredisClient {
  /** Calls back at each event of this name. */
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  readonly status: string;
  readonly isCluster: boolean;
  /** `SET key value PX milliseconds NX`. */
  set(key: string, value: string, px: 'PX', milliseconds: number, nx: 'NX'): Promise<unknown>;
  /** `EVAL script numberOfKeys key args`: what reserves a use while its handler runs. */
  eval?(script: string, numberOfKeys: number, ...keysAndArgs: string[]): Promise<unknown>;
  /** `WAIT count milliseconds`. */
  wait(count: number, milliseconds: number): Promise<unknown>;
  /** `INFO section`. */
  info(section: string): Promise<unknown>;
  readonly options?: object;
  /** Of a `Cluster`. */
  nodes?(role?: 'master'): readonly Pick<IoredisClient, 'info' | 'on'>[];
}

/** Undefined for other clients; version 4 had no `isCluster`. */
export function connectionOfIoredis(client: object): RedisConnection | undefined {
  if (!isIoredis(client)) return undefined;
  return {
    isCluster: client.isCluster,
    risk: describeRisk(client),
    isReady: () => client.status === 'ready',
    isConnecting: () => client.status !== 'wait' && client.status !== 'end',
    setIfAbsent: async (key, milliseconds) => await client.set(key, '1', 'PX', milliseconds, 'NX'),
    evaluate: async (script, key, args) => {
      if (!client.eval) throw new Error('the client has no method eval');
      return await client.eval(script, 1, key, ...args);
    },
    waitForReplicas: async (count, milliseconds) => await client.wait(count, milliseconds),
    info: async (section) => await client.info(section),
    serverIds: async () => await Promise.all(primariesOf(client).map(serverIdOf)),
    onReady: (listener) => void client.on('ready', () => listener()),
    onMove: (listener) => {
      if (client.isCluster) watchNodes(client, listener);
    },
    onError: (listener) => void client.on('error', listener),
  };
}

/**
 * Without that option, the client writes to the old primary until Sentinel demotes it, about ten seconds after a
 * failover.
 */
function describeRisk({ options = {} }: IoredisClient): string | undefined {
  const isBehindSentinel = Array.isArray(Reflect.get(options, 'sentinels'));
  if (!isBehindSentinel || Reflect.get(options, 'failoverDetector') === true) return undefined;
  return 'the client of ioredis does not notice a planned failover: set failoverDetector: true beside sentinels';
}

type Node = Pick<IoredisClient, 'info' | 'on'>;

const serverIdOf = async (node: Node): Promise<string> => readServerId(await node.info('server'));

function primariesOf(client: IoredisClient): readonly Node[] {
  return client.isCluster && client.nodes ? client.nodes('master') : [client];
}

/** A `Cluster` stays ready while its nodes disconnect, reconnect and change roles. */
function watchNodes(client: IoredisClient, listener: () => void): void {
  const watch = (node: unknown): void => {
    if (isEventSource(node)) node.on('ready', () => listener());
  };
  for (const node of client.nodes?.() ?? []) watch(node);
  client.on('+node', watch);
  client.on('-node', () => listener());
  client.on('refresh', () => listener());
}

function isIoredis(client: object): client is IoredisClient {
  return (
    typeof Reflect.get(client, 'status') === 'string' &&
    typeof Reflect.get(client, 'isCluster') === 'boolean' &&
    hasMethods(client, ['on', 'set', 'wait', 'info'])
  );
}
