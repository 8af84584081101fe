/**
 * How cost grows with what a receiver knows (the issuers it trusts, the keys of one of them, the tokens it remembers),
 * with bodies and with connections.
 * What is remembered is measured in a process of its own for each size, since only a fresh one tells how much memory
 * that is.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { measureBodies } from './growth/bodies.mjs';
import { measureConnections } from './growth/connections.mjs';
import { measure, medianCost, pairedRatios } from './measure.mjs';
import { spread } from './statistics.mjs';
import { CENSUS, createKeyPair, HERALD, KEY_ID, NOW_SECONDS, received, tamper } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').Received} Received */
/** @typedef {import('./measure.mjs').Variant} Variant */
/** @typedef {import('./growth/replay-memory.mjs').ReplayRow} ReplayRow */
/** @typedef {{ what: string, count: string, microseconds: number, toFewest: ReturnType<typeof spread> }} GrowthRow */

const REPLAY_MEMORY = fileURLToPath(new URL('growth/replay-memory.mjs', import.meta.url));
/** How many different callers, or keys of one, send the requests. */
const SENDERS = 1000;

/** So many are known, and so many of them used, as far as there are. @typedef {{ known: number, used: number }} Senders */

/** @param {{ quick: boolean }} options */
export async function runGrowth({ quick }) {
  const most = quick ? 1000 : 10_000;
  const counts = (quick ? [1, 1000] : [1, 10, 100, 1000, 10_000]).map(toSenders);
  const plan = { rounds: quick ? 7 : 21, warmups: 6, perRound: 400, inFlight: 50 };
  // One of many shows what their number costs; each in turn adds what it costs to meet another one.
  const ofMany = [...counts, { known: most, used: 1 }];
  const issuers = await measureCounts('trusted issuers', ofMany, issuersVariant, plan);
  const keys = await measureCounts('keys of one issuer', counts.slice(0, 4), keysVariant, plan);
  /** @type {ReplayRow[]} */
  const replay = [];
  for (const entries of quick ? [1000, 100_000] : [1000, 10_000, 100_000, 1_000_000]) {
    replay.push(await measureReplay(entries));
  }
  console.log('\ngrowth: the memory replay store, a process for each size');
  console.table(
    replay.map(({ swept, idle, ...row }) => ({
      ...row,
      'longest use': swept.longest,
      'of it CPU, at most': swept.cpu,
      'longest collection': swept.garbage,
      'longest without a store': idle.longest,
      'CPU without': idle.cpu,
    })),
  );
  const bodies = await measureBodies(quick);
  const connections = await measureConnections(quick);
  return {
    section: 'growth',
    rows: [...issuers, ...keys, ...replay, ...bodies, ...connections],
  };
}

/** @param {number} known @returns {Senders} */
const toSenders = (known) => ({ known, used: Math.min(SENDERS, known) });

/**
 * @param {string} what
 * @param {readonly Senders[]} counts
 * @param {(senders: Senders) => Promise<Variant>} toVariant
 * @param {import('./measure.mjs').Plan} plan
 * @returns {Promise<GrowthRow[]>}
 */
async function measureCounts(what, counts, toVariant, plan) {
  const variants = await Promise.all(counts.map(toVariant));
  const { measured, unfit } = await measure(variants, plan);
  for (const { name, failure } of unfit) console.log(`${name}: not measured. ${failure}`);
  const [fewest] = measured;
  if (fewest === undefined) throw new Error('nothing could be measured');
  const rows = measured.map((each) => ({
    what,
    count: each.name,
    microseconds: medianCost(each),
    toFewest: spread(pairedRatios(each, fewest)),
  }));
  console.log(
    `\ngrowth, ${what}: verifying with ES256, microseconds of CPU for each, medians of ${plan.rounds} rounds of ${plan.perRound}`,
  );
  console.table(rows.map(toPrinted));
  return rows;
}

/** @param {GrowthRow} row */
function toPrinted({ count, microseconds, toFewest: { median, lower, upper } }) {
  return {
    count,
    'all threads': Number(microseconds.toFixed(1)),
    'to the fewest': Number(median.toFixed(2)),
    'middle half': `${lower.toFixed(2)} to ${upper.toFixed(2)}`,
  };
}

/** @param {Senders} senders */
async function issuersVariant(senders) {
  const { privateKey, publicKey } = createKeyPair('ES256');
  const names = Array.from({ length: senders.known }, (_, at) => `${HERALD}${at}/`);
  const keys = [{ publicKey, keyId: KEY_ID }];
  const census = await createReceiver(names.map((issuer) => ({ issuer, keys })));
  const callers = evenly(names, senders).map((issuer) => ({ issuer, privateKey, keyId: KEY_ID }));
  return await toVariant(senders, census, callers);
}

/** @param {Senders} senders */
async function keysVariant(senders) {
  const pairs = Array.from({ length: senders.known }, () => createKeyPair('ES256'));
  const keys = pairs.map(({ publicKey }, at) => ({ publicKey, keyId: `key-${at}` }));
  const census = await createReceiver([{ issuer: HERALD, keys }]);
  const callers = pairs.map(({ privateKey }, at) => ({
    issuer: HERALD,
    privateKey,
    keyId: `key-${at}`,
  }));
  return await toVariant(senders, census, evenly(callers, senders));
}

/** @param {object[]} trustedIssuers */
async function createReceiver(trustedIssuers) {
  return await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: /** @type {import('nestjs-service-auth').TrustedIssuerOptions[]} */ (
      trustedIssuers
    ),
    replayStore: { recordUse: () => 'first' },
    now: () => NOW_SECONDS * 1000,
  });
}

/**
 * A sample that reaches from the first to the last.
 *
 * @template T
 * @param {readonly T[]} all
 * @param {Senders} senders
 * @returns {T[]}
 */
function evenly(all, { known, used }) {
  return Array.from({ length: used }, (_, at) => all[Math.floor((at * known) / used)]);
}

/**
 * @param {Senders} senders
 * @param {import('nestjs-service-auth/core').ServiceAuth} census
 * @param {readonly { issuer: string, privateKey: import('node:crypto').KeyObject, keyId: string }[]} callers
 * @returns {Promise<Variant>}
 */
async function toVariant({ known, used }, census, callers) {
  /** @type {Received[]} */
  const requests = [];
  for (let at = 0; at < 2000; at++) {
    const { issuer, privateKey, keyId } = callers[at % callers.length];
    const sender = await createServiceAuth({
      issuer,
      signingKey: { privateKey, keyId, algorithm: 'ES256' },
      targets: [{ baseUrl: CENSUS }],
      now: () => NOW_SECONDS * 1000,
    });
    requests.push(await received(sender));
    sender.close();
  }
  const [good] = requests;
  const token = tamper(good.token);
  const bad = { ...good, rawHeaders: [...good.rawHeaders.slice(0, -1), token] };
  let turn = 0;
  return {
    name: known > 1 ? `${known}, ${used} in use` : '1',
    prepare: (wanted) => Array.from({ length: wanted }, () => requests[turn++ % requests.length]),
    run: (/** @type {Received} */ request) => census.verify(request),
    refuses: [async () => await census.verify(bad)],
  };
}

/** @param {number} entries @returns {Promise<ReplayRow>} */
async function measureReplay(entries) {
  const child = fork(REPLAY_MEMORY, [`${entries}`], { execArgv: ['--expose-gc'] });
  const [row] = /** @type {[ReplayRow]} */ (await once(child, 'message'));
  return row;
}
