/** How cost grows with connections, up to 2,000 with a request on each: no authentication, and this library. */
import { readFileSync } from 'node:fs';
import { createRequestSigner, KINDS, toBytes } from '../http-requests.mjs';
import { costAbove, medianCost } from '../measure.mjs';
import { failureOf } from '../request-control.mjs';
import { LoadedServer, measureServers } from '../server-rounds.mjs';
import { createKeyPair } from '../tokens.mjs';

/** @typedef {import('../servers/server-process.mjs').Adapter} Adapter */
/**
 * Microseconds of CPU for each request; the most memory of the process above what it took before the connections, for
 * each of them, in KiB.
 *
 * @typedef {{ what: string, adapter: Adapter, count: number, unguarded: number, guarded: number, auth: number,
 *   authMainThread: number, unguardedPeakEach: number | undefined, guardedPeakEach: number | undefined }} ConnectionRow
 */

const ALGORITHM = /** @type {const} */ ('ES256');
const [POST] = KINDS;
/** Besides its connections a process has a few files open. */
const OTHER_FILES = 100;

/** @type {readonly { name: string, authentication: import('../servers/authentications.mjs').AuthenticationName }[]} */
const VARIANTS = [
  { name: 'unguarded', authentication: 'none' },
  { name: 'guarded', authentication: 'service-auth' },
];

/** @param {boolean} quick */
export async function measureConnections(quick) {
  const counts = quick ? [1000] : [1, 10, 100, 1000, 2000];
  const possible = counts.filter((count) => count + OTHER_FILES <= mostOpenFiles());
  /** @type {ConnectionRow[]} */
  const rows = [];
  for (const adapter of /** @type {readonly Adapter[]} */ (
    quick ? ['fastify'] : ['fastify', 'express']
  )) {
    for (const count of possible) rows.push(await measureCount(adapter, count, quick));
  }
  console.log(
    '\ngrowth, connections: microseconds of CPU for each POST of 1 KiB, one on each connection at a time, ' +
      'medians; peak memory in KiB for each connection',
  );
  console.table(rows.map(toPrinted));
  for (const count of counts.filter((each) => !possible.includes(each))) {
    console.log(`${count} connections: not measured. A process may open ${mostOpenFiles()} files.`);
  }
  return rows;
}

/** @param {Adapter} adapter @param {number} count @param {boolean} quick @returns {Promise<ConnectionRow>} */
async function measureCount(adapter, count, quick) {
  const { privateKey, publicKey } = createKeyPair(ALGORITHM);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const sign = await createRequestSigner(ALGORITHM, privateKey);
  const servers = [];
  for (const { name, authentication } of VARIANTS) {
    const config = { adapter, authentication, algorithm: ALGORITHM, publicKey: pem };
    const manners = authentication === 'none' ? {} : GUARDED;
    servers.push(await LoadedServer.start({ name, ...manners }, config, count));
  }
  try {
    const before = servers.map(({ process }) => process.memory()?.resident);
    for (const server of servers) {
      const failure = await failureOf(server, POST, sign);
      if (failure !== undefined) throw new Error(`${server.variant.name}, ${count}: ${failure}`);
    }
    const plan = {
      rounds: quick ? 5 : 9,
      perRound: Math.max(500, 2 * count),
      warmup: quick ? 3000 : 8000,
    };
    const [unguarded, guarded] = await measureServers(servers, plan, async (length) => {
      const signing = Array.from({ length }, async () => await sign(POST));
      const requests = await Promise.all(signing);
      return () => requests.map((request) => toBytes(request, 'JWT'));
    });
    const [unguardedPeakEach, guardedPeakEach] = servers.map(({ process }, at) => {
      const peak = process.memory()?.peak;
      return peak === undefined ? undefined : ((peak - (before[at] ?? 0)) * 1024) / count;
    });
    const auth = costAbove(guarded, unguarded);
    return {
      what: 'connections',
      adapter,
      count,
      unguarded: medianCost(unguarded),
      guarded: medianCost(guarded),
      auth: medianCost(auth),
      authMainThread: medianCost(auth, 'main'),
      unguardedPeakEach,
      guardedPeakEach,
    };
  } finally {
    await Promise.all(servers.map(async (server) => await server.stop()));
  }
}

/** @type {import('../request-control.mjs').Manners} */
const GUARDED = { tokenHeader: 'JWT', verifiesBody: true, isSingleUse: true };

/** How many files a process may have open; without an end where the system does not tell. */
function mostOpenFiles() {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

/** @param {ConnectionRow} row */
function toPrinted({ adapter, count, ...row }) {
  const whole = (/** @type {number | undefined} */ value) =>
    value === undefined ? undefined : Math.round(value);
  return {
    adapter,
    connections: count,
    unguarded: Number(row.unguarded.toFixed(1)),
    guarded: Number(row.guarded.toFixed(1)),
    auth: Number(row.auth.toFixed(1)),
    'auth, main': Number(row.authMainThread.toFixed(1)),
    'memory each, unguarded': whole(row.unguardedPeakEach),
    'memory each, guarded': whole(row.guardedPeakEach),
  };
}
