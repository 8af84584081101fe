/**
 * Whether users of overlapping requests are ever mixed up, and whether memory stays what it is:
 *
 *   node scripts/sim-overlap.mjs [--requests 1000000] [--overlap 200] [--without-bind]
 *
 * A caller starts chains over three services (census, chronicle, archive), each a process of its own with two
 * applications, one of each mode of `subjectPropagation`, on Express and on Fastify. Each request of a chain counts, so
 * that a million are some 333,000 chains. Each service takes a random turn of the event loop, a random client, and a
 * random way to its call: see scripts/overlap/service.mjs. A request carries in its path whose it is, and each service
 * compares that with the token it came with; the caller compares the answers.
 *
 * Each request for a user carries the user's grant, made by an edge, over all three hops. One application of the second
 * service hands it on unread; the others verify it. Each service compares the grant on the wire with the user in the
 * path, before the library sees the request. One request in 20 also calls for another user, as a plain bug does: that
 * call carries no grant, and is refused.
 *
 * Ends with 1 where a user or a grant is mixed up, a grant is missing, a chain fails, or memory grows from the middle third of the run to the last.
 * `--without-bind` leaves out what binds work to its user: then there must be mix-ups, or the run would show nothing.
 */
import { fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { median } from '../bench/statistics.mjs';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    overlap: { type: 'string', default: '200' },
    'without-bind': { type: 'boolean', default: false },
  },
});
const HOPS = 3;
const CHAINS = Math.ceil(readNumber('requests') / HOPS);
const OVERLAP = readNumber('overlap');
const USERS = 100;
/** Of so many chains one is a service's own, for no user. */
const ONE_ITSELF_IN = 50;
const SAMPLES = 60;
/** It wavers with the collection of garbage. */
const MOST_GROWTH = 1.02;
const MEBIBYTE = 1024 * 1024;
const SECONDS_A_LINE = 30;

/** @typedef {{ urls: string[] }} Started */
/** @typedef {{ requests: number, mixUps: number, grants: number, foreignGrants: number, missingGrants: number, bugs: number, bugsAccepted: number, bugsWithGrant: number, ways: Record<string, number>, failure?: string, heapUsed: number, rss: number }} State */

/** @param {'requests' | 'overlap'} name */
function readNumber(name) {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${name}: write a whole number from 1`);
  process.exit(1);
}

function createKeys() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** A service in a process of its own. */
class Service {
  /** @type {State[]} */
  states = [];

  /** @param {string} name @param {import('node:child_process').ChildProcess} child @param {string[]} urls */
  constructor(name, child, urls) {
    this.name = name;
    this.child = child;
    this.urls = urls;
  }

  /** @param {{ name: string }} config */
  static async start(config) {
    const path = fileURLToPath(new URL('overlap/service.mjs', import.meta.url));
    const child = fork(path, [JSON.stringify(config)], { execArgv: ['--expose-gc'] });
    const [{ urls }] = /** @type {[Started]} */ (await once(child, 'message'));
    child.once('exit', (code) => {
      if (!child.connected && code === 0) return;
      console.error(`${config.name} ended with ${code}`);
      process.exit(1);
    });
    return new Service(config.name, child, urls);
  }

  async sample() {
    const answer = once(this.child, 'message');
    this.child.send('state');
    const [state] = /** @type {[State]} */ (await answer);
    this.states.push(state);
  }

  get last() {
    const state = this.states.at(-1);
    if (!state) throw new Error('no sample');
    return state;
  }

  /** @returns {boolean} whether it grows */
  judge() {
    return [this.#judge('heap', 'heapUsed'), this.#judge('resident memory', 'rss')].includes(true);
  }

  /** @param {string} what @param {'heapUsed' | 'rss'} member */
  #judge(what, member) {
    const sizes = this.states.map((state) => state[member] / MEBIBYTE);
    const third = Math.floor(sizes.length / 3);
    const middle = median(sizes.slice(third, 2 * third));
    const last = median(sizes.slice(2 * third));
    const grows = last > middle * MOST_GROWTH;
    console.log(
      `${this.name}: ${what}, medians: ${middle.toFixed(1)} MiB in the middle third, ${last.toFixed(1)} in the last${grows ? ': it grows' : ''}`,
    );
    return grows;
  }
}

const NAMES = ['herald', 'census', 'chronicle', 'archive'];
const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://simulated.example.org/';
/** A user asks again after so long, and gets another grant. */
const GRANT_SECONDS = 60;
const keys = new Map([...NAMES, 'edge'].map((name) => [name, createKeys()]));

/** @param {string} name */
function keysOf(name) {
  const known = keys.get(name);
  if (!known) throw new Error(`no keys of ${name}`);
  return known;
}

/** Starts the last first: each must know where the next one is. */
async function startServices() {
  /** @type {Service[]} */
  const services = [];
  for (let at = NAMES.length - 1; at > 0; at--) {
    const [caller = '', name = ''] = NAMES.slice(at - 1, at + 1);
    const [next] = services;
    const isOdd = at % 2 === 1;
    const config = {
      name,
      privateKey: keysOf(name).privateKey,
      caller,
      callerKey: keysOf(caller).publicKey,
      bindsWork: !values['without-bind'],
      trustDomain: TRUST_DOMAIN,
      originator: { issuer: EDGE, publicKey: keysOf('edge').publicKey },
      proof: { explicit: name === 'chronicle' ? 'off' : 'required', ambient: 'required' },
      adapters: {
        explicit: isOdd ? 'express' : 'fastify',
        ambient: isOdd ? 'fastify' : 'express',
      },
      next: next && { name: next.name, urls: next.urls },
    };
    services.unshift(await Service.start(config));
  }
  return services;
}

const services = await startServices();
const [{ urls: firstUrls }] = services;
const auth = await createServiceAuth({
  issuer: 'https://herald.service/',
  signingKey: { privateKey: keysOf('herald').privateKey },
  targets: firstUrls.map((baseUrl) => ({ baseUrl, audience: 'https://census.service/' })),
  trustDomain: TRUST_DOMAIN,
});
const edge = await createServiceAuth({
  issuer: EDGE,
  signingKey: { privateKey: keysOf('edge').privateKey },
  targets: [{ baseUrl: 'http://127.0.0.1:9/', audience: 'https://nobody.service/' }],
  trustDomain: TRUST_DOMAIN,
  originate: { subjects: ['https://census.service/user/'] },
});
/** @type {Map<string, { text: Promise<string>, madeAt: number }>} */
const grants = new Map();

/** The grant of a user, who asks again every minute. @param {string} subject */
async function grantOf(subject) {
  const now = performance.now();
  let grant = grants.get(subject);
  if (!grant || now - grant.madeAt > GRANT_SECONDS * 1000) {
    grant = { text: edge.issueGrant(subject), madeAt: now };
    grants.set(subject, grant);
  }
  return await grant.text;
}
const agent = new Agent({ keepAlive: true, maxSockets: OVERLAP });
const seen = { chains: 0, mixUps: 0, failed: 0, failure: '' };

/** @param {number} id */
async function runChain(id) {
  const isItself = id % ONE_ITSELF_IN === 0;
  const user = isItself ? 'itself' : String(Math.floor(Math.random() * USERS));
  const subject = isItself ? undefined : `https://census.service/user/${user}/`;
  const url = new URL(`chain/${user}/${id}`, firstUrls[id % firstUrls.length]);
  const body = new Uint8Array();
  const grant = subject && (await grantOf(subject));
  const token = await auth.sign({ method: 'GET', url, headers: {}, body, subject, grant });
  const headers = { JWT: token, ...(grant && { 'Txn-Token': grant }) };
  const request = get(url, { agent, headers });
  const [response] = /** @type {[import('node:http').IncomingMessage]} */ (
    await once(request, 'response')
  );
  const answer = await text(response);
  seen.chains++;
  if (response.statusCode !== 200) {
    seen.failed++;
    seen.failure ||= `${response.statusCode} ${answer}`;
    return;
  }
  const subjects = /** @type {(string | null)[]} */ (JSON.parse(answer));
  const isOwn = subjects.every((each) => each === (subject ?? null));
  if (subjects.length !== HOPS || !isOwn) seen.mixUps++;
}

