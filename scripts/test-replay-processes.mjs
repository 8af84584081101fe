/**
 * Three processes that share one Redis are sent every token in many copies, all over HTTP and all at once:
 * each token is accepted once. Then the same while Redis is killed half-way and started again: none is
 * accepted twice. There Redis writes to disk before it answers, or else it would forget what it said.
 *
 *   node scripts/test-replay-processes.mjs [--tokens 10000] [--copies 20]
 */
import { fork, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';

/** @typedef {typeof import('../lib/core.js')} Core */
/** @typedef {typeof import('../lib/redis.js')} Shared */

const PROCESSES = 3;
const AT_ONCE = 60;
const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const THIS_FILE = fileURLToPath(import.meta.url);

/** @param {string} name @returns {Promise<unknown>} */
const built = async (name) => await import(new URL(`../dist/${name}`, import.meta.url).href);
const { createServiceAuth } = /** @type {Core} */ (await built('core.js'));

/** A receiver: verifies each request, and answers its status. @param {{ key: import('node:crypto').JsonWebKey, redisPort: number }} its */
async function receive({ key, redisPort }) {
  const { RedisReplayStore } = /** @type {Shared} */ (await built('redis.js'));
  const client = new Redis({ port: redisPort, retryStrategy: () => 50 });
  const service = await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, publicKey: key }],
    replayStore: new RedisReplayStore({ client, timeoutMilliseconds: 1000 }),
  });
  const body = new Uint8Array();
  const server = createServer((incoming, response) => {
    const { rawHeaders } = incoming;
    service.verify({ method: 'GET', target: '/a', rawHeaders, body }).then(
      () => response.writeHead(200).end(),
      (/** @type {{ status?: number }} */ error) => response.writeHead(error.status ?? 500).end(),
    );
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  process.send?.({ port });
  process.on('disconnect', () => process.exit());
}

/** @param {number} port @param {string[]} settings */
async function startRedis(port, settings) {
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', ...settings];
  const redis = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => redis.kill('SIGKILL'));
  for await (const line of createInterface({ input: redis.stdout })) {
    if (line.includes('Ready to accept connections')) break;
  }
  redis.stdout.resume();
  return redis;
}

async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

/** @param {number} port @param {string} token @returns {Promise<number>} */
async function send(port, token) {
  return await new Promise((resolve, reject) => {
    const headers = { JWT: token };
    request({ host: '127.0.0.1', port, path: '/a', agent, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', reject)
      .end();
  });
}

/** @param {{ tokens: number, copies: number, kill: boolean }} plan @returns whether it went as it must */
async function run({ tokens, copies, kill }) {
  const folder = mkdtempSync(join(tmpdir(), 'replay-processes-'));
  const onDisk = kill ? ['--appendonly', 'yes', '--appendfsync', 'always'] : [];
  const settings = ['--dir', folder, '--maxmemory-policy', 'noeviction', ...onDisk];
  const redisPort = await findFreePort();
  let redis = await startRedis(redisPort, settings);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = publicKey.export({ format: 'jwk' });
  const children = Array.from({ length: PROCESSES }, () => fork(THIS_FILE, ['receive']));
  const ports = await Promise.all(
    children.map(async (child) => {
      child.send({ key, redisPort });
      const [{ port }] = /** @type {[{ port: number }]} */ (await once(child, 'message'));
      return port;
    }),
  );
  const herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey },
    targets: [{ baseUrl: CENSUS }],
    tokenLifetimeSeconds: 300,
  });

  /** @type {Record<number, number>} */
  const statuses = {};
  const accepted = new Uint32Array(tokens);
  let next = 0;
  /** @type {Promise<unknown> | undefined} */
  let outage;
  const sendTokens = async () => {
    while (next < tokens) {
      const at = next++;
      if (kill && at === Math.floor(tokens / 2)) outage = killAndRestart();
      const url = `${CENSUS}a`;
      const body = new Uint8Array();
      const token = await herald.sign({
        method: 'GET',
        url,
        headers: {},
        body,
        subject: undefined,
      });
      const copy = async (/** @type {number} */ number) => {
        const status = await send(ports[(at + number) % PROCESSES], token ?? '');
        statuses[status] = (statuses[status] ?? 0) + 1;
        if (status === 200) accepted[at]++;
      };
      await Promise.all(Array.from({ length: copies }, async (_, number) => await copy(number)));
    }
  };
  const killAndRestart = async () => {
    redis.kill('SIGKILL');
    await once(redis, 'exit');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    redis = await startRedis(redisPort, settings);
  };
  await Promise.all(Array.from({ length: 9 }, sendTokens));
  await outage;

  for (const child of children) child.disconnect();
  redis.kill('SIGKILL');
  await once(redis, 'exit');
  herald.close();
  rmSync(folder, { recursive: true, force: true });
  return report({ tokens, copies, kill }, accepted, statuses);
}

/**
 * @param {{ tokens: number, copies: number, kill: boolean }} plan
 * @param {Uint32Array} accepted
 * @param {Record<number, number>} statuses
 */
function report({ tokens, copies, kill }, accepted, statuses) {
  const times = (/** @type {(count: number) => boolean} */ test) => accepted.filter(test).length;
  const once = times((count) => count === 1);
  const twice = times((count) => count > 1);
  const never = times((count) => count === 0);
  const how = kill
    ? 'Redis killed half-way and started again after a second, with appendfsync always'
    : 'Redis up all the while';
  console.log(`\n${tokens} tokens, ${copies} copies each, ${PROCESSES} processes; ${how}:`);
  console.log(`  answers: ${JSON.stringify(statuses)}`);
  console.log(`  tokens accepted once ${once}, never ${never}, more than once ${twice}`);
  const isKnown = Object.keys(statuses).every((status) => ['200', '401', '503'].includes(status));
  if (kill) return isKnown && twice === 0 && never < tokens / 2 && (statuses[503] ?? 0) > 0;
  return isKnown && once === tokens && (statuses[503] ?? 0) === 0;
}

if (process.argv[2] === 'receive') {
  process.once(
    'message',
    (/** @type {{ key: import('node:crypto').JsonWebKey, redisPort: number }} */ its) => {
      void receive(its);
    },
  );
} else {
  const { values } = parseArgs({
    options: {
      tokens: { type: 'string', default: '10000' },
      copies: { type: 'string', default: '20' },
    },
  });
  const plan = { tokens: Number(values.tokens), copies: Number(values.copies) };
  const results = [];
  for (const kill of [false, true]) results.push(await run({ ...plan, kill }));
  agent.destroy();
  const isGood = results.every(Boolean);
  console.log(isGood ? '\nAs it must be.' : '\nNOT as it must be.');
  process.exit(isGood ? 0 : 1);
}
