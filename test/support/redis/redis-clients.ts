import { Redis } from 'ioredis';
import type { RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { createClient } from 'redis';

/** A client as an application makes it. */
export interface OpenClient {
  readonly client: RedisReplayStoreOptions['client'];
  /** Resolves when it is connected. */
  ready(): Promise<void>;
  /** Resolves when it is connected once more. */
  readyAgain(): Promise<void>;
  close(): void;
}

export interface ClientOptions {
  readonly keyPrefix?: string;
  readonly username?: string;
  readonly password?: string;
}

export type ClientName = 'ioredis' | 'node-redis';

/** Makes a client that connects to this port of this host, and does so again when it has to. */
export function openClient(
  name: ClientName,
  port: number,
  options: ClientOptions = {},
): OpenClient {
  return name === 'ioredis' ? openIoredis(port, options) : openNodeRedis(port, options);
}

/** Everything a store does, it does over both: `describe.each(CLIENTS)('over %s', (name) => ...)`. */
export const CLIENTS: readonly ClientName[] = ['ioredis', 'node-redis'];

/** Short, so that a test need not wait for the next attempt. */
const RETRY_MILLISECONDS = 20;

/** Not `once`, which fails at the errors on the way there. */
async function nextReady(client: {
  once(event: 'ready', listener: () => void): unknown;
}): Promise<void> {
  await new Promise<void>((resolve) => client.once('ready', resolve));
}

function openIoredis(port: number, options: ClientOptions): OpenClient {
  const client = new Redis({ ...options, port, retryStrategy: () => RETRY_MILLISECONDS });
  client.on('error', () => undefined);
  return {
    client,
    ready: async () => {
      if (client.status !== 'ready') await nextReady(client);
    },
    readyAgain: async () => await nextReady(client),
    close: () => client.disconnect(),
  };
}

function openNodeRedis(port: number, options: ClientOptions): OpenClient {
  const socket = { host: '127.0.0.1', port, reconnectStrategy: () => RETRY_MILLISECONDS };
  const client = createClient({ ...options, socket });
  client.on('error', () => undefined);
  client.connect().catch(() => undefined);
  return {
    client,
    ready: async () => {
      if (!client.isReady) await nextReady(client);
    },
    readyAgain: async () => await nextReady(client),
    close: () => {
      if (client.isOpen) client.destroy();
    },
  };
}
