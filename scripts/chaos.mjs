/**
 * Everything goes wrong at once, for as long as it is told to: `node scripts/chaos.mjs [--minutes 30] [--seed 1]
 * [--rate 200]`. Needs a redis-server and `npm run build`.
 *
 * Two receivers (Express, Fastify), three callers whose keys rotate, a key server that fails in every way,
 * one Redis that is stopped, killed and started again, wall clocks that step, clients that go away, slow
 * and large bodies, replays and tampered requests. The driver knows what each request must come to. Exit
 * code 1 when one came to anything else, hung, was accepted twice, or a process lost an exception, ended
 * or grew.
 */
import { fork, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/** @typedef {import('node:crypto').KeyObject} KeyObject */
/** @typedef {{ rss: number, heapUsed: number, keyIds: string[], uncaught: string[] }} State */
/** @typedef {{ id?: number, result?: State, isRedisReady?: boolean }} Told */
/** @typedef {{ status: number, code: string }} Answer */
/** @typedef {{ method: string, target: string, headers: Record<string, string | string[]>, body: Buffer }} Sent */
/** @typedef {'accept' | 'refuse' | 'undecided'} Expected */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    rate: { type: 'string', default: '200' },
  },
});
const MINUTES = Number(values.minutes);
const SEED = Number(values.seed);
const RATE = Number(values.rate);
if (!(MINUTES > 0) || !Number.isInteger(SEED) || !(RATE > 0)) {
  console.error('--minutes, --seed and --rate are numbers');
  process.exit(1);
}

const CENSUS = 'https://census.service';
const HANG_MILLISECONDS = 15_000;
/** So long after a fault that what is in flight, or connects again, may still see it. */
const GRACE_MILLISECONDS = 4_000;
/** The clock tolerance, and as much again. */
const RESTART_GRACE_MILLISECONDS = 10_000;
/** A request waits for Redis for 100 ms. */
const STALL_MILLISECONDS = 60;
/** How long a token lives, with the tolerance, and a little more. */
const TOKEN_MILLISECONDS = 70_000;
const MEBIBYTE = 1024 * 1024;

/** @type {unknown} */
const built = await import(new URL('../dist/core.js', import.meta.url).href);
const { createServiceAuth } = /** @type {typeof import('../lib/core.js')} */ (built);

const counts = {
  requests: 0,
  accepted: 0,
  refused: 0,
  undecided: 0,
  aborted: 0,
  /** Times at which Redis was slow without being made to be. */
  stalls: 0,
  wronglyAccepted: 0,
  wronglyRefused: 0,
  acceptedTwice: 0,
  hung: 0,
  uncaught: 0,
  crashed: 0,
  leaks: 0,
};
let complaints = 0;
const MOST_PRINTED = 50;
/** @param {keyof typeof counts} kind @param {string} what */
function complain(kind, what) {
  counts[kind]++;
  if (++complaints <= MOST_PRINTED) console.error(`${new Date().toISOString()} ${kind}: ${what}`);
}
process.on('unhandledRejection', (reason) => complain('uncaught', `driver: ${String(reason)}`));
process.on('uncaughtException', (error) => complain('uncaught', `driver: ${String(error)}`));

