/**
 * What somebody can do who has copied the private key of Herald, a service that Census trusts to speak for every user:
 *
 *   node scripts/stolen-key.mjs [--requests 10000] [--live 300] [--overlap 20]
 *
 * Starts the sample as processes, and Census a second time on Fastify. The thief asks each of the two for users who have no
 * live grant, in turn in each of the ways of sample/story/thief.ts: none may be accepted. Then for users with a live grant, each
 * of which must be accepted, and again when these grants are over: none. Takes a minute. Needs a build, and that of the
 * sample: npm run build && npx tsc -p sample
 *
 * Ends with 1 where an answer is another than it should be.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** @typedef {typeof import('../sample/story/thief.js')} ThiefModule */
/** @typedef {import('../sample/story/thief.js').Thief} Thief */
/** @typedef {{ adapter: string, url: string }} Census */

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    live: { type: 'string', default: '300' },
    overlap: { type: 'string', default: '20' },
  },
});
const REQUESTS = Number(values.requests);
const LIVE = Number(values.live);
const OVERLAP = Number(values.overlap);
const USERS = ['42', '21', '7'].map((id) => `https://census.service/user/${id}/`);
const OTHER = 'https://census.service/user/5/';
/** How long the live grants live: each is used at once, and again when they are over. */
const LIFETIME_SECONDS = 20;
/** By how much the clock of Census may be behind. */
const TOLERANCE_SECONDS = 5;

const { startMailbox, ServiceProcesses, ensureKeyFiles, findFreePorts } = await loadStage();
const { collectLoot, Thief, WAYS } = /** @type {ThiefModule} */ (await load('story/thief.js'));
const { describe } = /** @type {typeof import('../sample/story/http-client.js')} */ (
  await load('story/http-client.js')
);
const { grantFor } = /** @type {typeof import('../sample/story/signed-request.js')} */ (
  await load('story/signed-request.js')
);

const keys = mkdtempSync(join(tmpdir(), 'stolen-key-'));
const services = new ServiceProcesses();
const mailbox = await startMailbox();
/** @type {import('node:child_process').ChildProcess | undefined} */
let onFastify;
let differing = 0;
try {
  ensureKeyFiles(keys);
  const ports = await findFreePorts({
    census: 0,
    herald: 0,
    another: 0,
    edge: 0,
    courier: 0,
    courierTcp: 0,
  });
  const baseUrls = await services.startAll({ ports, keys, smtpUrl: mailbox.url });
  const program = fileURLToPath(new URL('stolen-key/census.mjs', import.meta.url));
  onFastify = fork(program, [JSON.stringify({ baseUrls, keys })]);
  const [{ url }] = /** @type {[{ url: string }]} */ (await once(onFastify, 'message'));
  await attack({ adapter: 'express', url: baseUrls.census });
  await attack({ adapter: 'fastify', url });
} finally {
  onFastify?.kill();
  await services.stopAll();
  await mailbox.close();
  rmSync(keys, { recursive: true });
}
console.log(differing === 0 ? '\nAll as it should be.' : `\n${differing} answers differ.`);
process.exitCode = differing === 0 ? 0 : 1;

/** @param {Census} census */
async function attack({ adapter, url: censusUrl }) {
  console.log(`\nCensus on ${adapter}`);
  const thief = await Thief.create(
    await collectLoot(keys, { censusUrl, users: USERS, other: OTHER }),
  );
  const users = Array.from({ length: REQUESTS }, (_, at) => userOf(at));
  const answers = await inTurn(users, async (user, at) => {
    const way = WAYS[Math.floor(at / USERS.length) % WAYS.length];
    if (!way) throw new Error('There is no way.');
    const answer = describe(await thief.ask(user, await way.prove(thief, user)));
    check(answer, way.expected);
    return `${answer}  ${way.title}`;
  });
  tell('without a live grant', answers);

  /** @type {{ user: string, grant: string }[]} */
  const grants = [];
  const used = await inTurn(users.slice(0, LIVE), async (user) => {
    const grant = await grantFor(user, keys, { lifetimeSeconds: LIFETIME_SECONDS });
    grants.push({ user, grant });
    return await use(thief, { user, grant }, '200');
  });
  tell('with a live grant', used);
  await sleep((LIFETIME_SECONDS + TOLERANCE_SECONDS + 1) * 1000);
  const late = await inTurn(grants, async (each) => await use(thief, each, '403 grant_expired'));
  tell('with the same grants, once they are over', late);
  thief.close();
}

/** @type {(thief: Thief, proof: { user: string, grant: string }, expected: string) => Promise<string>} */
async function use(thief, { user, grant }, expected) {
  const answer = describe(await thief.askWithGrant(user, grant));
  check(answer, expected);
  return answer;
}

/** @param {number} at */
function userOf(at) {
  return USERS[at % USERS.length] ?? '';
}

/**
 * Does something with each, a few at a time.
 *
 * @template T
 * @param {readonly T[]} items
 * @param {(item: T, at: number) => Promise<string>} work
 */
async function inTurn(items, work) {
  /** @type {string[]} */
  const results = [];
  const left = items.entries();
  const worker = async () => {
    for (const [at, item] of left) results.push(await work(item, at));
  };
  await Promise.all(Array.from({ length: OVERLAP }, worker));
  return results;
}

/** @type {(answer: string, expected: string) => void} */
function check(answer, expected) {
  if (answer !== expected) differing += 1;
}

/** @type {(what: string, answers: readonly string[]) => void} */
function tell(what, answers) {
  const accepted = answers.filter((answer) => answer.startsWith('2')).length;
  console.log(`  ${what}: ${accepted} of ${answers.length} accepted`);
  for (const answer of [...new Set(answers)].toSorted()) {
    const count = answers.filter((other) => other === answer).length;
    console.log(`    ${String(count).padStart(6)}  ${answer}`);
  }
}

/** @param {string} file of the sample, as it was built @returns {Promise<unknown>} */
async function load(file) {
  return await import(new URL(`../dist-sample/${file}`, import.meta.url).href);
}

async function loadStage() {
  return {
    .../** @type {typeof import('../sample/story/mailbox.js')} */ (await load('story/mailbox.js')),
    .../** @type {typeof import('../sample/story/service-processes.js')} */ (
      await load('story/service-processes.js')
    ),
    .../** @type {typeof import('../sample/setup/key-files.js')} */ (
      await load('setup/key-files.js')
    ),
    .../** @type {typeof import('../sample/story/free-ports.js')} */ (
      await load('story/free-ports.js')
    ),
  };
}