const start = performance.now();
const secondsSince = () => (performance.now() - start) / 1000;
let begun = 0;
let told = 0;

async function keepRunning() {
  while (begun < CHAINS) await runChain(begun++);
}

/** @param {'grants' | 'foreignGrants' | 'missingGrants' | 'bugs' | 'bugsAccepted' | 'bugsWithGrant'} member */
const sumOf = (member) => services.reduce((sum, { last }) => sum + last[member], 0);

/** Asks the services for what they are, at even distances. */
async function sampleAll() {
  for (let sample = 1; sample <= SAMPLES; sample++) {
    const due = (CHAINS * sample) / SAMPLES;
    while (seen.chains < due) await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.all(services.map((service) => service.sample()));
    const seconds = secondsSince();
    if (seconds - told < SECONDS_A_LINE) continue;
    told = seconds;
    console.log(
      `${HOPS * seen.chains} requests in ${Math.round(seconds)} s, ${seen.mixUps} mixed up; ` +
        `${sumOf('grants')} grants, ${sumOf('foreignGrants')} on another user's call`,
    );
  }
}

await Promise.all([...Array.from({ length: OVERLAP }, keepRunning), sampleAll()]);
const seconds = secondsSince();
const requests = services.reduce((sum, { last }) => sum + last.requests, 0);
const mixUps = services.reduce((sum, { last }) => sum + last.mixUps, seen.mixUps);
const grows = services.map((service) => service.judge()).includes(true);
for (const { name, last } of services) {
  const ways = Object.entries(last.ways).map(([way, times]) => `${way} ${times}`);
  if (ways.length > 0) console.log(`${name}: ${ways.join(', ')}`);
  if (last.failure !== undefined) console.log(`${name}: a call failed: ${last.failure}`);
}
console.log(
  `${requests} requests in ${seen.chains} chains of ${USERS} users, up to ${OVERLAP} at once, in ${Math.round(seconds)} s ` +
    `(${Math.round(requests / seconds)} a second): ${mixUps} mixed up, ${seen.failed} chains failed ${seen.failure}; Node ${process.versions.node}`,
);
for (const { name, last } of services) {
  console.log(
    `${name}: ${last.grants} grants, ${last.foreignGrants} on another user's call, ${last.missingGrants} missing`,
  );
}
console.log(
  `${sumOf('bugs')} calls for a user who had not asked: ${sumOf('bugsWithGrant')} with a grant, ${sumOf('bugsAccepted')} accepted`,
);
agent.destroy();
auth.close();
edge.close();
for (const { child } of services) child.disconnect();
const grantsMixedUp = sumOf('foreignGrants');
const wrongGrants = [
  grantsMixedUp,
  sumOf('missingGrants'),
  sumOf('bugsWithGrant'),
  sumOf('bugsAccepted'),
];
const isClean = mixUps === 0 && seen.failed === 0 && wrongGrants.every((count) => count === 0);
const isRight = values['without-bind'] ? mixUps > 0 && grantsMixedUp > 0 : isClean && !grows;
process.exitCode = isRight ? 0 : 1;