let randomState = SEED >>> 0;
/** @param {number} below */
function random(below) {
  randomState = (Math.imul(randomState, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((randomState / 2 ** 32) * below);
}
/**
 * @template T
 * @param {readonly T[]} list
 */
const pick = (list) => list[random(list.length)];

const folder = mkdtempSync(join(tmpdir(), 'chaos-'));
let isOver = false;
const endAt = Date.now() + MINUTES * 60_000;

// Redis: keeps what it has said yes to, whatever happens to it.
const redisPort = await freePort();
let redis = startRedis();
let storeTroubleUntil = 0;
let isStoreInTrouble = false;

function startRedis() {
  const args = ['--port', String(redisPort), '--dir', folder, '--save', '', '--appendonly', 'yes'];
  return spawn('redis-server', [...args, '--appendfsync', 'always'], { stdio: 'ignore' });
}

async function freePort() {
  const server = createNetServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** @param {string} command @returns {Promise<boolean>} whether Redis answers with a word of success */
async function redisTakes(command) {
  return await new Promise((resolve) => {
    const socket = connect(redisPort, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.setTimeout(1000, () => socket.destroy());
    socket.once('data', (answer) => {
      resolve(answer.toString().startsWith('+'));
      socket.destroy();
    });
    socket.on('error', () => undefined).on('close', () => resolve(false));
  });
}

/** It has started, and read what it kept. */
const isRedisUp = async () => await redisTakes('PING');

/**
 * A disk or a machine that is busy holds Redis up for longer than a request may wait, which is a fault like
 * those made on purpose: whoever asks Redis from here sees it too.
 */
async function watchRedis() {
  while (!isOver) {
    const begunAt = Date.now();
    const isTaken = await redisTakes('SET chaos:probe 1 PX 1000');
    if (!isTaken || Date.now() - begunAt > STALL_MILLISECONDS) {
      if (!isStoreInTrouble && Date.now() > storeTroubleUntil) counts.stalls++;
      storeTroubleUntil = Date.now() + GRACE_MILLISECONDS;
    }
    await sleep(20);
  }
}

async function troubleRedis() {
  while (!isOver) {
    await sleep(10_000 + random(15_000));
    isStoreInTrouble = true;
    if (random(2) === 0) {
      redis.kill('SIGSTOP');
      await sleep(1000 + random(4000));
      redis.kill('SIGCONT');
    } else {
      redis.kill('SIGKILL');
      await once(redis, 'exit');
      await sleep(random(3000));
      redis = startRedis();
    }
    while (!isOver && !(await isRedisUp())) await sleep(100);
    storeTroubleUntil = Date.now() + GRACE_MILLISECONDS;
    isStoreInTrouble = false;
  }
}

// A run that is stopped leaves no Redis behind.
process.once('exit', () => redis.kill('SIGKILL'));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

// Callers and their keys.
class Caller {
  phase = 0;
  phaseSince = Date.now();
  current = newKey();
  other = newKey();

  /** @param {number} at */
  constructor(at) {
    this.issuer = `https://caller-${at}.service/`;
    this.keyFile = join(folder, `caller-${at}.json`);
    this.write({ current: this.current });
  }

  async start() {
    this.auth = await createServiceAuth({
      issuer: this.issuer,
      signingKey: { keyFile: this.keyFile, checkSeconds: 1 },
      targets: [{ baseUrl: `${CENSUS}/` }],
    });
  }

  /** @param {Record<string, KeyObject>} ring */
  write(ring) {
    const jwks = Object.entries(ring).map(([name, key]) => [name, key.export({ format: 'jwk' })]);
    writeFileSync(`${this.keyFile}.new`, JSON.stringify(Object.fromEntries(jwks)));
    renameSync(`${this.keyFile}.new`, this.keyFile);
  }

  /** One step of docs/keys.md, if it is time. @param {(keyId: string) => Promise<number>} knownBy */
  async rotate(knownBy) {
    const waited = Date.now() - this.phaseSince;
    const isKnown = async (/** @type {KeyObject} */ key) => await knownBy(keyIdOf(key));
    if (this.phase === 0 && waited > 15_000) {
      this.other = newKey();
      this.write({ current: this.current, next: this.other });
    } else if (this.phase === 1 && (await isKnown(this.other)) === receivers.length) {
      this.write({ previous: this.current, current: this.other });
    } else if (this.phase === 2 && waited > TOKEN_MILLISECONDS) {
      this.write({ current: this.other });
    } else if (this.phase === 3 && (await isKnown(this.current)) === 0) {
      withdrawn.push({ issuer: this.issuer, key: this.current });
      this.current = this.other;
    } else return;
    this.phase = (this.phase + 1) % 4;
    this.phaseSince = Date.now();
    if (this.phase === 0) rotations++;
  }
}
let rotations = 0;
/** @type {{ issuer: string, key: KeyObject }[]} */
const withdrawn = [];

function newKey() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}
/** RFC 7638. @param {KeyObject} key */
function keyIdOf(key) {
  const { crv, kty, x, y } = key.export({ format: 'jwk' });
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}
const callers = [0, 1, 2].map((at) => new Caller(at));
await Promise.all(callers.map(async (caller) => await caller.start()));

// The key server.
const KEY_MODES = ['up', 'up', 'slow', '500', 'garbage', 'hang', 'empty', 'cut'];
let keyMode = 'up';
const keyServer = createServer((incoming, response) => {
  const caller = callers[Number(incoming.url?.slice(1))];
  const serve = () => {
    const headers = { 'content-type': 'application/jwk-set+json', 'cache-control': 'max-age=60' };
    response.writeHead(200, headers).end(JSON.stringify(caller.auth?.publishedKeys()));
  };
  if (keyMode === 'up') serve();
  else if (keyMode === 'slow') setTimeout(serve, 2000);
  else if (keyMode === '500') response.writeHead(500).end();
  else if (keyMode === 'garbage') response.end('<html>');
  else if (keyMode === 'empty') response.end('{"keys":[]}');
  else if (keyMode === 'cut') response.destroy();
}).listen(0, '127.0.0.1');
await once(keyServer, 'listening');
const keyAddress = keyServer.address();
const keyPort = typeof keyAddress === 'object' ? keyAddress?.port : 0;

async function troubleKeys() {
  while (!isOver) {
    await sleep(8_000 + random(8_000));
    keyMode = pick(KEY_MODES);
  }
}

// Receivers.
class Receiver {
  offset = 0;
  steppedAt = 0;
  /** When its Redis was ready again after a restart; Infinity: it is not. */
  redisReadyAt = -Infinity;
  /** @type {Map<number, (state: State) => void>} */
  waiting = new Map();
  lastId = 0;
  /** @type {State[]} */
  samples = [];

  /** @param {string} adapter @param {ChildProcess} child @param {number} port */
  constructor(adapter, child, port) {
    this.adapter = adapter;
    this.child = child;
    this.port = port;
    child.on('message', (/** @type {Told} */ { id, result, isRedisReady }) => {
      if (isRedisReady !== undefined) this.noteRedis(isRedisReady);
      else if (id !== undefined && result) {
        this.waiting.get(id)?.(result);
        this.waiting.delete(id);
      }
    });
    child.on('exit', (code) => {
      if (!isOver) complain('crashed', `${adapter} exited with ${code}`);
    });
  }

  /** @param {string} adapter */
  static async start(adapter) {
    const trusted = callers.map(({ issuer }, at) => ({
      issuer,
      jwksUri: `http://127.0.0.1:${keyPort}/${at}`,
    }));
    const program = fileURLToPath(new URL('chaos/receiver.mjs', import.meta.url));
    const child = fork(program, [adapter, String(redisPort), JSON.stringify(trusted)], {
      execArgv: ['--expose-gc'],
    });
    for (;;) {
      const [{ port }] = /** @type {[{ port?: number }]} */ (await once(child, 'message'));
      if (port !== undefined) return new Receiver(adapter, child, port);
    }
  }

  /** @param {boolean} isReady */
  noteRedis(isReady) {
    this.redisReadyAt = isReady ? Date.now() : Infinity;
  }

  /**
   * A Redis that was started anew may lack uses, so tokens that were issued before are undecided: by the clock of this
   * receiver, to which tokens are older the further it is ahead.
   */
  get storeTroubleUntil() {
    return this.redisReadyAt + RESTART_GRACE_MILLISECONDS + Math.max(0, this.offset) * 1000;
  }

  /** @param {'tell' | 'step'} task @param {number} [milliseconds] @returns {Promise<State>} */
  async ask(task, milliseconds) {
    const id = ++this.lastId;
    return await new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.child.send({ id, task, milliseconds });
    });
  }

  /** @param {number} seconds */
  async step(seconds) {
    this.steppedAt = Infinity;
    await this.ask('step', seconds * 1000);
    this.offset = seconds;
    this.steppedAt = Date.now();
  }
}
/** @type {Receiver[]} */
const receivers = await Promise.all(['express', 'fastify'].map((each) => Receiver.start(each)));

async function troubleClocks() {
  while (!isOver) {
    await sleep(12_000 + random(10_000));
    const receiver = pick(receivers);
    await receiver.step(pick([-3600, -30, -3, 3, 30]));
    await sleep(5_000);
    await receiver.step(0);
  }
}

/** @param {string} keyId */
async function countKnowing(keyId) {
  const states = await Promise.all(receivers.map((each) => each.ask('tell')));
  return states.filter(({ keyIds }) => keyIds.includes(keyId)).length;
}

async function rotateKeys() {
  while (!isOver) {
    await sleep(2_000);
    for (const caller of callers) await caller.rotate(countKnowing);
  }
}

// Requests.
/** @param {Sent} sent @param {Caller} caller @returns {Promise<Sent>} */
async function signed({ method, target, headers, body }, caller) {
  const url = CENSUS + target;
  const token = await caller.auth?.sign({ method, url, headers, body });
  return { method, target, headers: { ...headers, jwt: token ?? '' }, body };
}

/** @returns {Sent} */
function anyRequest() {
  const json = { 'content-type': 'application/json' };
  const nobody = Buffer.alloc(0);
  switch (random(6)) {
    case 0: {
      const headers = { 'content-type': 'application/octet-stream' };
      const body = Buffer.alloc(50_000 + random(400_000), random(256));
      return random(4) === 0
        ? { method: 'POST', target: '/upload', headers, body }
        : { method: 'GET', target: '/thing/0', headers: {}, body: nobody };
    }
    case 1:
    case 2: {
      const body = Buffer.from(JSON.stringify({ id: randomUUID(), fill: 'x'.repeat(random(2e4)) }));
      return { method: 'POST', target: '/thing', headers: json, body };
    }
    default:
      return { method: 'GET', target: `/thing/${random(1e6)}?a=b`, headers: {}, body: nobody };
  }
}

/** @param {unknown} value */
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token that is good but for what differs. @param {{ issuer: string, key: KeyObject, kid?: string }} by @param {object} claims */
function forged({ issuer, key, kid = keyIdOf(key) }, claims = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const good = { iss: issuer, aud: `${CENSUS}/`, iat, exp: iat + 60, jti: randomUUID() };
  const payload = { ...good, req: 'GET /thing/1', ...claims };
  const input = `${encode({ alg: 'ES256', kid, typ: 'svc+jwt' })}.${encode(payload)}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const strangerKey = newKey();
/** Changes that must be refused, whatever else happens. @type {[string, (sent: Sent) => Sent][]} */
const TAMPERINGS = [
  ['target', (sent) => ({ ...sent, target: `${sent.target}1` })],
  [
    'query',
    (sent) => ({ ...sent, target: `${sent.target}${sent.target.includes('?') ? '&' : '?'}c` }),
  ],
  [
    'body',
    (sent) => ({
      ...sent,
      method: 'POST',
      target: '/thing',
      headers: { ...sent.headers, 'content-type': 'application/json' },
      body: Buffer.from('{"changed":true}'),
    }),
  ],
  ['no token', (sent) => withToken(sent, undefined)],
  ['empty token', (sent) => withToken(sent, '')],
  ['garbage', (sent) => withToken(sent, 'a.b.c')],
  ['dots', (sent) => withToken(sent, '.'.repeat(8000))],
  ['too large', (sent) => withToken(sent, 'a'.repeat(8193))],
  [
    'two tokens',
    (sent) => withToken(sent, [String(sent.headers['jwt']), String(sent.headers['jwt'])]),
  ],
  [
    'signature',
    (sent) =>
      withToken(
        sent,
        edited(sent, 2, (part) => part.slice(4) + part.slice(0, 4)),
      ),
  ],
  [
    'payload',
    (sent) =>
      withToken(
        sent,
        edited(sent, 1, () => encode({ iss: callers[0].issuer })),
      ),
  ],
  [
    'alg none',
    (sent) =>
      withToken(
        sent,
        edited(sent, 0, () => encode({ alg: 'none', typ: 'svc+jwt', kid: 'x' })),
      ),
  ],
];

/** @param {Sent} sent @param {string | string[] | undefined} token @returns {Sent} */
function withToken(sent, token) {
  const { jwt: _jwt, ...headers } = sent.headers;
  return { ...sent, headers: token === undefined ? headers : { ...headers, jwt: token } };
}
/** @param {Sent} sent @param {number} at @param {(part: string) => string} edit */
function edited(sent, at, edit) {
  const parts = String(sent.headers['jwt']).split('.');
  return parts.map((part, index) => (index === at ? edit(part) : part)).join('.');
}

/** @param {Receiver} receiver @param {Sent} sent @param {boolean} isSlow @returns {Promise<Answer>} */
async function send({ port }, { method, target, headers, body }, isSlow) {
  return await new Promise((resolve, reject) => {
    const framing = body.length > 0 && !isSlow ? { 'content-length': body.length } : {};
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path: target,
        agent: false,
        headers: { ...headers, ...framing },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (/** @type {string} */ chunk) => (text += chunk));
        response.on('error', reject).on('end', () => {
          const code = /"code":"(\w+)"/.exec(text)?.[1] ?? '';
          resolve({ status: response.statusCode ?? 0, code });
        });
      },
    );
    outgoing.setTimeout(HANG_MILLISECONDS, () => outgoing.destroy(new Error('hung')));
    outgoing.on('error', reject);
    if (!isSlow) outgoing.end(body);
    else {
      outgoing.write(body.subarray(0, body.length >> 1));
      setTimeout(() => outgoing.end(body.subarray(body.length >> 1)), 500 + random(1500));
    }
  });
}

/** Tokens that were accepted, and when. @type {Map<string, number>} */
const accepted = new Map();
/** @type {{ sent: Sent, at: number }[]} */
const used = [];

/** Sends a request, and compares what came of it. @param {Sent} sent @param {Expected} wanted @param {string} kind */
async function judge(sent, wanted, kind, isSlow = false) {
  const receiver = pick(receivers);
  const begunAt = Date.now();
  const isTroubled = () =>
    isStoreInTrouble || begunAt < Math.max(storeTroubleUntil, receiver.storeTroubleUntil);
  const wasTroubled = isTroubled();
  const { offset, steppedAt } = receiver;
  counts.requests++;
  /** @type {Answer} */
  let answer;
  try {
    answer = await send(receiver, sent, isSlow);
  } catch (error) {
    const hung = String(error).includes('hung') || Date.now() - begunAt >= HANG_MILLISECONDS;
    // A refusal may come, and the connection end, while a body is still being sent.
    const size = `${sent.method} ${sent.target}, ${sent.body.length} bytes`;
    const told = `${kind} at ${receiver.adapter} (${offset} s), ${size}, keys ${keyMode}`;
    const isEarly = wanted !== 'accept' && sent.body.length > 0;
    if (hung) complain('hung', `${told} after ${Date.now() - begunAt} ms`);
    else if (!isEarly) complain('wronglyRefused', `${told}: ${String(error)}`);
    return;
  }
  const { status, code } = answer;
  const is503 = status === 503;
  const told = `${kind} at ${receiver.adapter} (${offset} s): ${status} ${code}`;
  const token = String(sent.headers['jwt']);
  if (status < 300) {
    counts.accepted++;
    if (wanted === 'refuse') complain('wronglyAccepted', told);
    if (accepted.has(token)) complain('acceptedTwice', told);
    accepted.set(token, begunAt);
    if (random(4) === 0) used.push({ sent, at: Date.now() });
    return;
  }
  counts[is503 ? 'undecided' : 'refused']++;
  if (wanted !== 'accept') {
    // A replay may name a key that was withdrawn since, which nobody can tell while the key server is down.
    const isKeyAnswer = code === 'key_unavailable' && (wanted === 'undecided' || kind === 'replay');
    const isStoreAnswer = code === 'replay_store_unavailable';
    if (status >= 500 && !isKeyAnswer && !isStoreAnswer) complain('wronglyRefused', told);
    return;
  }
  const isStepping = steppedAt !== receiver.steppedAt || begunAt - steppedAt < 1000;
  const isClockWrong = offset < -4 && code === 'token_not_yet_valid';
  const isStoreAway = code === 'replay_store_unavailable' && (wasTroubled || isTroubled());
  if (!isStepping && !isClockWrong && !isStoreAway) complain('wronglyRefused', told);
}

/** Goes away in the middle of a request. @param {Sent} sent */
async function abort(sent) {
  counts.aborted++;
  const { port } = pick(receivers);
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const lines = Object.entries(sent.headers).map(([name, value]) => `${name}: ${String(value)}`);
  const head = [`${sent.method} ${sent.target} HTTP/1.1`, 'Host: x', ...lines];
  const text = [...head, `Content-Length: ${sent.body.length + 10}`, '', 'half'].join('\r\n');
  socket.write(text, () => socket.destroy());
  await once(socket, 'close');
}

async function oneRequest() {
  const caller = pick(callers);
  const kind = random(100);
  if (kind < 45) return await judge(await signed(anyRequest(), caller), 'accept', 'good');
  if (kind < 48) {
    const sent = await signed(anyRequest(), caller);
    return await judge(sent, 'accept', 'slow', sent.body.length > 1);
  }
  if (kind < 70) {
    const [name, tamper] = pick(TAMPERINGS);
    return await judge(tamper(await signed(anyRequest(), caller)), 'refuse', name);
  }
  if (kind < 80 && used.length > 0) return await judge(pick(used).sent, 'refuse', 'replay');
  if (kind < 84) {
    // At once, to both: at most one is accepted.
    const sent = await signed(anyRequest(), caller);
    await Promise.all([1, 2].map(async () => await judge(sent, 'undecided', 'twice at once')));
    return;
  }
  if (kind < 88) return await abort(await signed(anyRequest(), caller));
  const target = '/thing/1';
  const unsigned = { method: 'GET', target, headers: {}, body: Buffer.alloc(0) };
  const { issuer, current } = caller;
  const stranger = { issuer, key: strangerKey };
  /** @type {[string, string, Expected][]} */
  const forgeries = [
    ['unknown key', forged({ ...stranger, kid: randomUUID() }), 'undecided'],
    ['wrong key', forged({ ...stranger, kid: keyIdOf(current) }), 'undecided'],
    ['unknown issuer', forged({ issuer: `https://${randomUUID()}/`, key: current }), 'refuse'],
    ['expired', forged({ issuer, key: current }, { iat: 1, exp: 61 }), 'undecided'],
    ['audience', forged({ issuer, key: current }, { aud: issuer }), 'undecided'],
    ['lifetime', forged({ issuer, key: current }, { exp: 9e9 }), 'undecided'],
  ];
  const old = withdrawn.at(-1);
  if (old) forgeries.push(['withdrawn key', forged(old), 'undecided']);
  const [name, token, wanted] = pick(forgeries);
  const before = counts.wronglyAccepted;
  await judge(withToken(unsigned, token), wanted, name);
  // None of these is ever accepted: what is open is only whether it can be decided now.
  if (accepted.has(token) && counts.wronglyAccepted === before) complain('wronglyAccepted', name);
}

