/**
 * What a grant costs the core that verifies a request of ES256 with a body of 1 KiB: one that it knows, and one that it
 * sees for the first time. `--base <folder>` adds another build, such as that of a commit before: all are then paired
 * with it. The other folder needs `npm run build`.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { measure, medianCost, pairedRatios } from './measure.mjs';
import { medianInterval, spread } from './statistics.mjs';
import {
  CENSUS,
  createCensus,
  createHerald,
  createKeyPair,
  HERALD,
  KEY_ID,
  NOW_SECONDS,
  outgoing,
  received,
  USER,
} from './tokens.mjs';

/** @typedef {import('./tokens.mjs').Received} Received */
/** @typedef {import('./measure.mjs').Variant} Variant */

/**
 * @typedef {{ inFlight: number, variant: string, failure?: string, microseconds?: number, mainThread?: number,
 *   toFirst?: { median: number, lower: number, upper: number }, interval?: readonly [number, number] }} Row
 */

const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://bench.example.org/';
const subjects = ['https://census.service/user/'];
/** How many distinct tokens take turns. */
const DISTINCT = 2000;
/** How many of them share a grant, as the calls of one request of a user do. */
const SHARED_BY = 20;
const PER_ROUND = 400;
/** @type {import('nestjs-service-auth/core').SubjectProofOptions} */
const REQUIRED = { mode: 'required', withoutSubject: 'refused' };
/** @type {import('nestjs-service-auth/core').ReplayStore} */
const FORGETFUL = { recordUse: () => 'first' };
const IN_FLIGHT = [1, 50];

/** @param {{ quick: boolean, base?: string | undefined }} options */
export async function runGrants({ quick, base }) {
  const plan = { rounds: quick ? 9 : 61, warmups: quick ? 4 : 15, perRound: PER_ROUND };
  const variants = await grantVariants(base);
  /** @type {Row[]} */
  const rows = [];
  for (const inFlight of IN_FLIGHT) {
    const { measured, unfit } = await measure(variants, { ...plan, inFlight });
    const [first] = measured;
    if (first === undefined) throw new Error('nothing could be measured');
    for (const each of measured) {
      const ratios = pairedRatios(each, first);
      rows.push({
        inFlight,
        variant: each.name,
        microseconds: medianCost(each),
        mainThread: medianCost(each, 'main'),
        toFirst: spread(ratios),
        interval: medianInterval(ratios),
      });
    }
    rows.push(...unfit.map(({ name, failure }) => ({ inFlight, variant: name, failure })));
  }
  console.log(
    `\ngrants, ES256: microseconds of CPU for each, medians of ${plan.rounds} rounds of ${PER_ROUND}; paired ratios to the first`,
  );
  console.table(rows.map(toPrinted));
  return { section: 'grants', rows };
}

