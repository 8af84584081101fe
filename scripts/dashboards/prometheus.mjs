// A Prometheus of our own: it scrapes every second, and evaluates docs/observability/alerts.yaml.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from './free-port.mjs';

/** @typedef {{ metric: Record<string, string>, value: [seconds: number, value: string] }} Sample */

export class Prometheus {
  #url;
  #process;

  /** @param {string} home @param {number} port */
  constructor(home, port) {
    this.#url = `http://127.0.0.1:${port}`;
    const options = [
      `--config.file=${join(home, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ];
    this.#process = spawn('prometheus', options, { stdio: ['ignore', 'inherit', 'inherit'] });
    process.once('exit', () => this.#process.kill('SIGKILL'));
  }

  /**
   * @param {string} home a folder of its own, which it makes
   * @param {string} rules
   * @param {Record<string, number>} ports of the metrics, by the name of the service
   */
  static async start(home, rules, ports) {
    mkdirSync(home);
    const scrapes = Object.entries(ports).map(([name, port]) => ({
      job_name: name,
      static_configs: [{ targets: [`127.0.0.1:${port}`] }],
    }));
    const global = { scrape_interval: '1s', evaluation_interval: '1s' };
    const config = { global, rule_files: [rules], scrape_configs: scrapes };
    // YAML is a superset of JSON.
    writeFileSync(join(home, 'prometheus.yml'), JSON.stringify(config));
    const prometheus = new Prometheus(home, await freePort());
    await prometheus.#ready();
    return prometheus;
  }

  async #ready() {
    for (let tries = 0; tries < 100; tries++) {
      if (this.#process.exitCode !== null) throw new Error('Prometheus has ended.');
      const answer = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
      if (answer?.ok) return;
      await wait(100);
    }
    throw new Error('Prometheus is not ready after 10 s.');
  }

  /** The alerts and their expressions, as Prometheus has read them. @returns {Promise<[string, string][]>} */
  async alerts() {
    const { groups } = /** @type {{ groups: { rules: { name: string, query: string }[] }[] }} */ (
      await this.#get('rules')
    );
    return groups.flatMap(({ rules }) =>
      rules.map(({ name, query }) => /** @type {[string, string]} */ ([name, query])),
    );
  }

  /** The names of the alerts that are pending or firing. */
  async activeAlerts() {
    const { alerts } = /** @type {{ alerts: { labels: { alertname: string } }[] }} */ (
      await this.#get('alerts')
    );
    return new Set(alerts.map(({ labels }) => labels.alertname));
  }

  /** The samples that a query answers with, without those that are no number. @param {string} query */
  async query(query) {
    const { result } = /** @type {{ result: Sample[] }} */ (
      await this.#get(`query?query=${encodeURIComponent(query)}`)
    );
    return result.filter(({ value }) => value[1] !== 'NaN');
  }

  /** The sum of what a query answers with; undefined without an answer. @param {string} query */
  async number(query) {
    const [sample] = await this.query(`sum(${query})`);
    return sample && Number(sample.value[1]);
  }

  /** @param {string} path @returns {Promise<unknown>} */
  async #get(path) {
    const response = await fetch(`${this.#url}/api/v1/${path}`);
    const { data, error } = /** @type {{ data?: unknown, error?: string }} */ (
      await response.json()
    );
    if (data === undefined) throw new Error(`Prometheus answered ${path} with ${error}`);
    return data;
  }

  async stop() {
    if (this.#process.exitCode !== null) return;
    this.#process.kill();
    await once(this.#process, 'exit');
  }
}