async function load() {
  /** @type {Set<Promise<void>>} */
  const inFlight = new Set();
  while (Date.now() < endAt) {
    for (let at = 0; at < RATE / 20 && inFlight.size < RATE * 2; at++) {
      const one = oneRequest()
        .catch((error) => complain('uncaught', `driver: ${String(error)}`))
        .finally(() => inFlight.delete(one));
      inFlight.add(one);
    }
    const oldest = Date.now() - 2 * TOKEN_MILLISECONDS;
    while (used.length > 3000 || (used[0]?.at ?? Infinity) < oldest) used.shift();
    for (const [token, at] of accepted) {
      if (at >= oldest - TOKEN_MILLISECONDS) break;
      accepted.delete(token);
    }
    await sleep(50);
  }
  await Promise.all(inFlight);
}

async function watch() {
  const startedAt = Date.now();
  for (let sample = 1; !isOver; sample++) {
    await sleep(Math.min(30_000, Math.max(1000, MINUTES * 2000)));
    for (const receiver of receivers) {
      const state = await receiver.ask('tell');
      receiver.samples.push(state);
      for (const text of state.uncaught) complain('uncaught', `${receiver.adapter}: ${text}`);
    }
    if (sample % 2 === 1 && MINUTES > 2) continue;
    const minutes = ((Date.now() - startedAt) / 60_000).toFixed(1);
    const { requests, accepted: yes, refused: no, undecided } = counts;
    const rss = receivers.map((each) => Math.round((each.samples.at(-1)?.rss ?? 0) / MEBIBYTE));
    console.log(
      `${minutes} min: ${requests} requests, ${yes} accepted, ${no} refused, ${undecided} undecided; ` +
        `${rotations} rotations, keys ${keyMode}; RSS ${rss.join(' and ')} MiB; ${complaints} complaints`,
    );
  }
}

