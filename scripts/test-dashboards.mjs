// Tries docs/observability with real Prometheus: the rules and their tests, then each query of the dashboard and of each
// alert against both exporters, one at a time. The metrics come from the observers, which get events of trouble and of
// load. Needs `prometheus` and `promtool` on the PATH (Debian: apt-get install prometheus), a build, and npm.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { ROOT } from './run.mjs';

const DOCS = join(ROOT, 'docs', 'observability');
const ALERTS = join(DOCS, 'alerts.yaml');
const ISSUER = 'https://herald.service/';
const SECONDS = 12;

/** @typedef {{ observe(event: object): void }} Observer */
/** @typedef {{ name: string, observer: Observer, text: () => Promise<string> }} Exporter */

/**
 * What is used of two packages that this project does not install.
 *
 * @typedef {{ collect(): Promise<{ resourceMetrics: unknown }> }} Reader
 * @typedef {{ PrometheusExporter: new (options: object) => Reader, PrometheusSerializer: new () => { serialize(metrics: unknown): string } }} SdkExporter
 * @typedef {{ MeterProvider: new (options: { readers: Reader[] }) => object }} SdkMetrics
 */

/** One second of a service to which everything happens, slow requests included. */
const EVENTS = [
  ...Array.from({ length: 20 }, (_, at) => ({
    type: 'request_accepted',
    issuer: ISSUER,
    durationMilliseconds: at === 0 ? 900 : 400,
  })),
  {
    type: 'request_refused',
    code: 'token_expired',
    status: 401,
    issuer: ISSUER,
    durationMilliseconds: 1,
  },
  {
    type: 'request_refused',
    code: 'token_expired',
    status: 401,
    issuer: ISSUER,
    durationMilliseconds: 1,
  },
  {
    type: 'request_refused',
    code: 'key_unavailable',
    status: 503,
    issuer: ISSUER,
    durationMilliseconds: 1,
  },
  { type: 'request_would_be_refused', code: 'token_missing', status: 401, durationMilliseconds: 1 },
  { type: 'request_signed', audience: 'https://census.service/', durationMilliseconds: 1 },
  {
    type: 'signing_failed',
    code: 'service_closed',
    audience: 'https://census.service/',
    isSentUnsigned: true,
  },
  { type: 'keys_refresh_failed', issuer: ISSUER, reason: 'no answer', servingStale: true },
  { type: 'replay_store_failed', reason: 'no answer' },
];

const work = mkdtempSync(join(ROOT, 'dist', 'dashboards-'));

