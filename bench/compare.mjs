/**
 * What a change costs: `node bench/compare.mjs <folder of another build> [pairs]`. Both builds do the same work in
 * turns; printed is the median ratio of CPU time for each kind of work (this build to the other) with its 95 %
 * interval. Both folders need `npm run build`. `--propagation ambient` measures one `subjectPropagation` alone,
 * `--kinds guarded` the kinds of work whose name has the word, `--other-default` leaves the other build its default,
 * for one that has no such option. `--warm-ups` sets how many rounds each pair of processes does before the first pair that
 * counts: until V8 has compiled the code for good, a build with more code looks slower than it is.
 *
 * Two processes of one build differ by up to a tenth for as long as they run, so that the pairs are spread over several.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { machine } from './machine.mjs';
import { CENSUS, createKeyPair, HERALD, USER } from './tokens.mjs';

/** @typedef {'explicit' | 'ambient'} Propagation */
/**
 * @typedef {{
 *   issuer: string, trustedIssuers: { issuer: string, publicKey: string }[], privateKey: string, audience: string,
 *   baseUrl: string, user: string, propagation: Propagation | undefined,
 * }} Settings
 */
/** @typedef {{ begins?: boolean, client?: 'axios' | 'fetch', times?: number, inFlight?: number, stops?: boolean }} Work */
/** @typedef {{ name: string, route?: string, isSigned?: boolean, client?: 'axios' | 'fetch' }} Kind */
/** @typedef {{ child: import('node:child_process').ChildProcess, port: number, agent: Agent }} Service */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    propagation: { type: 'string', multiple: true, default: ['explicit', 'ambient'] },
    kinds: { type: 'string', default: '' },
    'other-default': { type: 'boolean', default: false },
    'warm-ups': { type: 'string', default: '30' },
  },
});
const [other, pairsGiven] = positionals;
if (other === undefined) throw new Error('Write the folder of another build.');
const PAIRS_OF_A_PROCESS = 5;
const PROCESSES = Math.ceil(Number(pairsGiven ?? 45) / PAIRS_OF_A_PROCESS);
const PER_ROUND = 300;
const IN_FLIGHT = 20;
const WARM_UPS = Number(options['warm-ups']);

/** @type {readonly Kind[]} */
const KINDS = [
  { name: 'guarded GET', route: '/guarded', isSigned: true },
  { name: 'guarded GET that calls on with axios', route: '/forward', isSigned: true },
  { name: 'unguarded GET', route: '/unguarded', isSigned: false },
  { name: 'signed call, axios', client: 'axios' },
  { name: 'signed call, fetch', client: 'fetch' },
];

const heraldKeys = createKeyPair('ES256');
const censusKeys = createKeyPair('ES256');

const echo = createServer((_request, response) => void response.end('ok'));
echo.listen(0, '127.0.0.1');
await once(echo, 'listening');
const address = /** @type {import('node:net').AddressInfo} */ (echo.address());
const baseUrl = `http://127.0.0.1:${address.port}/`;

/** @param {string} folder @param {Propagation} [propagation] @returns {Promise<Service>} */
async function startService(folder, propagation) {
  const publicKey = heraldKeys.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const privateKey = censusKeys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  /** @type {Settings} */
  const settings = {
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, publicKey }],
    privateKey,
    audience: CENSUS,
    baseUrl,
    propagation,
    user: USER,
  };
  // By its text, so that its imports are those of the folder.
  const text = readFileSync(new URL('compare-service.mjs', import.meta.url), 'utf8');
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    cwd: resolve(folder),
    env: { ...process.env, COMPARE: JSON.stringify(settings) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [{ port }] = /** @type {[{ port: number }]} */ (await once(child, 'message'));
  return { child, port, agent: new Agent({ keepAlive: true, maxSockets: IN_FLIGHT }) };
}

/** @param {Service} service @param {Work} work @returns {Promise<number>} CPU microseconds since its work began */
async function tell({ child }, work) {
  const answer = once(child, 'message');
  child.send(work);
  const [{ microseconds }] = /** @type {[{ microseconds: number }]} */ (await answer);
  return microseconds;
}