/** Compares the last third of the samples with the one before it. */
function judgeMemory() {
  for (const { adapter, samples } of receivers) {
    const third = Math.floor(samples.length / 3);
    for (const what of /** @type {const} */ (['rss', 'heapUsed'])) {
      const mean = (/** @type {State[]} */ some) =>
        some.reduce((sum, state) => sum + state[what], 0) / some.length;
      const before = mean(samples.slice(third, 2 * third));
      const after = mean(samples.slice(2 * third));
      const growth = after - before;
      const text = `${adapter} ${what}: ${(before / MEBIBYTE).toFixed(1)} -> ${(after / MEBIBYTE).toFixed(1)} MiB`;
      console.log(text);
      if (growth > Math.max(before * 0.1, 10 * MEBIBYTE)) complain('leaks', text);
    }
  }
}

console.log(`seed ${SEED}, ${MINUTES} minutes, about ${RATE} requests a second`);
void troubleRedis();
void watchRedis();
void troubleKeys();
void troubleClocks();
void rotateKeys();
void watch();
await load();
isOver = true;
judgeMemory();
console.table(counts);
for (const { child } of receivers) child.disconnect();
for (const { auth } of callers) auth?.close();
redis.kill('SIGKILL');
keyServer.close();
keyServer.closeAllConnections();
rmSync(folder, { recursive: true, force: true });
process.exit(complaints > 0 ? 1 : 0);
