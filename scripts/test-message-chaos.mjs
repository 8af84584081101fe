/**
 * Signed events over a real RabbitMQ, handled by three processes that share one Redis. First processes are killed
 * (SIGKILL) while their handlers run. Then each message is delivered in several copies and three handlers of ten fail.
 * Then handlers outlast their lease as well, and processes are stopped (SIGSTOP) for three leases. One message in ten comes
 * with one that nobody signed. Counts the effects of each message: one, except where its process was killed between effect
 * and commit, or stopped beyond its lease; each such effect is matched with the kill or the stop that explains it.
 *
 *   node scripts/test-message-chaos.mjs [--kills 200] [--messages 400] [--stops 10]
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect } from 'amqplib';
import { Compiled } from './chaos/compiled.mjs';
import { Feed } from './chaos/feed.mjs';
import { Incidents, openRuns } from './chaos/incidents.mjs';
import { LineReader } from './chaos/line-reader.mjs';
import { areInstalled } from './chaos/programs.mjs';
import { report } from './chaos/report.mjs';
import { Workers } from './chaos/workers.mjs';

/** @typedef {{ name: string, messages: number, copies: number, failurePercent: number, slowPercent: number, kills: number, stops: number }} Plan */
/** @typedef {Awaited<ReturnType<typeof open>>} Place */
/** @typedef {typeof import('../test/support/messages/brokers.js')} Brokers */
/** @typedef {typeof import('../test/support/redis/redis-server.js')} Servers */
/** @typedef {typeof import('../test/support/messages/messaging-services.js')} Services */
/** @typedef {typeof import('../test/support/chaos/run-lines.js')} RunLines */

const PROCESSES = 3;
const PREFETCH = 10;
const LEASE_SECONDS = 2;
const STOP_MILLISECONDS = 3000 * LEASE_SECONDS;
const HANDLER_MILLISECONDS = /** @type {const} */ ([5, 60]);
/** After which a use is done. */
const ENDS = ['owned', 'lost', 'seen'];
const CONSUMER = 'test/nest/messages/processes/chaos-consumer.process.ts';

async function findRabbitMq() {
  const { TRANSPORTS } = /** @type {Brokers} */ (
    await compiled.load('test/support/messages/brokers.ts')
  );
  const rabbitMq = TRANSPORTS.find(({ name }) => name === 'RabbitMQ');
  if (!rabbitMq) throw new Error('RabbitMQ is not known');
  return rabbitMq;
}

/** Starts the servers. @param {Compiled} compiled @param {Brokers['TRANSPORTS'][number]} rabbitMq */
async function open(compiled, rabbitMq) {
  const { RedisServer } = /** @type {Servers} */ (
    await compiled.load('test/support/redis/redis-server.ts')
  );
  const { HERALD, CENSUS, heraldKey } = /** @type {Services} */ (
    await compiled.load('test/support/messages/messaging-services.ts')
  );
  const { createServiceAuth } = /** @type {typeof import('../lib/core.js')} */ (
    await compiled.load('lib/core.ts')
  );
  const { sharedNow } = /** @type {RunLines} */ (
    await compiled.load('test/support/chaos/run-lines.ts')
  );
  const [broker, redis] = await Promise.all([rabbitMq.start(), RedisServer.start()]);
  const url = `amqp://guest:guest@127.0.0.1:${broker.port}`;
  const connection = await connect(url);
  const herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
  });
  const close = async () => {
    await connection.close();
    herald.close();
    await Promise.all([broker.close(), redis.close()]);
  };
  const { publicPem: publicKey } = heraldKey;
  const channel = await connection.createConfirmChannel();
  return { compiled, url, redis, channel, herald, publicKey, audience: CENSUS, sharedNow, close };
}

/** A queue of its own, and one for what it dead-letters. @param {Place} place @param {string} queue */
async function openQueue({ channel }, queue) {
  const dead = `${queue}-dead`;
  const queueOptions = {
    durable: false,
    arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
  };
  await channel.assertQueue(queue, queueOptions);
  await channel.assertQueue(dead, { durable: false });
  return { queueOptions, dead };
}