/** @param {string | undefined} base @returns {Promise<Variant[]>} */
async function grantVariants(base) {
  const caller = createKeyPair('ES256');
  const login = createKeyPair('ES256');
  const herald = await createHerald('ES256', caller.privateKey, { trustDomain: TRUST_DOMAIN });
  const edge = await createServiceAuth({
    issuer: EDGE,
    signingKey: { privateKey: login.privateKey, keyId: KEY_ID },
    targets: [{ baseUrl: HERALD }],
    trustDomain: TRUST_DOMAIN,
    originate: { subjects },
    now: () => NOW_SECONDS * 1000,
  });
  const makeGrant = async () => await edge.issueGrant(USER);

  const plain = await many(DISTINCT, () => received(herald));
  const shared = await many(DISTINCT / SHARED_BY, makeGrant);
  const known = await many(DISTINCT, (at) => withGrant(herald, shared[at % shared.length] ?? ''));
  const fresh = await many(DISTINCT, async () => await withGrant(herald, await makeGrant()));
  const stolen = await edge.issueGrant(`${USER}2/`);
  const foreign = await withGrant(herald, stolen);

  const census = await createCensus('ES256', caller.publicKey);
  const options = {
    issuer: CENSUS,
    trustDomain: TRUST_DOMAIN,
    originators: [
      { issuer: EDGE, keys: [{ publicKey: login.publicKey, keyId: KEY_ID }], subjects },
    ],
    trustedIssuers: [
      {
        issuer: HERALD,
        keys: [{ publicKey: caller.publicKey, keyId: KEY_ID }],
        subjectProof: REQUIRED,
      },
    ],
    replayStore: FORGETFUL,
    now: () => NOW_SECONDS * 1000,
  };
  const proving = await createServiceAuth(options);
  const verify = (/** @type {Received} */ request) => proving.verify(request);
  let forgetful = await createServiceAuth(options);
  const takeFresh = taking(fresh);
  let taken = 0;
  const refuses = [async () => await verify(foreign), async () => await verify(plain[0])];
  return [
    ...(base === undefined ? [] : [await otherBuild(base, caller.publicKey, plain)]),
    {
      name: 'no grant, no proof required',
      prepare: taking(plain),
      run: (/** @type {Received} */ request) => census.verify(request),
    },
    { name: 'a known grant', prepare: taking(known), run: verify, refuses },
    {
      name: 'a new grant',
      prepare: async (count) => {
        // A receiver that has not seen those which come again.
        taken += count;
        if (taken > DISTINCT) {
          forgetful = await createServiceAuth(options);
          taken = count;
        }
        return takeFresh(count);
      },
      run: (/** @type {Received} */ request) => forgetful.verify(request),
      refuses: [async () => await forgetful.verify(foreign)],
    },
  ];
}

/**
 * The same requests without a grant, verified by another build in this process.
 *
 * @param {string} folder @param {import('node:crypto').KeyObject} publicKey @param {readonly Received[]} requests
 * @returns {Promise<Variant>}
 */
async function otherBuild(folder, publicKey, requests) {
  const path = pathToFileURL(resolve(folder, 'dist/core.js')).href;
  const other = /** @type {{ createServiceAuth: typeof createServiceAuth }} */ (await import(path));
  const census = await other.createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [
      { issuer: HERALD, keys: [{ publicKey, keyId: KEY_ID, algorithms: ['ES256'] }] },
    ],
    replayStore: { recordUse: () => 'first' },
    now: () => NOW_SECONDS * 1000,
  });
  return {
    name: 'the other build, no grant',
    prepare: taking(requests),
    run: (/** @type {Received} */ request) => census.verify(request),
  };
}

/** @param {readonly Received[]} requests @returns {(count: number) => Received[]} */
function taking(requests) {
  let turn = 0;
  return (count) => Array.from({ length: count }, () => requests[turn++ % requests.length]);
}

/** @template T @param {number} count @param {(at: number) => Promise<T>} make @returns {Promise<T[]>} */
async function many(count, make) {
  /** @type {T[]} */
  const made = [];
  for (let at = 0; at < count; at++) made.push(await make(at));
  return made;
}

/** @param {import('nestjs-service-auth/core').ServiceAuth} herald @param {string} grant @returns {Promise<Received>} */
async function withGrant(herald, grant) {
  const request = { ...outgoing(), grant };
  const token = (await herald.sign(request)) ?? '';
  const headers = {
    host: 'census.service',
    connection: 'keep-alive',
    accept: 'application/json',
    'content-type': 'application/json',
    'content-length': '1024',
    'Txn-Token': grant,
    JWT: token,
  };
  const rawHeaders = Object.entries(headers).flat();
  return { method: 'POST', target: '/user/?dry=1', rawHeaders, body: request.body, token };
}

/** @param {Row} row */
function toPrinted({ inFlight, variant, failure, microseconds, mainThread, toFirst, interval }) {
  if (failure !== undefined) return { inFlight, variant, failure };
  return {
    inFlight,
    variant,
    'all threads': microseconds?.toFixed(1),
    'main thread': mainThread?.toFixed(1),
    ratio: toFirst?.median.toFixed(3),
    '95 %': interval?.map((end) => end.toFixed(3)).join(' to '),
    'middle half': toFirst && `${toFirst.lower.toFixed(3)} to ${toFirst.upper.toFixed(3)}`,
  };
}
