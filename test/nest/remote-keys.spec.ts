import { type ServiceAuthModuleOptions, ServiceAuthUnavailableError } from 'nestjs-service-auth';
import {
  expectKeysUnavailable,
  served,
  startFetchingCensus,
  STATIC,
  staticKey,
} from '../support/services/fetching-census.js';
import { type Answer, call } from '../support/http/http.js';
import {
  drip,
  flow,
  hang,
  hold,
  jwkOf,
  type KeyServer,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, closeAfterEach, HERALD } from '../support/services/receiver.js';
import { ADAPTERS } from '../support/services/service.js';

const COOL_DOWN_SECONDS = 30;
const DAY_SECONDS = 24 * 60 * 60;
const key = createKey();
const nextKey = createKey();
const strangerKey = createKey();
const keep = closeAfterEach();

const startServer = async (respond: Respond = serveKeys([jwkOf(key)])): Promise<KeyServer> =>
  keep(await startKeyServer(respond));

describe.each(ADAPTERS)('on %s', (adapter) => {
  const startCensus = async (server: KeyServer, options?: Partial<ServiceAuthModuleOptions>) =>
    keep(await startFetchingCensus(adapter, [{ issuer: HERALD, jwksUri: server.url }], options));

  it('JF-01 starts while the key server is down, answers 503, and recovers by itself', async () => {
    const server = await startServer();
    await server.down();
    const { ask, clock, health } = await startCensus(server);
    expectKeysUnavailable(await ask({ key }));
    expectKeysUnavailable(await ask({ key: strangerKey }));
    expect(await ask({ key: staticKey, issuer: STATIC })).toMatchObject(served);
    expect(health.unavailable()).toMatchObject([
      { issuer: HERALD, lastError: 'the key server cannot be reached (ECONNREFUSED)' },
    ]);
    await server.resume();
    const answer = await ask({ key });
    expectKeysUnavailable(answer); // the back-off holds, and its end is told
    clock.advance(Number(answer.headers['retry-after']));
    expect(await ask({ key })).toMatchObject(served);
    expect(health.report()).toEqual([
      {
        issuer: HERALD,
        status: 'fresh',
        keyIds: [key.keyId],
        ageSeconds: 0,
        nextRefreshInSeconds: expect.any(Number) as number,
      },
      { issuer: STATIC, status: 'static', keyIds: [staticKey.keyId] },
    ]);
    expect(health.unavailable()).toEqual([]);
  });

  it('JF-01 does not start with `requireKeysAtStart` and no keys', async () => {
    const server = await startServer(serveText(500, ''));
    const attempt = startCensus(server, { requireKeysAtStart: true });
    await expect(attempt).rejects.toThrow(ServiceAuthUnavailableError);
    await expect(attempt).rejects.toMatchObject({
      detail: `${HERALD}: the key server answered 500`,
    });
    server.respond = serveKeys([jwkOf(key)]);
    const { ask, health } = await startCensus(server, { requireKeysAtStart: true });
    expect(health.report()[0]).toMatchObject({ status: 'fresh' });
    expect(server.hits).toBe(2);
    expect(await ask({ key })).toMatchObject(served);
  });

  it('JF-02 JF-03 serves known keys while the key server is down, for so long', async () => {
    const server = await startServer();
    const { ask, clock, events, health } = await startCensus(server, { maxStaleSeconds: 3600 });
    expect(await ask({ key })).toMatchObject(served);
    await server.down();
    for (let minute = 1; minute < 60; minute++) {
      clock.advance(60);
      expect(await ask({ key })).toMatchObject(served);
      // By now the refresh was due, and from now on it is known to have failed.
      while (minute === 9 && events.of('keys_refresh_failed').length === 0) {
        await events.next('keys_refresh_failed');
      }
    }
    expect(health.report()[0]).toMatchObject({ status: 'stale', ageSeconds: 59 * 60 });
    clock.advance(60);
    expectKeysUnavailable(await ask({ key }));
    await server.resume();
    clock.advance(36);
    expect(await ask({ key })).toMatchObject(served);
  });

  it('JF-03 serves known keys for a day where nothing else is said', async () => {
    const server = await startServer();
    const { ask, clock, health } = await startCensus(server);
    expect(await ask({ key })).toMatchObject(served);
    await server.down();
    clock.advance(DAY_SECONDS - 1);
    expect(await ask({ key })).toMatchObject(served);
    expect(health.report()[0]).toMatchObject({ status: 'stale' });
    clock.advance(1);
    expectKeysUnavailable(await ask({ key }));
  });

  const set = { keys: [jwkOf(key)] };
  const elsewhere = { location: 'http://127.0.0.1:1/' };
  const faults: [string, Respond][] = [
    ['JF-06 500', serveText(500, JSON.stringify(set))],
    ['JF-06 503', serveText(503, '')],
    ['JF-06 429', serveText(429, '')],
    ['JF-06 429 with Retry-After', serveText(429, '', { 'retry-after': '60' })],
    ['JF-07 HTML', serveText(200, '<html>')],
    ['JF-07 KL-20 truncated JSON', serveText(200, '{"keys":[{"kty":"EC"')],
    ['JF-07 an empty set', serveKeys([])],
    ['JF-07 unusable keys alone', serveKeys([{ kty: 'oct', k: 'AAAA' }, null])],
    ['JF-09 KL-13 more than 256 KiB', serveText(200, ' '.repeat(256 * 1024 + 1))],
    ['JF-09 KL-13 an endless reply', flow(200 * 1024 * 1024)],
    ['JF-10 KL-11 a redirect (301)', serveText(301, '', elsewhere)],
    ['JF-10 KL-11 a redirect (302)', serveText(302, '', elsewhere)],
    ['JF-10 KL-11 a redirect (307)', serveText(307, '', elsewhere)],
    ['KL-14 101 keys', serveKeys([...Array.from({ length: 100 }, () => ({})), jwkOf(key)])],
    ['KL-14 10,000 keys', serveKeys(Array.from({ length: 10_000 }, () => ({})))],
    ['KL-16 __proto__', serveText(200, '{"keys":[],"__proto__":{}}')],
    ['KL-16 a byte order mark', serveText(200, `\uFEFF${JSON.stringify(set)}`)],
    ['KL-16 keys that are no list', serveText(200, '{"keys":{}}')],
    ['KL-16 a list', serveText(200, JSON.stringify(set.keys))],
    ['KL-16 null', serveText(200, 'null')],
  ];
  it.each(faults)('%s answers 503 before keys are known, and nothing after', async (_n, fault) => {
    const server = await startServer(fault);
    const { ask, clock, events } = await startCensus(server);
    expectKeysUnavailable(await ask({ key }));
    server.respond = serveKeys([jwkOf(key)]);
    clock.advance(72);
    expect(await ask({ key })).toMatchObject(served);
    server.respond = fault;
    clock.advance(545);
    const failure = events.next('keys_refresh_failed');
    expect(await ask({ key })).toMatchObject(served);
    expect(await failure).toMatchObject({ issuer: HERALD, servingStale: true });
    expect(await ask({ key })).toMatchObject(served);
    expectKeysUnavailable(await ask({ key: strangerKey }));
  });

  it('KL-01 a key id that is not known answers 401, and fetches once a cool-down', async () => {
    const server = await startServer();
    const { ask, clock } = await startCensus(server);
    expect(await ask({ key })).toMatchObject(served);
    for (const hits of [1, 2, 3]) {
      const answer = await ask({ key: strangerKey });
      expect(answer).toMatchObject({ status: 401, code: 'key_unknown' });
      expect(answer.headers['www-authenticate']).toBe(`JWT realm="${CENSUS}", error="key_unknown"`);
      expect(answer.headers['retry-after']).toBeUndefined();
      expect(server.hits).toBe(hits);
      clock.advance(COOL_DOWN_SECONDS);
    }
  });

  it('KL-10 JF-12 a key added without notice works at its first request', async () => {
    const server = await startServer();
    const { ask, clock } = await startCensus(server);
    expect(await ask({ key })).toMatchObject(served);
    server.respond = serveKeys([jwkOf(key), jwkOf(nextKey)]);
    clock.advance(COOL_DOWN_SECONDS);
    const answers = await Promise.all([nextKey, key, nextKey, key].map((one) => ask({ key: one })));
    expect(answers).toMatchObject([served, served, served, served]);
    expect(server.hits).toBe(2);
  });

  it('JF-13 KL-09 a key withdrawn is refused after the refresh', async () => {
    const server = await startServer(serveKeys([jwkOf(key), jwkOf(nextKey)]));
    const { ask, clock, events } = await startCensus(server);
    expect(await ask({ key })).toMatchObject(served);
    server.respond = serveKeys([jwkOf(nextKey)]);
    clock.advance(545);
    const refreshed = events.next('keys_refreshed');
    expect(await ask({ key })).toMatchObject(served);
    await refreshed;
    expect(await ask({ key })).toMatchObject({ status: 401, code: 'key_unknown' });
    expect(await ask({ key: nextKey })).toMatchObject(served);
  });

  it('JF-15 a cold herd costs one fetch', async () => {
    const held = hold();
    const server = await startServer(held);
    const arrival = server.nextRequest();
    const { ask } = await startCensus(server);
    const answers = Array.from({ length: 200 }, () => ask({ key }));
    await arrival;
    held.release(serveKeys([jwkOf(key)]));
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject(served);
    expect(server.hits).toBe(1);
  });

  it('JF-16 KL-02 a flood of unknown key ids stops no honest request', async () => {
    const server = await startServer();
    const { ask, clock } = await startCensus(server);
    expect(await ask({ key })).toMatchObject(served);
    for (const respond of [serveKeys([jwkOf(key)]), hang]) {
      const hits = server.hits;
      server.respond = respond;
      clock.advance(COOL_DOWN_SECONDS);
      const flood = Array.from({ length: 150 }, (_, at) =>
        ask({ key: strangerKey, header: { kid: `kid-${at}` } }),
      );
      const honest = await Promise.all(Array.from({ length: 20 }, () => ask({ key })));
      for (const answer of honest) expect(answer).toMatchObject(served);
      if (respond === hang) await server.down(); // so that nobody waits for the deadline
      for (const { status } of await Promise.all(flood)) expect([401, 503]).toContain(status);
      expect(server.hits).toBe(hits + 1);
    }
  });

  it('JF-18 closes while a fetch is in flight', async () => {
    const server = await startServer(hang);
    const arrival = server.nextRequest();
    const { census, ask } = await startCensus(server);
    const { socket } = await arrival;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const waiting = ask({ key }).catch(() => undefined);
    await census.close();
    await closed;
    await waiting;
    expect(server.hits).toBe(1);
  });

  it('JF-20 two tokens in one request have one answer, whatever the keys do', async () => {
    const server = await startServer(serveText(500, ''));
    const { census, ask, clock, tokenFor } = await startCensus(server);
    const askTwice = async (): Promise<Answer> =>
      await call(census.port, {
        target: '/user',
        headers: { JWT: [tokenFor({ key }), tokenFor({ key: strangerKey })] },
      });
    const repeated = { status: 401, code: 'token_repeated' };
    expect(await askTwice()).toMatchObject(repeated);
    expectKeysUnavailable(await ask({ key }));
    server.respond = serveKeys([jwkOf(key)]);
    clock.advance(2);
    expect(await ask({ key })).toMatchObject(served);
    expect(await askTwice()).toMatchObject(repeated);
  });

  it('JF-05 JF-09 gives a key server that hangs or drips three seconds', async () => {
    const servers = [await startServer(hang), await startServer(drip([jwkOf(key)]))];
    const services = await Promise.all(servers.map(async (server) => await startCensus(server)));
    const requests = services.flatMap(({ ask }) => Array.from({ length: 20 }, () => ask({ key })));
    for (const answer of await Promise.all(requests)) expectKeysUnavailable(answer);
    expect(servers.map(({ hits }) => hits)).toEqual([1, 1]);
    for (const { connections } of servers) expect(connections.made).toBeLessThanOrEqual(2);
    for (const server of servers) server.respond = serveKeys([jwkOf(key)]);
    for (const { ask, clock } of services) {
      clock.advance(2);
      expect(await ask({ key })).toMatchObject(served);
    }
  }, 15_000);
});