/** @param {Place} place @param {Plan} plan @returns {Promise<boolean>} whether all is as it must be */
async function run(place, plan) {
  const start = performance.now();
  const { channel, compiled, redis, publicKey, audience } = place;
  const queue = plan.name.toLowerCase();
  const { queueOptions, dead } = await openQueue(place, queue);
  const log = join(compiled.folder, `${queue}.jsonl`);
  const reader = new LineReader(log);
  const workers = new Workers(compiled.path(CONSUMER), {
    redisPort: redis.port,
    server: {
      urls: [place.url],
      queue,
      queueOptions,
      noAck: false,
      prefetchCount: PREFETCH,
    },
    publicKey,
    log,
    leaseSeconds: LEASE_SECONDS,
    failurePercent: plan.failurePercent,
    slowPercent: plan.slowPercent,
    handlerMilliseconds: HANDLER_MILLISECONDS,
  });
  const feed = new Feed(channel, place.herald, { queue, copies: plan.copies, audience });
  const incidents = new Incidents(workers, reader, place.sharedNow);
  await workers.start(PROCESSES);
  await disturb(plan, feed, incidents);
  await drain(place, { queue, workers, reader, feed });
  await workers.close();
  const { messageCount: deadLetters } = await channel.checkQueue(dead);
  const lines = reader.read();
  reader.close();
  const seconds = (performance.now() - start) / 1000;
  return await report(plan.name, seconds, compiled, {
    uses: feed.uses,
    unsigned: feed.unsigned,
    deadLetters,
    lines,
    incidents,
    leaseMilliseconds: LEASE_SECONDS * 1000,
  });
}

/** Publishes all messages, some before each incident. @param {Plan} plan @param {Feed} feed @param {Incidents} incidents */
async function disturb({ messages, kills, stops }, feed, incidents) {
  const some = Math.ceil(messages / Math.max(1, kills + stops));
  const publishSome = async () => await feed.publish(some);
  while (incidents.killedAt.size < kills) {
    await incidents.killOne(publishSome, HANDLER_MILLISECONDS[1]);
    if (incidents.killedAt.size % 20 === 0) console.log(`${incidents.killedAt.size} killed`);
  }
  while (incidents.stops.length < stops) await incidents.stopOne(publishSome, STOP_MILLISECONDS);
  if (kills + stops === 0) await publishSome();
}

/**
 * Until the consumers have acknowledged every copy of every message: what they have not is in the queue again when they
 * have ended.
 *
 * @param {Place} place
 * @param {{ queue: string, workers: Workers, reader: LineReader, feed: Feed }} its
 */
async function drain({ channel }, { queue, workers, reader, feed }) {
  for (;;) {
    while (!isQuiet(workers, reader, feed) || (await channel.checkQueue(queue)).messageCount > 0)
      await sleep(200);
    await workers.stop();
    while ((await channel.checkQueue(queue)).consumerCount > 0) await sleep(50);
    const { messageCount } = await channel.checkQueue(queue);
    if (messageCount === 0) return;
    await workers.start(PROCESSES);
  }
}

/** Whether each message is done, and no handler runs. @param {Workers} workers @param {LineReader} reader @param {Feed} feed */
function isQuiet({ working }, reader, feed) {
  const lines = reader.read();
  const pids = new Set([...working].map(({ pid }) => pid));
  const ends = lines.flatMap((line) =>
    ENDS.includes(line.step) && 'use' in line ? [line.use] : [],
  );
  const done = new Set(ends);
  return (
    feed.uses.every((use) => done.has(use)) && openRuns(lines, (pid) => pids.has(pid)).length === 0
  );
}

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    messages: { type: 'string', default: '400' },
    stops: { type: 'string', default: '10' },
  },
});
const [kills, messages, stops] = [values.kills, values.messages, values.stops].map(Number);
/** @type {Plan[]} */
const plans = [
  {
    name: 'Killed',
    messages: 40 * kills,
    copies: 1,
    failurePercent: 0,
    slowPercent: 0,
    kills,
    stops: 0,
  },
  {
    name: 'Failing',
    messages,
    copies: 5,
    failurePercent: 30,
    slowPercent: 0,
    kills: 0,
    stops: 0,
  },
  {
    name: 'Stopped',
    messages,
    copies: 5,
    failurePercent: 30,
    slowPercent: 3,
    kills: 0,
    stops,
  },
];
/** @returns {Promise<boolean>} whether all is as it must be, in each plan */
async function runAll() {
  const place = await open(compiled, rabbitMq);
  let isGood = true;
  for (const plan of plans) isGood = (await run(place, plan)) && isGood;
  await place.close();
  return isGood;
}

const compiled = new Compiled([CONSUMER]);
const rabbitMq = await findRabbitMq();
if (areInstalled(rabbitMq.binary ?? '', 'redis-server')) {
  const isGood = await runAll();
  console.log(isGood ? '\nAs it must be.' : '\nNOT as it must be.');
  process.exit(isGood ? 0 : 1);
}
