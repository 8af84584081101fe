import { MemoryReplayStore, type ReplayStore, ServiceAuthModule } from 'nestjs-service-auth';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { Module } from '@nestjs/common';
import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import { tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import {
  BASELINE,
  CENSUS,
  NOW_SECONDS,
  ORIGINAL,
  startCensus,
  trustedIssuers,
} from '../support/services/census.js';
import { type Answer, call, type Call } from '../support/http/http.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { CLIENTS, openClient } from '../support/redis/redis-clients.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { TcpProxy } from '../support/redis/tcp-proxy.js';

const request = (issuedAtSeconds = NOW_SECONDS, parts = {}): Call => {
  const attempt = withParts(BASELINE, parts);
  return toCall(attempt, tokenFor(attempt, issuedAtSeconds));
};
const requests = (count: number): Call[] => Array.from({ length: count }, () => request());
const send = async (service: TestService, one: Call): Promise<Answer> =>
  await call(service.port, one);
const sendAll = async (service: TestService, all: readonly Call[]): Promise<Answer[]> =>
  await Promise.all(all.map(async (one) => await send(service, one)));
const UNAVAILABLE = { code: 'replay_store_unavailable' } as const;

describe.each(ADAPTERS)('ReplayStore on %s', (adapter) => {
  const closing = closeAfterEach();
  const startWith = async (replayStore: ReplayStore | undefined, options = {}) =>
    closing(await startCensus({ adapter, options: { replayStore, ...options } }));

  describeRedis.each(CLIENTS)('with a shared Redis over %s', (name) => {
    async function openRedis(options: Partial<RedisReplayStoreOptions> = {}) {
      const redis = closing(await RedisServer.start());
      const proxy = closing(await TcpProxy.start(redis.port));
      const openStore = async () => {
        const open = closing(openClient(name, proxy.port));
        await open.ready();
        const patiently = { timeoutMilliseconds: 3000, ...options };
        return { open, store: new RedisReplayStore({ client: open.client, ...patiently }) };
      };
      return { redis, proxy, openStore };
    }

    it('RP-03 two instances accept one of 100 identical requests between them', async () => {
      const { redis, openStore } = await openRedis();
      const [one, two] = [
        await startWith((await openStore()).store),
        await startWith((await openStore()).store),
      ];
      for (let round = 0; round < 3; round++) {
        const copies = Array<Call>(50).fill(request());
        const answers = (await Promise.all([sendAll(one, copies), sendAll(two, copies)])).flat();
        const accepted = answers.filter(({ status }) => status === 200);
        expect(accepted).toHaveLength(1);
        for (const answer of accepted) expectAccepted(answer);
        for (const answer of answers.filter(({ status }) => status !== 200)) {
          expectRefused(answer, { code: 'token_replayed' });
        }
      }
      expect(await redis.keys()).toHaveLength(3);
    });

    it('RF-02 answers 503 while connections are refused, and recovers by itself', async () => {
      const { proxy, openStore } = await openRedis();
      const { open, store } = await openStore();
      const service = await startWith(store);
      const before = request();
      expectAccepted(await send(service, before));
      proxy.refuse();
      proxy.reset();
      const meanwhile = requests(20);
      for (const answer of await sendAll(service, meanwhile)) expectRefused(answer, UNAVAILABLE);
      const ready = open.readyAgain();
      proxy.pass();
      await ready;
      expectRefused(await send(service, before), { code: 'token_replayed' });
      expectAccepted(await send(service, request()));
    });

    it('RF-02 lets requests through unchecked where that is written, and in no other way', async () => {
      const { proxy, openStore } = await openRedis({ onUnavailable: 'accept-unchecked' });
      const { store } = await openStore();
      const service = await startWith(store);
      const one = request();
      expectAccepted(await send(service, one));
      expectRefused(await send(service, one), { code: 'token_replayed' });
      proxy.refuse();
      proxy.reset();
      expectAccepted(await send(service, one));
      const other = request(NOW_SECONDS, { audience: 'https://orders.service/' });
      expectRefused(await send(service, other), { code: 'audience_mismatch' });
    });

    it('RF-03 answers 503 while Redis says nothing', async () => {
      const { redis, openStore } = await openRedis({ timeoutMilliseconds: 300 });
      const service = await startWith((await openStore()).store);
      redis.freeze();
      for (const answer of await sendAll(service, requests(20))) expectRefused(answer, UNAVAILABLE);
      redis.thaw();
      let answer = await send(service, request());
      while (answer.status === 503) answer = await send(service, request());
      expectAccepted(answer);
    });

    it('RF-04, RP-16 burns the token whose reply was lost; signed anew the request passes', async () => {
      const { proxy, openStore } = await openRedis();
      const { open, store } = await openStore();
      const service = await startWith(store);
      const one = request();
      proxy.swallowReplies();
      const answer = send(service, one);
      while (!(await proxy.nextSwallowed()).includes('+OK'));
      const ready = open.readyAgain();
      proxy.pass();
      proxy.reset();
      expectRefused(await answer, UNAVAILABLE);
      await ready;
      expectRefused(await send(service, one), { code: 'token_replayed' });
      expectAccepted(await send(service, request()));
    });

    it('takes the client from a provider, and leaves it open', async () => {
      const redis = closing(await RedisServer.start('--maxmemory-policy', 'allkeys-lru'));
      const open = closing(openClient(name, redis.port));
      await open.ready();
      const REDIS = Symbol('redis');
      @Module({ providers: [{ provide: REDIS, useValue: open.client }], exports: [REDIS] })
      class RedisModule {}
      const logger = new LogRecorder();
      const service = await startService({
        adapter,
        logger,
        imports: [
          ServiceAuthModule.forRootAsync({
            imports: [RedisModule],
            inject: [REDIS],
            useFactory: (client: RedisReplayStoreOptions['client']) => ({
              issuer: CENSUS,
              trustedIssuers,
              replayStore: new RedisReplayStore({ client }),
            }),
          }),
        ],
      });
      expect(logger.texts('warn').join()).toContain('allkeys-lru');
      await service.close();
      const store = new RedisReplayStore({ client: open.client, timeoutMilliseconds: 3000 });
      const use = { issuer: 'a', tokenId: 'b', nowSeconds: 1, forgetAtSeconds: 60 };
      expect(await store.recordUse(use)).toBe('first');
    });
  });

  describe('RP-17 a store that answers something else', () => {
    it.each<[string, () => unknown]>([
      ['nothing', () => undefined],
      ['null', () => null],
      ['true', () => true],
      ['OK', () => 'OK'],
      ['First', () => 'First'],
      ['a list', () => ['first']],
      ['an error it did not throw', () => new Error('first')],
      ['a promise of nothing', async () => await Promise.resolve(undefined)],
      ['an error', () => Promise.reject(new Error('first'))],
      ['no error at all, thrown', () => Promise.reject('first' as never)],
    ])('%s', async (_title, recordUse) => {
      const service = await startWith({ recordUse } as ReplayStore);
      expectRefused(await send(service, request()), UNAVAILABLE);
      const good = await startWith({ recordUse: () => 'first' });
      expectAccepted(await send(good, request()));
    });
  });

  describe('RP-13, PF-03 a restart of a service that remembers in memory', () => {
    // The clock of the service stands still and its store's with it: it starts at NOW_SECONDS.
    const freshStore = (issuedBeforeStart: 'accept' | 'refuse') =>
      new MemoryReplayStore({ issuedBeforeStart, monotonicNow: () => 0 });

    it('accepts a used token once more until it expires: the window that is documented', async () => {
      const one = request();
      for (let starts = 0; starts < 2; starts++) {
        const service = await startWith(freshStore('accept'));
        expectAccepted(await send(service, one));
        expectRefused(await send(service, one), { code: 'token_replayed' });
      }
    });

    it('refuses what may have been issued before, where that is asked for', async () => {
      let seconds = NOW_SECONDS;
      const options = { now: () => seconds * 1000 };
      const monotonicNow = () => (seconds - NOW_SECONDS) * 1000;
      const replayStore = new MemoryReplayStore({ issuedBeforeStart: 'refuse', monotonicNow });
      const service = await startWith(replayStore, options);
      for (const issuedAt of [-55, -1, 0, 4, 5]) {
        const early = request(NOW_SECONDS + issuedAt);
        expectRefused(await send(service, early), { code: 'token_replayed' });
      }
      seconds += 6;
      expectRefused(await send(service, request(NOW_SECONDS + 5)), { code: 'token_replayed' });
      const claims = { ...ORIGINAL.claims, jti: 'an-id-that-has-no-time' };
      const undated = request(seconds, { ...ORIGINAL, claims });
      expectRefused(await send(service, undated), { code: 'token_replayed' });
      expectAccepted(await send(service, request(seconds)));
    });
  });
});