/** @param {string} program @param {string[]} args @param {string} [cwd] */
function mustRun(program, args, cwd) {
  const { status } = spawnSync(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}`);
}

/** The recipe of docs/observability.md. @returns {Promise<Exporter>} */
async function promClient() {
  const source = readFileSync(join(ROOT, 'test/observability/prometheus.recipe.ts'), 'utf8');
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      experimentalDecorators: true,
    },
  });
  const file = join(work, 'recipe.mjs');
  writeFileSync(file, outputText);
  const { PrometheusObserver } =
    /** @type {{ PrometheusObserver: new () => Observer & { registry: { metrics(): Promise<string> } } }} */ (
      await import(pathToFileURL(file).href)
    );
  const observer = new PrometheusObserver();
  return { name: 'prom-client', observer, text: () => observer.registry.metrics() };
}

/** The exporter of the Node SDK, which leaves the unit off names. @returns {Promise<Exporter>} */
async function nodeSdk() {
  const folder = join(work, 'otel');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{}');
  const packages = ['@opentelemetry/exporter-prometheus', '@opentelemetry/sdk-metrics'];
  mustRun('npm', ['install', '--silent', '--no-audit', '--no-fund', ...packages], folder);
  const require = createRequire(join(folder, 'package.json'));
  const [exporting, metrics] = /** @type {[SdkExporter, SdkMetrics]} */ (packages.map(require));
  const reader = new exporting.PrometheusExporter({ preventServerStart: true });
  const meterProvider = new metrics.MeterProvider({ readers: [reader] });
  const library = pathToFileURL(join(ROOT, 'dist/opentelemetry.js')).href;
  const { OpenTelemetryObserver } =
    /** @type {{ OpenTelemetryObserver: new (options: object) => Observer }} */ (
      await import(library)
    );
  const serializer = new exporting.PrometheusSerializer();
  return {
    name: 'the exporter of the Node SDK',
    observer: new OpenTelemetryObserver({ meterProvider }),
    text: async () => serializer.serialize((await reader.collect()).resourceMetrics),
  };
}

/** Every query: of each panel, and of each alert. @returns {[name: string, query: string][]} */
function queries() {
  const { panels } = /** @type {{ panels: { title: string, targets: { expr: string }[] }[] }} */ (
    JSON.parse(readFileSync(join(DOCS, 'dashboard.json'), 'utf8'))
  );
  /** @type {[string, string][]} */
  const found = [];
  for (const { title, targets } of panels) {
    for (const { expr } of targets) found.push([title, expr.replaceAll('$__rate_interval', '30s')]);
  }
  return found;
}

/** @param {string} url @returns {Promise<unknown>} */
async function getJson(url) {
  const response = await fetch(url);
  return await response.json();
}

/** The alerts and their expressions, as Prometheus has read them. @param {string} url @returns {Promise<[string, string][]>} */
async function alertsAt(url) {
  const { data } =
    /** @type {{ data: { groups: { rules: { name: string, query: string }[] }[] } }} */ (
      await getJson(`${url}/api/v1/rules`)
    );
  return data.groups.flatMap(({ rules }) =>
    rules.map(({ name, query }) => /** @type {[string, string]} */ ([name, query])),
  );
}

/** @param {string} url @param {string} query */
async function isEmpty(url, query) {
  const { data } = /** @type {{ data?: { result: { value: [number, string] }[] } }} */ (
    await getJson(`${url}/api/v1/query?query=${encodeURIComponent(query)}`)
  );
  return data?.result.every(({ value }) => value[1] === 'NaN') ?? true;
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** The names of the queries that nothing answers. @param {Exporter} exporter @returns {Promise<string[]>} */
async function unanswered({ name, observer, text }) {
  const service = createServer((_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    void text().then((body) => response.end(body));
  }).listen(0, '127.0.0.1');
  await once(service, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (service.address());
  const load = setInterval(() => {
    for (const event of EVENTS) observer.observe(event);
  }, 1000);
  const home = mkdtempSync(join(work, 'prometheus-'));
  const config = join(home, 'prometheus.yml');
  const scrape = [{ job_name: 'census', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }];
  // YAML is a superset of JSON.
  const global = { scrape_interval: '1s', evaluation_interval: '1s' };
  writeFileSync(config, JSON.stringify({ global, rule_files: [ALERTS], scrape_configs: scrape }));
  const listen = await freePort();
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(home, 'data')}`,
    `--web.listen-address=127.0.0.1:${listen}`,
    '--log.level=error',
  ];
  const prometheus = spawn('prometheus', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  try {
    await wait(SECONDS * 1000);
    const url = `http://127.0.0.1:${listen}`;
    const all = [...queries(), ...(await alertsAt(url))];
    const empty = [];
    for (const [title, query] of all) if (await isEmpty(url, query)) empty.push(title);
    console.log(
      `${name}: ${all.length} queries, ${empty.length} without an answer ${empty.join(', ')}`,
    );
    return empty;
  } finally {
    clearInterval(load);
    prometheus.kill();
    await once(prometheus, 'exit');
    service.close();
    service.closeAllConnections();
  }
}

try {
  mustRun('promtool', ['check', 'rules', ALERTS]);
  mustRun('promtool', ['test', 'rules', join(ROOT, 'test/observability/alerts.test.yaml')]);
  const empty = [...(await unanswered(await promClient())), ...(await unanswered(await nodeSdk()))];
  process.exitCode = empty.length === 0 ? 0 : 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
