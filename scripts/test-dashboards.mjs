/**
 * Tries docs/observability with real Prometheus: the rules and their tests, then each query of the dashboard and each alert
 * against the metrics of real services under load, once for each exporter. First all goes well, and no alert may answer.
 * Then everything goes wrong that is counted, and each query must answer. Then keys and replay store come back.
 *
 * Takes half a minute. Needs `prometheus`, `promtool` and `redis-server` on the PATH
 * (Debian: apt-get install --no-install-recommends prometheus redis-server), a build, and npm.
 *
 * Where a program is missing, a line says so and nothing is tried: with `CI` set, that is a failure.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { nodeSdk, promClient } from './dashboards/exporters.mjs';
import { startCourier } from './dashboards/courier.mjs';
import { freePort } from './dashboards/free-port.mjs';
import { kindsOf, Load, WITHOUT_KEYS } from './dashboards/load.mjs';
import { Prometheus } from './dashboards/prometheus.mjs';
import { startServices } from './dashboards/services.mjs';
import { ROOT, run } from './run.mjs';
import { installPackages } from './with-packages.mjs';

const DOCS = join(ROOT, 'docs', 'observability');
const ALERTS = join(DOCS, 'alerts.yaml');
/** Longer than it takes until keys are asked for again, at most 36 s. */
const PATIENCE_SECONDS = 60;

/** @typedef {[name: string, expression: string]} Query */
/** @typedef {import('./dashboards/load.mjs').Kind} Kind */

/** Those that fire on a gauge end with the outage; the others look back for minutes. */
const ENDING = ['ServiceAuthKeysNotFetched', 'ServiceAuthReplayStoreFailing'];
/** Keys fail from the start, and a busy machine is slow by itself. */
const ANY_TIME = ['ServiceAuthKeysNotFetched', 'ServiceAuthSlow'];

/** What is on the PATH is there, whatever it answers. */
const missing = ['prometheus', 'promtool', 'redis-server'].filter(
  (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined,
);

/** Each query of each panel. @returns {Query[]} */
function panelQueries() {
  const { panels } = /** @type {{ panels: { title: string, targets: { expr: string }[] }[] }} */ (
    JSON.parse(readFileSync(join(DOCS, 'dashboard.json'), 'utf8'))
  );
  return panels.flatMap(({ title, targets }) =>
    targets.map(
      ({ expr }) => /** @type {Query} */ ([title, expr.replaceAll('$__rate_interval', '30s')]),
    ),
  );
}

/** Asks until nothing is wrong any more. @param {string} what @param {() => Promise<string[]>} wrong */
async function until(what, wrong) {
  const deadline = performance.now() + PATIENCE_SECONDS * 1000;
  let left = await wrong();
  while (left.length > 0) {
    if (performance.now() > deadline) throw new Error(`${what}, still not: ${left.join('; ')}`);
    await wait(500);
    left = await wrong();
  }
}

/** @param {string} home */
async function startRedis(home) {
  const port = await freePort();
  const options = ['--bind', '127.0.0.1', '--port', String(port), '--dir', home, '--save', ''];
  const server = spawn('redis-server', options, { stdio: 'ignore' });
  process.once('exit', () => server.kill('SIGKILL'));
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 100 });
  client.on('error', () => undefined);
  await client.ping();
  const stop = async () => {
    client.disconnect();
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
  return {
    client,
    stop,
    pause: () => server.kill('SIGSTOP'),
    resume: () => server.kill('SIGCONT'),
  };
}

/** What of `queries` has no answer. @param {Prometheus} prometheus @param {readonly Query[]} queries */
async function unanswered(prometheus, queries) {
  const left = [];
  for (const query of queries) {
    if ((await prometheus.query(query[1])).length === 0) left.push(query);
  }
  return left;
}

/** @param {readonly Query[]} queries */
const namesOf = (queries) => queries.map(([name]) => name);

/** @param {boolean} isTrue @param {string} what */
function must(isTrue, what) {
  if (!isTrue) throw new Error(what);
}

/**
 * The three parts of a run.
 *
 * @param {{ prometheus: Prometheus, services: import('./dashboards/load.mjs').Services, load: Load, bad: Kind[],
 *   redis: Awaited<ReturnType<typeof startRedis>> }} stage
 */
