// The two ways to Prometheus of docs/observability.md. Each gives a service its observer, and a page that is scraped.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Module } from '@nestjs/common';
import { OpenTelemetryObserver } from 'nestjs-service-auth/opentelemetry';
import ts from 'typescript';
import { ROOT, run } from '../run.mjs';
import { freePort } from './free-port.mjs';

/**
 * @typedef {import('nestjs-service-auth').ServiceAuthObserver} Observer
 * @typedef {{ observer: Observer, module?: new () => object, port?: number, close(): Promise<void> }} Metrics
 * What one service exports: on a port of its own, or by a module of the application.
 * @typedef {{ name: string, metrics(): Promise<Metrics> }} Exporter
 * @typedef {{ shutdown(): Promise<void> }} Reader
 * @typedef {new (options: { host: string, port: number }, started: (error?: Error) => void) => Reader} SdkExporter
 * @typedef {new (options: { readers: Reader[] }) => import('@opentelemetry/api').MeterProvider} SdkMeterProvider
 * @typedef {{ PrometheusObserver: new () => Observer, MetricsController: new () => object }} Recipe
 */

const SDK_EXPORTER = '@opentelemetry/exporter-prometheus@0.301.0';

/** The recipe of docs/observability.md, as a page of the service itself. @param {string} work @returns {Promise<Exporter>} */
export async function promClient(work) {
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
  const { PrometheusObserver, MetricsController } = /** @type {Recipe} */ (
    await import(pathToFileURL(file).href)
  );
  const metrics = () => {
    const observer = new PrometheusObserver();
    class MetricsModule {}
    const providers = [{ provide: PrometheusObserver, useValue: observer }];
    Module({ providers, controllers: [MetricsController] })(MetricsModule);
    return Promise.resolve({ observer, module: MetricsModule, close: () => Promise.resolve() });
  };
  return { name: 'prom-client', metrics };
}

/** The exporter of the Node SDK, on a port of its own. It leaves the unit off names. @param {string} work @returns {Exporter} */
export function nodeSdk(work) {
  writeFileSync(join(work, 'package.json'), '{}');
  const options = ['--silent', '--no-audit', '--no-fund', '--ignore-scripts'];
  run('npm', ['install', ...options, SDK_EXPORTER], { cwd: work });
  const require = createRequire(join(work, 'package.json'));
  const { PrometheusExporter } = /** @type {{ PrometheusExporter: SdkExporter }} */ (
    require('@opentelemetry/exporter-prometheus')
  );
  const { MeterProvider } = /** @type {{ MeterProvider: SdkMeterProvider }} */ (
    require('@opentelemetry/sdk-metrics')
  );
  const metrics = async () => {
    const port = await freePort();
    /** @type {Reader} */
    const reader = await new Promise((resolve, reject) => {
      const made = new PrometheusExporter({ host: '127.0.0.1', port }, (error) =>
        error ? reject(error) : resolve(made),
      );
    });
    const meterProvider = new MeterProvider({ readers: [reader] });
    const observer = new OpenTelemetryObserver({ meterProvider });
    return { observer, port, close: async () => await reader.shutdown() };
  };
  return { name: 'the exporter of the Node SDK', metrics };
}
