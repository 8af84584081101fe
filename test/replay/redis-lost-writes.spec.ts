import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { closeAfterEach } from '../support/services/receiver.js';
import { CLIENTS, openClient } from '../support/redis/redis-clients.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { TcpProxy } from '../support/redis/tcp-proxy.js';
import {
  tokenUse,
  tokenUses,
  UNAVAILABLE,
  verdictOf,
  verdictsOf,
} from '../support/replay/token-use.js';

const PATIENTLY = { timeoutMilliseconds: 10_000 };

describeRedis.each(CLIENTS)('what Redis loses, over %s', (name) => {
  const closing = closeAfterEach();

  async function openStore(port: number, options: Partial<RedisReplayStoreOptions> = {}) {
    const open = closing(openClient(name, port));
    await open.ready();
    const store = new RedisReplayStore({ client: open.client, ...PATIENTLY, ...options });
    return { store, open };
  }

  /** A primary with a replica that has caught up, behind one address. */
  async function openPair(options: Partial<RedisReplayStoreOptions> = {}) {
    const primary = closing(await RedisServer.start());
    const link = closing(await TcpProxy.start(primary.port));
    const replica = closing(await RedisServer.start('--replicaof', '127.0.0.1', `${link.port}`));
    const address = closing(await TcpProxy.start(primary.port));
    const { store, open } = await openStore(address.port, options);
    await catchUp(primary);

    const failOver = async (): Promise<number> => {
      const ready = open.readyAgain();
      await primary.kill();
      await replica.command('REPLICAOF', 'NO', 'ONE');
      address.leadTo(replica.port);
      address.reset();
      await ready;
      return replica.port;
    };
    const cutReplica = (): void => {
      link.refuse();
      link.reset();
    };
    return { primary, store, cutReplica, failOver };
  }

  /** Resolves when a replica has all that was written to the primary. */
  async function catchUp(primary: RedisServer): Promise<void> {
    await primary.command('SET', 'mark', '1', 'PX', '60000');
    expect(await primary.command('WAIT', '1', '0')).toBe(1);
  }

  describe('RF-05 a failover to a replica', () => {
    it('forgets what was not yet replicated: each such token is undecided where the old one was asked, and accepted elsewhere', async () => {
      const { primary, store, cutReplica, failOver } = await openPair();
      const replicated = tokenUses(20);
      expect(await verdictsOf(store, replicated)).toEqual(Array(20).fill('first'));
      await catchUp(primary);

      cutReplica();
      const lost = tokenUses(10);
      expect(await verdictsOf(store, lost)).toEqual(Array(10).fill('first'));
      const port = await failOver();
      expect(await verdictsOf(store, replicated)).toEqual(Array(20).fill('seen'));
      const [one, ...others] = lost;
      // A process that connects now knows of no failover.
      const late = await openStore(port);
      expect(await verdictsOf(late.store, [one ?? tokenUse()])).toEqual(['first']);
      expect(await verdictsOf(store, others)).toEqual(Array(9).fill(UNAVAILABLE));
      expect(await verdictsOf(store, lost)).toEqual(Array(10).fill('seen'));
    });

    it('forgets nothing that was accepted where replicas are waited for', async () => {
      const waitForReplicas = { count: 1, timeoutMilliseconds: 1000 };
      const { store, cutReplica, failOver } = await openPair({ waitForReplicas });
      const accepted = [];
      while (accepted.length < 3) {
        const one = tokenUse();
        // A busy machine may take longer than a second, and then it is refused.
        if ((await verdictOf(store, one)) === 'first') accepted.push(one);
      }

      cutReplica();
      const refused = tokenUse();
      expect(await verdictOf(store, refused)).toBe(
        'unavailable: fewer than 1 replicas have the use',
      );
      expect(await verdictOf(store, refused)).toBe('seen');
      await failOver();
      expect(await verdictsOf(store, accepted)).toEqual(Array(3).fill('seen'));
      // The new primary has no replica, so that nothing is accepted before it has one.
      expect(await verdictOf(store, tokenUse())).toContain('fewer than 1 replicas');
    });
  });

  describe('RF-07 a Redis that lost its memory', () => {
    it('accepts a used token once more after FLUSHALL', async () => {
      const redis = closing(await RedisServer.start());
      const { store } = await openStore(redis.port);
      const one = tokenUse();
      expect(await verdictsOf(store, [one])).toEqual(['first']);
      expect(await verdictOf(store, one)).toBe('seen');
      await redis.command('FLUSHALL');
      expect(await verdictOf(store, one)).toBe('first');
      expect(await verdictOf(store, one)).toBe('seen');
    });

    it.each([
      ['unavailable', 'nothing on disk', []],
      ['seen', 'every write on disk', ['--appendonly', 'yes', '--appendfsync', 'always']],
    ])('says %s to a used token after a crash with %s', async (verdict, _title, settings) => {
      const redis = closing(await RedisServer.start(...settings));
      const { store, open } = await openStore(redis.port);
      const one = tokenUse();
      expect(await verdictOf(store, one)).toBe('first');
      const ready = open.readyAgain();
      await redis.restart();
      await ready;
      expect((await verdictOf(store, one)).split(':')[0]).toBe(verdict);
      expect(await verdictOf(store, one)).toBe('seen');
    });
  });
});
