/**
 * Two workers of BullMQ do signed jobs, each for a user with a grant, and are killed (SIGKILL) in the middle of a job, again
 * and again. The effect of a job is a signed call to another service. Counts the effects of each job: one, except where
 * its worker was killed between effect and commit. Each call must carry the user and the grant of its job, also when
 * another process makes it.
 *
 *   node scripts/test-job-chaos.mjs [--kills 200]
 */
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Compiled } from './chaos/compiled.mjs';
import { Incidents } from './chaos/incidents.mjs';
import { JobFeed } from './chaos/job-feed.mjs';
import { LineReader } from './chaos/line-reader.mjs';
import { areInstalled } from './chaos/programs.mjs';
import { report } from './chaos/report.mjs';
import { unverifiedClaims } from './chaos/unverified-claims.mjs';
import { Workers } from './chaos/workers.mjs';

/** @typedef {typeof import('../test/support/http/recording-server.js')} Recording */
/** @typedef {import('../test/support/http/recording-server.js').Recorded} Recorded */
/** @typedef {typeof import('../test/support/redis/redis-server.js')} Servers */
/** @typedef {typeof import('../test/support/chaos/run-lines.js')} RunLines */
/** @typedef {import('../test/support/chaos/run-lines.js').LineWriter} LineWriter */

const PROCESSES = 2;
/** A crash is noticed when the lock of its job has ended. */
const LOCK_MILLISECONDS = 2000;
const HANDLER_MILLISECONDS = 40;
const JOBS_PER_KILL = 20;
const WORKER = 'test/nest/jobs/processes/chaos-worker.process.ts';

/** @param {Compiled} compiled */
async function open(compiled) {
  const recording = /** @type {Recording} */ (
    await compiled.load('test/support/http/recording-server.ts')
  );
  const { RedisServer } = /** @type {Servers} */ (
    await compiled.load('test/support/redis/redis-server.ts')
  );
  const runLines = /** @type {RunLines} */ (await compiled.load('test/support/chaos/run-lines.ts'));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const log = join(compiled.folder, 'jobs.jsonl');
  const lines = new runLines.LineWriter(log);
  const census = new Calls(recording, lines, runLines.sharedNow);
  const server = await new recording.RecordingServer((request, response) => {
    census.take(request);
    response.end('{}');
  }).start();
  const redis = await RedisServer.start();
  const instructions = {
    redisPort: redis.port,
    censusUrl: server.url,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    log,
    lockMilliseconds: LOCK_MILLISECONDS,
    handlerMilliseconds: HANDLER_MILLISECONDS,
  };
  const feed = await JobFeed.start(compiled, instructions);
  const close = async () => {
    await feed.close();
    await server.close();
    await redis.close();
  };
  return { census, feed, instructions, sharedNow: runLines.sharedNow, close };
}

/** The calls of the workers, each of which is an effect. */
class Calls {
  /** For whom each job called, and with whose grant. @type {{ use: string, owner: string, user: unknown, granted: unknown }[]} */
  list = [];

  /** @param {Recording} recording @param {LineWriter} lines @param {() => number} now */
  constructor({ valuesOf }, lines, now) {
    this.valuesOf = valuesOf;
    this.lines = lines;
    this.now = now;
  }

  /** @param {Recorded} request */
  take(request) {
    const { searchParams } = new URL(request.target, 'http://census');
    const [use, owner, pid] = ['use', 'owner', 'pid'].map((name) => searchParams.get(name) ?? '');
    this.lines.note({ step: 'effect', use, owner, pid: Number(pid), at: this.now() });
    const [user, granted] = ['jwt', 'txn-token'].map((name) => {
      const [token] = this.valuesOf(request, name);
      return token === undefined ? undefined : unverifiedClaims(token).sub;
    });
    this.list.push({ use, owner, user, granted });
  }

  /** Calls without the user or the grant of their job. @param {JobFeed} feed */
  judge({ users }) {
    const wrong = this.list.filter(
      ({ use, user, granted }) => user !== users.get(use) || granted !== user,
    );
    return { calls: this.list.length, 'without the user or the grant of their job': wrong.length };
  }
}

/** @param {Compiled} compiled @param {number} kills */
async function run(compiled, kills) {
  const start = performance.now();
  const place = await open(compiled);
  const { feed, instructions, census } = place;
  const reader = new LineReader(instructions.log);
  const workers = new Workers(compiled.path(WORKER), instructions);
  const incidents = new Incidents(workers, reader, place.sharedNow);
  await workers.start(PROCESSES);
  while (incidents.killedAt.size < kills) {
    await incidents.killOne(async () => await feed.add(JOBS_PER_KILL), HANDLER_MILLISECONDS);
    if (incidents.killedAt.size % 20 === 0) console.log(`${incidents.killedAt.size} killed`);
  }
  while ((await feed.ended()) < feed.uses.length) await sleep(200);
  const failed = await feed.failed();
  if (failed > 0) console.log(await feed.reasons());
  await workers.close();
  const lines = reader.read();
  reader.close();
  const { uses } = feed;
  const seconds = (performance.now() - start) / 1000;
  const evidence = { uses, lines, incidents, leaseMilliseconds: LOCK_MILLISECONDS };
  const isGood = await report('Jobs', seconds, compiled, evidence);
  const calls = census.judge(feed);
  console.table({
    'jobs that failed': failed,
    ...calls,
    'by another process after a kill': again(lines),
  });
  await place.close();
  return isGood && failed === 0 && calls['without the user or the grant of their job'] === 0;
}

/** Effects in a later run than the first of their use. @param {LineReader['lines']} lines */
function again(lines) {
  /** @type {Map<string, string>} */
  const firstOwners = new Map();
  for (const line of lines) {
    if (line.step === 'reserved' && !firstOwners.has(line.use))
      firstOwners.set(line.use, line.owner);
  }
  return lines.filter((line) => line.step === 'effect' && firstOwners.get(line.use) !== line.owner)
    .length;
}

const { values } = parseArgs({ options: { kills: { type: 'string', default: '200' } } });
if (areInstalled('redis-server')) {
  const isGood = await run(new Compiled([WORKER]), Number(values.kills));
  console.log(isGood ? '\nAs it must be.' : '\nNOT as it must be.');
  process.exit(isGood ? 0 : 1);
}
