import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { APP_GUARD } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import {
  KeyHealth,
  ServiceAuth,
  ServiceAuthModule,
  ServiceJwtGuard,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import { call } from '../support/http/http.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { KeysHealthController, KeysIndicator } from './key-health.recipe.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const ANOTHER = 'https://another.service/';
const heraldKey = createKey();
const anotherKey = createKey();
const MAX_AGE = 600;
const MAX_STALE = 3600;

describe.each(ADAPTERS)('KeyHealth on %s', (adapter) => {
  const clock = { now: Date.now() };
  const events = new ObservedEvents();
  let keyServer: KeyServer;
  let census: TestService;

  beforeAll(async () => {
    const headers = { 'cache-control': `max-age=${MAX_AGE}` };
    keyServer = await startKeyServer(serveKeys([jwkOf(heraldKey)], headers));
    const trustedIssuers: TrustedIssuerOptions[] = [
      { issuer: ANOTHER, publicKey: anotherKey.publicPem },
      { issuer: HERALD, jwksUri: keyServer.url },
    ];
    const options = { issuer: CENSUS, trustedIssuers, maxStaleSeconds: MAX_STALE };
    census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          ...options,
          requireKeysAtStart: true,
          observer: events,
          now: () => clock.now,
        }),
        TerminusModule,
      ],
      providers: [KeysIndicator, { provide: APP_GUARD, useExisting: ServiceJwtGuard }],
      controllers: [KeysHealthController],
    });
  });
  afterAll(async () => {
    await census.close();
    await keyServer.close();
  });

  const report = () => census.app.get(KeyHealth).report();
  const another = { issuer: ANOTHER, status: 'static', keyIds: [anotherKey.keyId] };
  /** Moves the clock, and waits for the fetch that is due by then. */
  async function pass(
    seconds: number,
    outcome: 'keys_refreshed' | 'keys_refresh_failed',
  ): Promise<void> {
    clock.now += seconds * 1000;
    const heard = events.next(outcome);
    const { receiving } = census.app.get(ServiceAuth).settings;
    for (const { keys } of receiving?.trustedIssuers.known() ?? []) keys.refreshIfDue();
    await heard;
  }
  const check = async () => await call(census.port, { target: '/health/keys' });

  it('reports static and fresh keys, and that all is well', async () => {
    const [first, second, ...others] = report();
    expect(first).toEqual(another);
    expect(second).toMatchObject({ issuer: HERALD, status: 'fresh', keyIds: [heraldKey.keyId] });
    expect(second).toMatchObject({ ageSeconds: 0 });
    expect(second).not.toHaveProperty('lastError');
    expect(second?.nextRefreshInSeconds).toBeGreaterThanOrEqual(0.7 * MAX_AGE);
    expect(second?.nextRefreshInSeconds).toBeLessThanOrEqual(0.9 * MAX_AGE);
    expect(others).toEqual([]);
    expect(census.app.get(KeyHealth).unavailable()).toEqual([]);
    expect(await check()).toMatchObject({
      status: 200,
      json: { status: 'ok', info: { keys: { status: 'up', issuers: report() } } },
    });
  });

  it('counts the seconds, and costs the key server nothing', async () => {
    const hits = keyServer.hits;
    const before = report()[1];
    clock.now += 100_000;
    for (let time = 0; time < 20; time++) report();
    const next = (before?.nextRefreshInSeconds ?? 0) - 100;
    expect(report()[1]).toMatchObject({ ageSeconds: 100, nextRefreshInSeconds: next });
    expect(keyServer.hits).toBe(hits);
  });

  it('reports keys that serve on while their server is down, and that it is impaired', async () => {
    await keyServer.down();
    await pass(MAX_AGE, 'keys_refresh_failed');
    const [, herald] = report();
    expect(herald).toMatchObject({ status: 'stale', keyIds: [heraldKey.keyId], ageSeconds: 700 });
    expect(herald?.lastError).toMatch(/\w/);
    expect(herald?.nextRefreshInSeconds).toBeGreaterThan(0);
    expect(census.app.get(KeyHealth).unavailable()).toEqual([]);
    expect(await check()).toMatchObject({
      status: 200,
      json: { status: 'degraded', details: { keys: { status: 'degraded' } } },
    });
  });

  it('reports keys that may not be used any more, and that it is down', async () => {
    await pass(MAX_STALE, 'keys_refresh_failed');
    expect(report()).toMatchObject([another, { issuer: HERALD, status: 'unavailable' }]);
    expect(census.app.get(KeyHealth).unavailable()).toMatchObject([{ issuer: HERALD }]);
    expect(await check()).toMatchObject({
      status: 503,
      json: { status: 'error', error: { keys: { status: 'down' } } },
    });
  });

  it('reports that all is well again', async () => {
    await keyServer.resume();
    await pass(300, 'keys_refreshed');
    expect(report()[1]).toMatchObject({ status: 'fresh', ageSeconds: 0 });
    expect(report()[1]).not.toHaveProperty('lastError');
    expect(await check()).toMatchObject({ status: 200, json: { status: 'ok' } });
  });
});

it('is what the documentation shows', () => {
  const root = join(import.meta.dirname, '..', '..');
  const recipe = readFileSync(join(import.meta.dirname, 'key-health.recipe.ts'), 'utf8');
  expect(readFileSync(join(root, 'docs', 'keys.md'), 'utf8')).toContain(recipe);
});
