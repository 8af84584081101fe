/**
 * Whole requests to Nest on Express and on Fastify: what it costs to authenticate them, with this library and with
 * others. A server process for each variant; load comes from this process. What authentication costs is a variant
 * less the application without authentication, in the same round.
 */
import { createRequestSigner, KINDS, toBytes } from './http-requests.mjs';
import { costAbove, medianCost, pairedRatios } from './measure.mjs';
import { failureOf } from './request-control.mjs';
import { LoadedServer, measureServers } from './server-rounds.mjs';
import { startRedis } from './servers/redis.mjs';
import { spread } from './statistics.mjs';
import { ALGORITHMS, createKeyPair } from './tokens.mjs';

/** @typedef {import('./http-requests.mjs').Kind} Kind */
/** @typedef {import('./measure.mjs').Measured} Measured */
/** @typedef {import('./servers/server-process.mjs').Adapter} Adapter */
/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/**
 * @typedef {import('./request-control.mjs').Manners & {
 *   name: string,
 *   authentication: import('./servers/authentications.mjs').AuthenticationName,
 *   needsRedis?: boolean,
 * }} Variant
 */
/** @typedef {import('./http-requests.mjs').SignedRequest} SignedRequest */
/** @typedef {Awaited<ReturnType<typeof createRequestSigner>>} RequestSigner */
/** @typedef {ReturnType<typeof spread>} Spread */
/** @typedef {{ adapter: Adapter, algorithm: BenchAlgorithm, request: string }} About */
/** @typedef {ReturnType<typeof toRows>[number]} MeasuredRow */
/** @typedef {About & (MeasuredRow | { variant: string, failure: string })} Row */
/** What the servers of a plan are asked, in turn. @typedef {{ kind: Kind } & import('./server-rounds.mjs').Plan} Task */
/** Servers that live at the same time. @typedef {{ adapter: Adapter, algorithm: BenchAlgorithm, variants: readonly Variant[], tasks: readonly Task[] }} Plan */
/** @typedef {LoadedServer<Variant>} Server */

const NO_AUTH = 'no authentication';
const OURS = 'this library, replay memory';
const PASSPORT = 'passport-jwt, PEM';
const JOSE = 'jose guard with body hash';

/** @type {readonly Variant[]} */
const VARIANTS = [
  { name: NO_AUTH, authentication: 'none' },
  { name: OURS, authentication: 'service-auth', ...ours({ isSingleUse: true }) },
  {
    name: 'this library, replay Redis',
    authentication: 'service-auth, Redis',
    ...ours({ isSingleUse: true }),
    needsRedis: true,
  },
  { name: 'this library, replay off', authentication: 'service-auth, forgetful', ...ours({}) },
  { name: PASSPORT, authentication: 'passport-jwt, PEM', tokenHeader: 'Authorization' },
  {
    name: 'passport-jwt, KeyObject',
    authentication: 'passport-jwt, KeyObject',
    tokenHeader: 'Authorization',
  },
  { name: '@nestjs/jwt, PEM', authentication: '@nestjs/jwt', tokenHeader: 'Authorization' },
  { name: JOSE, authentication: 'jose', tokenHeader: 'Authorization', verifiesBody: true },
];

/** @param {Pick<Variant, 'isSingleUse'>} more @returns {Pick<Variant, 'tokenHeader' | 'verifiesBody' | 'isSingleUse'>} */
function ours(more) {
  return { tokenHeader: 'JWT', verifiesBody: true, ...more };
}

const CAPTION = `
Whole requests: microseconds of CPU of the server for each request, medians; "auth" is what is above no authentication
in the same round; ratios are of auth, to ${PASSPORT} and to the ${JOSE}, with the middle half.
passport-jwt and @nestjs/jwt as their documentation shows them do not look at the body, and no peer remembers used
tokens. The CPU time of Redis itself is not counted.`;

/** @param {{ quick: boolean }} options */
export async function runRequests({ quick }) {
  console.log(CAPTION);
  const redis = await startRedis();
  if (!redis) console.log('Without Redis: no redis-server is installed.');
  const rows = [];
  try {
    for (const plan of plansFor(quick)) {
      rows.push(...(await measurePlan(plan, redis?.port)));
    }
  } finally {
    await redis?.stop();
  }
  return { section: 'requests', rows };
}

