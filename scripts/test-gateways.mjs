// Sends requests through real gateways to guarded services, and compares what comes of each with what is expected:
// `node scripts/test-gateways.mjs [nginx caddy] [--write]`, after `npm run build`. The configurations are the code blocks of docs/gateways.md, and
// those of gateways/usual.mjs. A program that is not installed is skipped. `--write` puts the table into the page.
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readBlocks } from '../test/docs/page-blocks.mjs';
import { EXCEPTIONS, expectedOf } from './gateways/expectations.mjs';
import { PROGRAMS, startGateway, versionOf } from './gateways/programs.mjs';
import { ROWS } from './gateways/requests.mjs';
import { originalKeys, strictKeys } from './gateways/signing.mjs';
import { toTable } from './gateways/table.mjs';
import { USUAL } from './gateways/usual.mjs';
import { ROOT } from './run.mjs';

const PAGE = 'docs/gateways.md';
const MINUTES = 10;
const ADAPTERS = /** @type {const} */ (['express', 'fastify']);
const CONFIGURATIONS = /** @type {const} */ (['usual', 'pass', 'strip', 'cache']);

/**
 * @typedef {typeof CONFIGURATIONS[number]} Configuration
 * @typedef {Record<'express' | 'fastify' | 'expressStripped' | 'fastifyStripped', number>} Ports
 * @typedef {{ row: string, gateway: string, configuration: Configuration, adapter: string, result: string }} Outcome
 */

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !(name in PROGRAMS));
if (unknown.length > 0) throw new Error(`No such gateway: ${unknown.join(', ')}`);
const late = setTimeout(() => {
  console.error(`Not done within ${MINUTES} minutes`);
  process.exit(1);
}, MINUTES * 60_000);
late.unref();
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => process.exit(1)); // the exit ends the gateways
}

const blocks = readBlocks(PAGE);

/** @param {string} gateway @param {string} name */
function blockOf(gateway, name) {
  return blocks.find(({ file }) => file?.startsWith(`${gateway}/${name}.`))?.code;
}

/** @param {string} gateway @param {Configuration} configuration */
function configurationOf(gateway, configuration) {
  if (configuration === 'usual') return USUAL[gateway];
  const code = blockOf(gateway, configuration);
  return code === undefined ? undefined : { configuration: code, start: blockOf(gateway, 'start') };
}

/** The receivers, in a process of their own. */
async function startReceivers() {
  const pems = [strictKeys, originalKeys].map(({ publicKey }) =>
    String(publicKey.export({ type: 'spki', format: 'pem' })),
  );
  const program = join(import.meta.dirname, 'gateways', 'receiver.mjs');
  const child = fork(program, pems, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  /** @type {Ports} */
  const ports = await new Promise((resolve, reject) => {
    child.on('message', (message) => resolve(/** @type {Ports} */ (message)));
    child.on('exit', (code) => reject(new Error(`the receivers ended with ${code}`)));
  });
  return { ports, stop: () => child.disconnect() };
}

/** @param {string} gateway @param {Configuration} configuration @param {Ports} ports */
async function tryGateway(gateway, configuration, ports) {
  const texts = configurationOf(gateway, configuration);
  /** @type {Outcome[]} */
  const outcomes = [];
  if (texts === undefined) return outcomes;
  const isStripped = configuration === 'strip';
  for (const adapter of ADAPTERS) {
    const receiver = ports[isStripped ? /** @type {const} */ (`${adapter}Stripped`) : adapter];
    const { stop, ...place } = await startGateway(gateway, { ...texts, receiver });
    try {
      for (const { name: row, send } of ROWS) {
        const result = await send({ ...place, prefix: isStripped ? '/census' : '' });
        outcomes.push({ row, gateway, configuration, adapter, result });
      }
    } finally {
      await stop();
    }
  }
  return outcomes;
}

const unwritten = Object.keys(EXCEPTIONS).filter((name) => !ROWS.some((row) => row.name === name));
if (unwritten.length > 0) throw new Error(`Expected, but not sent: ${unwritten.join('; ')}`);
const { ports, stop } = await startReceivers();
/** @type {Outcome[]} */
const outcomes = [];
/** @type {Record<string, string>} */
const versions = {};
try {
  for (const gateway of Object.keys(PROGRAMS)) {
    if (positionals.length > 0 && !positionals.includes(gateway)) continue;
    const version = versionOf(gateway);
    if (version === undefined) {
      console.log(`Skipped ${gateway}: ${PROGRAMS[gateway].program} is not installed.`);
      continue;
    }
    versions[gateway] = version;
    for (const configuration of CONFIGURATIONS) {
      outcomes.push(...(await tryGateway(gateway, configuration, ports)));
    }
  }
} finally {
  stop();
}

const wrong = outcomes.filter(
  ({ row, gateway, configuration, result }) => result !== expectedOf(row, gateway, configuration),
);
const table = toTable(outcomes, versions);
console.log(table);
for (const { row, gateway, configuration, adapter, result } of wrong) {
  const expected = expectedOf(row, gateway, configuration);
  console.log(
    '%s',
    `WRONG ${gateway} ${configuration} ${adapter}: ${row}: ${result}, not ${expected}`,
  );
}
if (
  values.write &&
  wrong.length === 0 &&
  Object.keys(versions).length === Object.keys(PROGRAMS).length
) {
  const path = join(ROOT, PAGE);
  const page = readFileSync(path, 'utf8');
  const between = /(?<=<!-- node scripts\/test-gateways\.mjs --write -->\n)[^]*?(?=<!-- end -->)/;
  writeFileSync(
    path,
    page.replace(between, () => `\n${table}\n`),
  );
}
console.log(`${outcomes.length - wrong.length} passed, ${wrong.length} failed`);
process.exitCode = wrong.length > 0 ? 1 : 0;