/** @param {Service} service @param {string} path @param {string} [token] */
async function get({ port, agent }, path, token) {
  const headers = token === undefined ? {} : { JWT: token };
  const outgoing = request({ host: '127.0.0.1', port, path, agent, headers }).end();
  const [response] = /** @type {[import('node:http').IncomingMessage]} */ (
    await once(outgoing, 'response')
  );
  response.resume();
  await once(response, 'end');
  if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode}`);
}

/** @param {number} port @param {string} route */
async function tokensFor(port, route) {
  const origin = `http://127.0.0.1:${port}`;
  const herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: heraldKeys.privateKey },
    targets: [{ baseUrl: origin, audience: CENSUS }],
  });
  const signed = { method: 'GET', url: origin + route, headers: {}, body: Buffer.alloc(0) };
  const tokens = await Promise.all(
    Array.from({ length: PER_ROUND }, async () => await herald.sign({ ...signed, subject: USER })),
  );
  herald.close();
  return tokens;
}

/** @param {Service} service @param {Kind} kind */
async function measure(service, { route, isSigned, client }) {
  if (route === undefined) {
    return await tell(service, { begins: true, client, times: PER_ROUND, inFlight: IN_FLIGHT });
  }
  const tokens = isSigned ? await tokensFor(service.port, route) : Array(PER_ROUND).fill(undefined);
  await tell(service, { begins: true });
  const work = async () => {
    while (tokens.length > 0) await get(service, route, tokens.pop());
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return await tell(service, {});
}

/** @param {Service} ours @param {Service} theirs @param {Kind} kind */
async function ratiosOf(ours, theirs, kind) {
  /** @type {number[]} */
  const ratios = [];
  for (let pair = -WARM_UPS; pair < PAIRS_OF_A_PROCESS; pair++) {
    const oursFirst = pair % 2 === 0;
    const first = await measure(oursFirst ? ours : theirs, kind);
    const second = await measure(oursFirst ? theirs : ours, kind);
    if (pair >= 0) ratios.push(oursFirst ? first / second : second / first);
  }
  return ratios;
}

/** The median, and the ranks between which it lies with 95 % certainty (binomial). @param {number[]} values */
function describe(values) {
  const sorted = values.toSorted((one, another) => one - another);
  const reach = 0.98 * Math.sqrt(sorted.length);
  const middle = (sorted.length - 1) / 2;
  const at = (/** @type {number} */ rank) =>
    (sorted[Math.min(sorted.length - 1, Math.max(0, rank))] ?? NaN).toFixed(3);
  return `${at(Math.round(middle))} (${at(Math.floor(middle - reach))} to ${at(Math.ceil(middle + reach))})`;
}

/** @param {Propagation} propagation @param {Kind} kind */
async function compare(propagation, kind) {
  /** @type {number[]} */
  const ratios = [];
  for (let number = 0; number < PROCESSES; number++) {
    const theirs = options['other-default'] ? undefined : propagation;
    const services = [await startService('.', propagation), await startService(other, theirs)];
    const [ours, others] = /** @type {[Service, Service]} */ (services);
    ratios.push(...(await ratiosOf(ours, others, kind)));
    for (const { child, agent } of services) {
      child.send({ stops: true });
      agent.destroy();
    }
  }
  console.log(propagation.padEnd(9), kind.name.padEnd(38), describe(ratios));
}

for (const propagation of /** @type {Propagation[]} */ (options.propagation)) {
  for (const kind of KINDS.filter(({ name }) => name.includes(options.kinds))) {
    await compare(propagation, kind);
  }
}
echo.close();
const { cpu, node } = machine();
const pairs = PROCESSES * PAIRS_OF_A_PROCESS;
console.log(
  `${pairs} pairs of ${PER_ROUND} in ${PROCESSES} processes, ${WARM_UPS} rounds before, Node ${node}, ${cpu}`,
);
