/**
 * Kills the courier of the sample again and again: ten times while the story is played, in the middle of its one mail, and
 * ten times more at any moment among forty mails. Mails wait in the memory of Herald, then in BullMQ where there is a
 * redis-server. No mail may be lost. None may be written twice, except where the courier was killed after it had written the
 * mail and before the queue knew. Needs a build, and that of the sample: run `npm start -- --once` first.
 *
 *   node scripts/test-mail-queue.mjs [--mails 40] [--kills 10] [--queue memory]
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** @typedef {import('../sample/story/story.js').Stage} Stage */
/** @typedef {import('../sample/story/mailbox.js').Mailbox} Mailbox */

const { values } = parseArgs({
  options: {
    mails: { type: 'string', default: '40' },
    kills: { type: 'string', default: '10' },
    queue: { type: 'string' },
  },
});
const MAILS = Number(values.mails);
const KILLS = Number(values.kills);

const { Runner } = /** @type {typeof import('../sample/story/runner.js')} */ (
  await load('story/runner.js')
);
const { idOf, logIn, playStory, welcome } =
  /** @type {typeof import('../sample/story/story.js')} */ (await load('story/story.js'));
const { hasRedisServer } = /** @type {typeof import('../sample/story/redis-server.js')} */ (
  await load('story/redis-server.js')
);
const { PORTS } = /** @type {typeof import('../sample/setup/environment.js')} */ (
  await load('setup/environment.js')
);

/** @param {string} file @returns {Promise<unknown>} */
async function load(file) {
  return await import(new URL(`../dist-sample/${file}`, import.meta.url).href);
}

/** Kills the courier in the middle of a mail: by turns before and after its text. @param {Stage} stage @param {Mailbox} mailbox */
async function killWhileWriting({ services }, mailbox) {
  for (let kill = 0; kill < KILLS; kill += 1) {
    const held = mailbox.hold(kill % 2 === 0 ? 'begun' : 'taken');
    await held.reached;
    await services.kill('courier');
    held.release();
  }
}

/** Kills the courier when it has taken one to three mails. @param {Stage} stage @returns {Promise<number[]>} when */
async function killAmongMails({ services }) {
  const times = [];
  for (let kill = 0; kill < KILLS; kill += 1) {
    for (let taken = 0; taken <= kill % 3; taken += 1) {
      if (!(await services.nextMail())) return times; // All have been written.
    }
    await services.kill('courier');
    times.push(performance.now());
    await services.untilState('courier', 'up');
  }
  return times;
}

/** @param {Stage} stage @param {Mailbox} mailbox */
async function orderMany(stage, mailbox) {
  const cookie = await logIn(stage.environment);
  /** @type {Map<string, number[]>} */
  const writtenAt = new Map();
  mailbox.onMail(({ id }) => writtenAt.set(id, [...(writtenAt.get(id) ?? []), performance.now()]));
  const killing = killAmongMails(stage);
  /** @type {string[]} */
  const ids = [];
  for (let mail = 0; mail < MAILS; mail += 1) {
    const answer = await welcome(stage.environment, cookie);
    assert.equal(answer.status, 201);
    ids.push(idOf(answer));
  }
  const kills = await killing;
  await Promise.all(ids.map(async (id) => await mailbox.mailWithId(id)));
  for (const times of writtenAt.values()) assertKilledBetween(times, kills);
  return { kills: kills.length, copies: [...writtenAt.values()].flat().length - ids.length };
}

/** A copy is allowed where a courier died between it and the one before. @param {number[]} times @param {number[]} kills */
function assertKilledBetween(times, kills) {
  for (const [at, time] of times.entries()) {
    const before = times[at - 1];
    const isKilled = kills.some((kill) => before !== undefined && kill > before && kill < time);
    assert.ok(before === undefined || isKilled, 'a mail was written twice by a living courier');
  }
}

/** @param {'memory' | 'redis'} queue */
async function test(queue) {
  const keys = mkdtempSync(join(tmpdir(), 'sample-mail-queue-'));
  const runner = new Runner();
  const ports = Object.values(PORTS).map(({ variable }) => [variable, '0']);
  const variables = { SMTP_URL: '', SAMPLE_KEYS: keys, MAIL_QUEUE: queue };
  let isOver = false;
  await runner.run(async () => {
    const stage = await runner.start({
      ...process.env,
      ...Object.fromEntries(ports),
      ...variables,
    });
    const { mailbox } = stage;
    assert.ok(mailbox);
    const start = performance.now();
    const killing = killWhileWriting(stage, mailbox);
    const uri = await playStory(stage, runner.narrator);
    await killing;
    assert.ok(uri && runner.narrator.concludes());
    const id = idOf({ location: uri });
    assert.deepEqual(
      mailbox.received.map((mail) => mail.id),
      [id],
    );
    await mailbox.untilArrived(id, 1 + Math.floor(KILLS / 2));
    const copies = mailbox.copies.length;
    assert.ok(copies <= KILLS / 2, 'a copy for each kill after the text, and none besides');
    const many = await orderMany(stage, mailbox);
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`\npassed ${queue}: the story, ${KILLS} kills: 1 mail, ${copies} copies`);
    console.log(
      `passed ${queue}: ${MAILS} mails, ${many.kills} kills: 0 lost, ${many.copies} copies; ${seconds} s`,
    );
    isOver = true;
  });
  rmSync(keys, { recursive: true, force: true });
  if (!isOver) process.exitCode = 1;
}

const wanted = values.queue;
if (wanted !== 'redis') await test('memory');
if (wanted !== 'memory' && hasRedisServer(process.env)) await test('redis');
else if (wanted !== 'memory') console.log('skipped: there is no redis-server');
