/**
 * How cost grows with bodies, up to 100 MiB: uploads that the handler reads as they come, to the same application without
 * the guard and with it. Bodies that do not fit in memory wait in a file until they are verified.
 */
import { createHash } from 'node:crypto';
import { cpuTime, cpuTimeSince } from '../cpu-time.mjs';
import { createRequestSigner, toBytes, uploadOf } from '../http-requests.mjs';
import { costAbove, medianCost } from '../measure.mjs';
import { failureOf } from '../request-control.mjs';
import { LoadedServer, measureServers } from '../server-rounds.mjs';
import { createKeyPair } from '../tokens.mjs';

/** @typedef {import('../servers/server-process.mjs').Adapter} Adapter */
/**
 * Microseconds of CPU for each upload, of the hash alone too; the most memory of the process above what it took before,
 * in MiB.
 *
 * @typedef {{ what: string, adapter: Adapter, bytes: number, unguarded: number, guarded: number, auth: number,
 *   authMainThread: number, hash: number, unguardedPeak: number | undefined, guardedPeak: number | undefined }} BodyRow
 */

const ALGORITHM = /** @type {const} */ ('ES256');
const KIB = 1024;
const MIB = 1024 * KIB;

/** Fewer of those that take longer. */
const PLANS = [
  { bytes: 0, rounds: 9, perRound: 300, warmup: 3000 },
  { bytes: KIB, rounds: 9, perRound: 300, warmup: 3000 },
  { bytes: 64 * KIB, rounds: 9, perRound: 100, warmup: 1000 },
  { bytes: MIB, rounds: 9, perRound: 20, warmup: 200 },
  { bytes: 10 * MIB, rounds: 7, perRound: 4, warmup: 20 },
  { bytes: 100 * MIB, rounds: 5, perRound: 1, warmup: 2 },
];
const QUICK = PLANS.filter(({ bytes }) => bytes === MIB);

/** @type {readonly { name: string, authentication: import('../servers/authentications.mjs').AuthenticationName }[]} */
const VARIANTS = [
  { name: 'unguarded', authentication: 'none' },
  { name: 'guarded', authentication: 'service-auth' },
];

/** @param {boolean} quick */
export async function measureBodies(quick) {
  /** @type {BodyRow[]} */
  const rows = [];
  for (const adapter of /** @type {readonly Adapter[]} */ (
    quick ? ['fastify'] : ['fastify', 'express']
  )) {
    for (const plan of quick ? QUICK : PLANS) rows.push(await measureSize(adapter, plan));
  }
  console.log(
    '\ngrowth, bodies: microseconds of CPU for each upload, one at a time, medians; peak memory in MiB above the start',
  );
  console.table(rows.map(toPrinted));
  return rows;
}

/** @param {Adapter} adapter @param {typeof PLANS[number]} plan @returns {Promise<BodyRow>} */
async function measureSize(adapter, { bytes, ...plan }) {
  const { privateKey, publicKey } = createKeyPair(ALGORITHM);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const sign = await createRequestSigner(ALGORITHM, privateKey);
  const kind = uploadOf(bytes);
  const servers = await Promise.all(
    VARIANTS.map(async ({ name, authentication }) => {
      const config = { adapter, authentication, algorithm: ALGORITHM, publicKey: pem };
      const manners = authentication === 'none' ? {} : GUARDED;
      return await LoadedServer.start({ name, ...manners }, config, 1);
    }),
  );
  try {
    const before = servers.map(({ process }) => process.memory()?.resident);
    for (const server of servers) {
      const failure = await failureOf(server, kind, sign);
      if (failure !== undefined) throw new Error(`${server.variant.name}, ${bytes}: ${failure}`);
    }
    const [unguarded, guarded] = await measureServers(servers, plan, async (count) => {
      /** @type {import('../http-requests.mjs').SignedRequest[]} */
      const requests = [];
      for (let at = 0; at < count; at++) requests.push(await sign(kind));
      return () => requests.map((request) => toBytes(request, 'JWT'));
    });
    const [unguardedPeak, guardedPeak] = servers.map(({ process }, at) => {
      const peak = process.memory()?.peak;
      return peak === undefined ? undefined : peak - (before[at] ?? 0);
    });
    const auth = costAbove(guarded, unguarded);
    return {
      what: 'bodies',
      adapter,
      bytes,
      unguarded: medianCost(unguarded),
      guarded: medianCost(guarded),
      auth: medianCost(auth),
      authMainThread: medianCost(auth, 'main'),
      hash: costOfHash(bytes),
      unguardedPeak,
      guardedPeak,
    };
  } finally {
    await Promise.all(servers.map(async (server) => await server.stop()));
  }
}

/** @type {import('../request-control.mjs').Manners} */
const GUARDED = { tokenHeader: 'JWT', verifiesBody: true, isSingleUse: true };

/** Microseconds to hash so many bytes in pieces, as they arrive. @param {number} bytes */
function costOfHash(bytes) {
  const piece = Buffer.alloc(64 * KIB, 'a');
  const times = Math.max(3, Math.min(2000, Math.ceil((50 * MIB) / Math.max(1, bytes))));
  const before = cpuTime();
  for (let time = 0; time < times; time++) {
    const hash = createHash('sha256');
    for (let left = bytes; left > 0; left -= piece.length) hash.update(piece.subarray(0, left));
    hash.digest('hex');
  }
  return cpuTimeSince(before).all / times;
}

/** @param {BodyRow} row */
function toPrinted({ adapter, bytes, ...row }) {
  const whole = (/** @type {number | undefined} */ value) =>
    value === undefined ? undefined : Math.round(value);
  return {
    adapter,
    bytes,
    unguarded: whole(row.unguarded),
    guarded: whole(row.guarded),
    auth: whole(row.auth),
    'auth, main': whole(row.authMainThread),
    'hash alone': whole(row.hash),
    'peak, unguarded': whole(row.unguardedPeak),
    'peak, guarded': whole(row.guardedPeak),
  };
}
