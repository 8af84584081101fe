/**
 * A worker of BullMQ does signed jobs in a process of its own, which is killed (SIGKILL) in the middle of a job, again and
 * again. Counts the effects of each job: none may be lost, and none may happen twice except where the process was killed
 * after the effect and before its use was recorded. Needs a build and redis-server.
 *
 *   npm run build && node scripts/test-job-chaos.mjs [--kills 200]
 */
import 'reflect-metadata';
import { fork, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { actingAsItself, ServiceAuthModule } from 'nestjs-service-auth';
import {
  serviceMessage,
  ServiceJobsModule,
  ServiceProcessor,
  ServiceWorkerHost,
} from 'nestjs-service-auth/bullmq';
import { RedisReplayStore } from 'nestjs-service-auth/redis';

/** @typedef {{ port: number, log: string, privateKey: string, publicKey: string }} Place */
/** @typedef {{ what: 'begun' | 'effect', id: number, pid: number }} Line */

const ISSUER = 'https://mail.service/';
/** A crash is noticed when the lock of its job has ended. */
const LOCK_MILLISECONDS = 1000;
const HANDLER_MILLISECONDS = 40;
const THIS_FILE = fileURLToPath(import.meta.url);

/** @param {Place} place @param {readonly import('@nestjs/common').Type[]} processors */
async function startService({ port, privateKey, publicKey }, processors) {
  const client = new Redis({ port, host: '127.0.0.1' });
  const auth = ServiceAuthModule.forRoot({
    issuer: ISSUER,
    signingKey: { privateKey },
    targets: [],
    trustedIssuers: [{ issuer: ISSUER, publicKey, transports: ['jobs'] }],
    replayStore: new RedisReplayStore({ client }),
  });
  const bull = [
    BullModule.forRoot({ connection: { host: '127.0.0.1', port } }),
    BullModule.registerQueue({ name: 'mail' }),
  ];
  const jobs = ServiceJobsModule.forQueues([{ queue: 'mail' }]);
  class ChaosModule {}
  Module({ imports: [auth, ...bull, jobs], providers: [...processors] })(ChaosModule);
  const app = await NestFactory.createApplicationContext(ChaosModule, { logger: ['error'] });
  return { app, client };
}

/** The process that is killed. @param {Place} place */
async function work(place) {
  const note = (/** @type {Line['what']} */ what, /** @type {number} */ id) =>
    appendFileSync(place.log, `${JSON.stringify({ what, id, pid: process.pid })}\n`);
  class MailProcessor extends ServiceWorkerHost {
    /** @param {import('bullmq').Job<{ id: number }>} job */
    async process({ data: { id } }) {
      note('begun', id);
      process.send?.('begun');
      await sleep(HANDLER_MILLISECONDS);
      note('effect', id);
    }
  }
  ServiceProcessor('mail', {
    lockDuration: LOCK_MILLISECONDS,
    stalledInterval: LOCK_MILLISECONDS / 2,
    maxStalledCount: 1_000_000,
  })(MailProcessor);
  await startService(place, [MailProcessor]);
}

async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  return port;
}

/** @param {number} port */
async function startRedis(port) {
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const redis = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => redis.kill('SIGKILL'));
  for await (const line of createInterface({ input: redis.stdout })) {
    if (line.includes('Ready to accept connections')) break;
  }
  redis.stdout.resume();
  return redis;
}

/** @param {Place} place */
function startWorker(place) {
  return fork(THIS_FILE, ['--work', JSON.stringify(place)], { stdio: 'inherit' });
}

/** Kills workers in the middle of a job, at a random moment of it. @param {Place} place @param {number} kills */
async function killWorkers(place, kills) {
  for (let kill = 1; kill <= kills; kill++) {
    const worker = startWorker(place);
    await once(worker, 'message');
    await sleep(Math.random() * 1.3 * HANDLER_MILLISECONDS);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    if (kill % 20 === 0) console.log(`${kill} workers killed`);
  }
}

/** @param {string} log @param {number} jobs @param {Set<number>} duplicates those that completed without running */
function classify(log, jobs, duplicates) {
  const lines = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => /** @type {Line} */ (JSON.parse(line)));
  const effects = Array.from({ length: jobs }, (_, id) =>
    lines.filter((line) => line.what === 'effect' && line.id === id),
  );
  // The last line of a process that was killed says how far it was: after an effect, its use may not be recorded.
  const lastOf = new Map(lines.map((line) => [line.pid, line]));
  const isInWindow = (/** @type {Line[]} */ [...its]) =>
    its.slice(0, -1).every(({ pid, id }) => {
      const last = lastOf.get(pid);
      return last?.what === 'effect' && last.id === id;
    });
  const twice = effects.filter((its) => its.length > 1);
  return {
    deliveries: lines.filter(({ what }) => what === 'begun').length,
    lost: effects.filter((its) => its.length === 0).length,
    once: effects.filter((its) => its.length === 1).length,
    'twice, killed between effect and record': twice.filter(isInWindow).length,
    'twice otherwise': twice.filter((its) => !isInWindow(its)).length,
    'recorded before the kill, dropped as duplicates': duplicates.size,
  };
}

/** @param {number} kills */
async function main(kills) {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-jobs-'));
  const port = await findFreePort();
  const redis = await startRedis(port);
  const keys = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const place = {
    port,
    log: join(folder, 'log'),
    privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: keys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
  const { app, client } = await startService(place, []);
  const queue = /** @type {import('bullmq').Queue} */ (app.get(getQueueToken('mail')));
  const count = kills * 2;
  for (let id = 0; id < count; id++) {
    await queue.add('send', serviceMessage({ id }, actingAsItself()), { attempts: 3 });
  }
  await killWorkers(place, kills);
  const last = startWorker(place);
  const ended = async () => (await queue.getCompletedCount()) + (await queue.getFailedCount());
  while ((await ended()) < count) await sleep(200);
  const completed = /** @type {{ returnvalue: unknown, data: { id: number } }[]} */ (
    await queue.getJobs(['completed'])
  );
  const isDuplicate = (/** @type {unknown} */ value) =>
    typeof value === 'object' && value !== null && 'duplicate' in value;
  const dropped = completed.filter(({ returnvalue }) => isDuplicate(returnvalue));
  const duplicates = new Set(dropped.map(({ data }) => data.id));
  const failed = await queue.getFailedCount();
  last.kill('SIGKILL');
  const table = { kills, jobs: count, failed, ...classify(place.log, count, duplicates) };
  console.table(table);
  await app.close();
  client.disconnect();
  redis.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  if (failed > 0 || table.lost > 0 || table['twice otherwise'] > 0) process.exitCode = 1;
}

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '200' }, work: { type: 'string' } },
});
if (values.work === undefined) await main(Number(values.kills));
else await work(/** @type {Place} */ (JSON.parse(values.work)));
