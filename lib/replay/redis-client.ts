import { connectionOfIoredis } from './ioredis-connection.js';
import { connectionOfNodeRedis } from './node-redis-connection.js';
import { hasMethods, type RedisConnection } from './redis-connection.js';

/**
 * The connection of a client of `ioredis` 5 or 6 (`Redis` or `Cluster`), or of `redis` 5 or 6 (`createClient` or
 * `createSentinel`), recognised by their members; undefined for any other value.
 */
export function connectionOf(client: unknown): RedisConnection | undefined {
  if (typeof client !== 'object' || client === null) return undefined;
  return connectionOfIoredis(client) ?? connectionOfNodeRedis(client);
}

const CLIENT =
  "write a client of 'ioredis' 5 or 6 (`new Redis(...)` or `new Cluster(...)`), or of 'redis' 5 or 6 (`createClient(...)` or `createSentinel(...)`)";

/** What to write instead of an unusable client, and what the client is, if known. */
export function describeWrongClient(client: unknown): string {
  if (typeof client === 'string' || client instanceof URL) {
    return "is a URL; write `new Redis(url)` of 'ioredis', or `createClient({ url })` of 'redis'";
  }
  if (typeof client !== 'object' || client === null) return CLIENT;
  const found = KNOWN_CLIENTS.find((known) => known.isLike((name) => Reflect.get(client, name)));
  if (!found || !(hasMethods(client, ['on', 'set']) || hasMethods(client, ['then']))) return CLIENT;
  return `is ${found.name}; ${found.instead}`;
}

/** Recognised by members; the first match counts. */
const KNOWN_CLIENTS: readonly {
  name: string;
  instead: string;
  isLike(member: (name: string) => unknown): boolean;
}[] = [
  {
    name: 'a promise',
    instead: 'await it first, as in `client: await createClient(...).connect()`',
    isLike: (member) => typeof member('then') === 'function',
  },
  {
    name: "`createCluster(...)` of 'redis', which does not say when it connects",
    instead: "write `new Cluster(...)` of 'ioredis'",
    isLike: (member) => member('slots') !== undefined || member('masters') !== undefined,
  },
  {
    name: "`createClientPool(...)` of 'redis', which does not say when it connects",
    instead: 'write `createClient(...)`: one connection serves all requests at once',
    isLike: (member) => typeof member('clientsInUse') === 'number',
  },
  {
    name: "a client of 'redis' 4",
    instead: "install 'redis' 5 or 6",
    isLike: (member) =>
      typeof member('isReady') === 'boolean' && member('withCommandOptions') === undefined,
  },
  {
    name: "a client of 'redis' 3 or older",
    instead: "install 'redis' 5 or 6",
    isLike: (member) => typeof member('connected') === 'boolean',
  },
  {
    name: "a client of 'ioredis' 4 or older",
    instead: "install 'ioredis' 5 or 6",
    isLike: (member) => typeof member('status') === 'string' && member('isCluster') === undefined,
  },
];