/** @param {boolean} quick @returns {Plan[]} */
function plansFor(quick) {
  const [post, get, largePost] = KINDS;
  if (quick) {
    const tasks = [{ kind: post, rounds: 7, perRound: 300, warmup: 3000 }];
    const few = VARIANTS.filter(({ name }) => [NO_AUTH, OURS, PASSPORT, JOSE].includes(name));
    return [
      { adapter: 'fastify', algorithm: 'ES256', variants: few, tasks },
      { adapter: 'express', algorithm: 'ES256', variants: few, tasks },
    ];
  }
  // The first task makes the servers warm for those that follow.
  const tasks = [
    { kind: post, rounds: 15, perRound: 300, warmup: 6000 },
    { kind: get, rounds: 7, perRound: 300, warmup: 600 },
    { kind: largePost, rounds: 9, perRound: 100, warmup: 300 },
  ];
  return ALGORITHMS.flatMap((algorithm) =>
    /** @type {const} */ (['fastify', 'express']).map((adapter) => ({
      adapter,
      algorithm,
      variants: VARIANTS,
      tasks,
    })),
  );
}

/** @param {Plan} plan @param {number | undefined} redisPort @returns {Promise<Row[]>} */
async function measurePlan({ adapter, algorithm, variants, tasks }, redisPort) {
  const { privateKey, publicKey } = createKeyPair(algorithm);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const sign = await createRequestSigner(algorithm, privateKey);
  const possible = variants.filter(({ needsRedis }) => !needsRedis || redisPort !== undefined);
  const starting = possible.map(async (variant) => {
    const { authentication } = variant;
    const config = { adapter, authentication, algorithm, publicKey: pem, redisPort };
    return await LoadedServer.start(variant, config);
  });
  /** @type {readonly Server[]} */
  const servers = await Promise.all(starting);
  try {
    const rows = [];
    for (const task of tasks) {
      const about = { adapter, algorithm, request: task.kind.name };
      rows.push(...(await measureTask(servers, task, sign, about)));
    }
    return rows;
  } finally {
    await Promise.all(servers.map(async (server) => await server.stop()));
  }
}

/** @param {readonly Server[]} servers @param {Task} task @param {RequestSigner} sign @param {About} about @returns {Promise<Row[]>} */
async function measureTask(servers, task, sign, about) {
  const fit = [];
  const unfit = [];
  for (const server of servers) {
    const failure = await failureOf(server, task.kind, sign);
    if (failure === undefined) fit.push(server);
    else unfit.push({ ...about, variant: server.variant.name, failure });
  }
  const prepare = async (/** @type {number} */ count) => {
    const signing = Array.from({ length: count }, async () => await sign(task.kind));
    const requests = await Promise.all(signing);
    return (/** @type {Variant} */ { tokenHeader }) =>
      requests.map((request) => toBytes(request, tokenHeader));
  };
  const measured = await measureServers(fit, task, prepare);
  const rows = toRows(measured).map((row) => ({ ...about, ...row }));
  const { adapter, algorithm, request } = about;
  console.log(`\n${request}, ${algorithm}, ${adapter}: ${task.rounds} rounds of ${task.perRound}`);
  console.table(rows.map(toPrinted));
  for (const { variant, failure } of unfit) console.log(`${variant}: not measured. ${failure}`);
  return [...rows, ...unfit];
}

/** @param {readonly Measured[]} measured */
function toRows(measured) {
  const find = (/** @type {string} */ name) => measured.find((each) => each.name === name);
  const noAuth = find(NO_AUTH);
  if (noAuth === undefined) throw new Error('no authentication was not measured');
  const authOf = (/** @type {Measured | undefined} */ each) => each && costAbove(each, noAuth);
  const peers = { toPassport: authOf(find(PASSPORT)), toJose: authOf(find(JOSE)) };
  return measured.map((each) => {
    const auth = costAbove(each, noAuth);
    const ratiosTo = (/** @type {Measured | undefined} */ peer) =>
      peer &&
      each !== noAuth && {
        all: spread(pairedRatios(auth, peer)),
        main: spread(pairedRatios(auth, peer, 'main')),
      };
    return {
      variant: each.name,
      microseconds: medianCost(each),
      mainThread: medianCost(each, 'main'),
      auth: medianCost(auth),
      authMainThread: medianCost(auth, 'main'),
      toPassport: ratiosTo(peers.toPassport) || undefined,
      toJose: ratiosTo(peers.toJose) || undefined,
    };
  });
}

/** @param {MeasuredRow} row */
function toPrinted({ variant, microseconds, mainThread, auth, authMainThread, ...ratios }) {
  const { toPassport, toJose } = ratios;
  return {
    variant,
    'all threads': Math.round(microseconds),
    'main thread': Math.round(mainThread),
    auth: Math.round(auth),
    'auth, main': Math.round(authMainThread),
    'to passport': inWords(toPassport?.all),
    'to jose': inWords(toJose?.all),
    'to jose, main': inWords(toJose?.main),
  };
}

/** @param {Spread | undefined} ratio */
function inWords(ratio) {
  if (!ratio) return '';
  const [median, lower, upper] = [ratio.median, ratio.lower, ratio.upper].map((each) =>
    each.toFixed(2),
  );
  return `${median} (${lower} to ${upper})`;
}
