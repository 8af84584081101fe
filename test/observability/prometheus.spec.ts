import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { SAMPLE_EVENTS } from '../support/observed/sample-events.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { MetricsController, PrometheusObserver } from './prometheus.recipe.js';

const CENSUS = 'https://census.service/';
const FLOOD = 1000;
const herald = new Caller('https://herald.service/', CENSUS);

@Controller('users')
@UseGuards(ServiceJwtGuard)
class UsersController {
  @Get(':id')
  find() {
    return 'a user';
  }
}

@Module({ providers: [PrometheusObserver], exports: [PrometheusObserver] })
class MetricsModule {}

const page = readFileSync(
  join(import.meta.dirname, '..', '..', 'docs', 'observability.md'),
  'utf8',
);

describe.each(ADAPTERS)('the recipe on %s', (adapter) => {
  it('serves what was decided, in lines that strangers cannot multiply', async () => {
    const service = await startService({
      adapter,
      imports: [
        MetricsModule,
        ServiceAuthModule.forRootAsync({
          imports: [MetricsModule],
          inject: [PrometheusObserver],
          useFactory: (observer: PrometheusObserver) => ({
            issuer: CENSUS,
            trustedIssuers: [herald.trusted],
            observer,
          }),
        }),
      ],
      controllers: [UsersController, MetricsController],
    });
    const { port } = service;
    const statuses = [(await herald.get(port, '/users/1')).status];
    statuses.push((await herald.send(port, { target: '/users/1', signedTarget: '/x' })).status);
    for (let at = 0; at < FLOOD; at++) {
      const stranger = { iss: `https://canary-${at}.service/` };
      const { status } = await herald.send(port, { target: '/users/1', claims: stranger });
      if (!statuses.includes(status)) statuses.push(status);
    }
    const { text, headers } = await call(port, { target: '/metrics' });
    await service.close();
    expect(statuses).toEqual([200, 401]);
    expect(headers['content-type']).toMatch(/^text\/plain/);
    expect(text).not.toContain('canary');
    const line = (outcome: string, code: string, issuer: string, count: number) =>
      `service_auth_requests_total{service_auth_outcome="${outcome}",error_type="${code}",service_auth_transport="http",service_auth_issuer="${issuer}"} ${count}`;
    expect(text.split('\n').filter((one) => one.startsWith('service_auth_requests'))).toEqual([
      line('accepted', '', herald.issuer, 1),
      line('refused', 'request_mismatch', herald.issuer, 1),
      line('refused', 'issuer_unknown', 'unknown', FLOOD),
    ]);
    expect(text).toContain(
      'service_auth_verify_duration_seconds_count{service_auth_outcome="accepted"} 1',
    );
  }, 60_000);
});

it('tells when the surroundings are in trouble, and when they no longer are', async () => {
  const observer = new PrometheusObserver();
  const states = async () =>
    (await observer.registry.metrics()).split('\n').filter((one) => /^\w+failing/.test(one));
  const name = 'service_auth_keys_refresh_failing{service_auth_issuer="https://herald.service/"}';
  observer.observe(SAMPLE_EVENTS.keys_refresh_failed);
  observer.observe(SAMPLE_EVENTS.replay_store_failed);
  expect(await states()).toEqual([`${name} 1`, 'service_auth_replay_store_failing 1']);
  observer.observe(SAMPLE_EVENTS.keys_refreshed);
  observer.observe(SAMPLE_EVENTS.replay_store_recovered);
  expect(await states()).toEqual([`${name} 0`, 'service_auth_replay_store_failing 0']);
});

it('is what the documentation shows', () => {
  const recipe = readFileSync(join(import.meta.dirname, 'prometheus.recipe.ts'), 'utf8');
  expect(page).toContain(recipe);
});

it('has every metric that the dashboard and the alerts ask for', async () => {
  const folder = join(import.meta.dirname, '..', '..', 'docs', 'observability');
  const files = ['alerts.yaml', 'dashboard.json'].map((name) =>
    readFileSync(join(folder, name), 'utf8'),
  );
  const written = files
    .join('\n')
    .replaceAll('_duration(_seconds)?_bucket', '_duration_seconds_bucket');
  const asked = new Set(
    [...written.matchAll(/\bservice_auth_\w+?(?=_bucket|\{|\[| ==|\))/g)].map(([name]) => name),
  );
  const served = await new PrometheusObserver().registry.getMetricsAsJSON();
  const labels = ['service_auth_issuer', 'service_auth_outcome', 'service_auth_audience'];
  const names = [...served.map(({ name }) => name), ...labels];
  expect(asked.size).toBeGreaterThan(4);
  expect([...asked].filter((name) => !names.includes(name))).toEqual([]);
});