async function play({ prometheus, services, load, bad, redis }) {
  const alerts = await prometheus.alerts();
  const traffic = panelQueries().filter(([name]) => /by outcome|Time to|by target|made/.test(name));
  must(traffic.length === 5, `of the traffic there are ${traffic.length} queries`);
  await until('good traffic is seen', async () => namesOf(await unanswered(prometheus, traffic)));
  const quiet = alerts.filter(([name]) => !ANY_TIME.includes(name));
  const silent = new Set(namesOf(await unanswered(prometheus, quiet)));
  const loud = namesOf(quiet).filter((name) => !silent.has(name));
  must(loud.length === 0, `all goes well, and there is an answer to ${loud.join(', ')}`);

  load.add(bad);
  await until('each kind of request is answered as it should be', () =>
    Promise.resolve(load.unexpected),
  );
  let left = [...panelQueries(), ...alerts];
  const answered = async () => namesOf((left = await unanswered(prometheus, left)));
  await until('all but the store answers', async () =>
    (await answered()).filter(
      (name) => name !== 'ServiceAuthReplayStoreFailing' && name !== 'Replay store',
    ),
  );
  redis.pause();
  await until('the outage of the store is seen', answered);
  await until('the alerts are pending', async () => {
    const active = await prometheus.activeAlerts();
    return namesOf(alerts).filter((name) => !active.has(name));
  });
  await until('each code is counted', async () => await uncounted(prometheus, bad));

  redis.resume();
  services.repairKeys();
  const ending = alerts.filter(([name]) => ENDING.includes(name));
  must(ending.length === ENDING.length, `${ENDING.join(', ')} are not all there`);
  await until('keys and store are back', async () => {
    const silentAgain = namesOf(await unanswered(prometheus, ending));
    const stillOn = ENDING.filter((name) => !silentAgain.includes(name));
    return load.isAccepted(WITHOUT_KEYS) ? stillOn : [...stillOn, WITHOUT_KEYS];
  });
  await load.end();
  must(load.failures.length === 0, `requests failed: ${load.failures.join(', ')}`);
  const { census, archive } = services;
  const wire = census.requests() + archive.requests();
  const counted = 'service_auth_requests_total{job!~"careful|forgetful"}';
  await until('each request is counted once', async () => {
    const count = await prometheus.number(counted);
    return count === wire ? [] : [`${count} of ${wire}`];
  });
  return { queries: panelQueries().length, alerts: alerts.length, requests: wire };
}

/** The codes of refusals that Prometheus has not seen. @param {Prometheus} prometheus @param {Kind[]} kinds */
async function uncounted(prometheus, kinds) {
  const codes = kinds.flatMap(([, expected]) => /^\d+ (\w+)$/.exec(expected)?.[1] ?? []);
  const queries = [...codes, 'replay_store_unavailable', 'message_busy'].map(
    (code) => /** @type {Query} */ ([code, `service_auth_requests_total{error_type="${code}"}`]),
  );
  return namesOf(await unanswered(prometheus, queries));
}

/** @param {import('./dashboards/exporters.mjs').Exporter} exporter @param {string} home */
async function testExporter(exporter, home) {
  mkdirSync(home);
  const start = performance.now();
  /** @type {(() => Promise<void>)[]} */
  const endings = [];
  try {
    const redis = await startRedis(home);
    endings.push(redis.stop);
    const queues = await startRedis(home);
    endings.push(queues.stop);
    const services = await startServices(exporter, redis.client);
    endings.push(services.close);
    const careful = await startCourier('careful', exporter, queues.client);
    endings.push(careful.close);
    const forgetful = await startCourier('forgetful', exporter, queues.client);
    endings.push(forgetful.close);
    const { good, bad } = await kindsOf(services);
    const load = new Load();
    endings.push(async () => await load.end());
    load.add(good);
    // A Redis that has just started may have forgotten tokens that are older: until then they are undecided.
    await until('what is good is accepted', () => Promise.resolve(load.unexpected));
    const { herald, census, archive } = services;
    const prometheus = await Prometheus.start(join(home, 'prometheus'), ALERTS, {
      herald: herald.metricsPort,
      census: census.metricsPort,
      archive: archive.metricsPort,
      careful: careful.metricsPort,
      forgetful: forgetful.metricsPort,
    });
    endings.push(async () => await prometheus.stop());
    const { queries, alerts, requests } = await play({
      prometheus,
      services,
      load,
      bad: [...bad, careful.kind, forgetful.kind],
      redis,
    });
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(
      `${exporter.name}: ${queries} queries and ${alerts} alerts answered as they should, ${requests} requests counted, ${seconds} s`,
    );
  } finally {
    for (const end of endings.toReversed()) await end();
  }
}

/** @param {string} work */
async function test(work) {
  run('promtool', ['check', 'rules', ALERTS]);
  run('promtool', ['test', 'rules', join(ROOT, 'test/observability/alerts.test.yaml')]);
  const exporters = [await promClient(work), nodeSdk(work)];
  const results = await Promise.allSettled(
    exporters.map(async (exporter, at) => await testExporter(exporter, join(work, String(at)))),
  );
  for (const [at, result] of results.entries()) {
    if (result.status === 'fulfilled') continue;
    process.exitCode = 1;
    console.error(`${exporters[at]?.name}:`, result.reason);
  }
}

if (missing.length > 0) {
  console.log(`skipped: there is no ${missing.join(', ')}`);
  if (process.env['CI']) process.exitCode = 1;
} else {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  installPackages('tools/tests');
  const work = mkdtempSync(join(ROOT, 'test/observability/.dashboards-'));
  try {
    await test(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
