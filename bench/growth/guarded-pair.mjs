/** The same application without the guard and with it, a process for each: what growth is measured on. */
import { createRequestSigner, toBytes } from '../http-requests.mjs';
import { costAbove, medianCost } from '../measure.mjs';
import { failureOf } from '../request-control.mjs';
import { LoadedServer, measureServers } from '../server-rounds.mjs';
import { createKeyPair } from '../tokens.mjs';

/** @typedef {import('../servers/server-process.mjs').Adapter} Adapter */
/**
 * Microseconds of CPU for each request, and the most memory of each process above what it took before the first one, in
 * MiB; undefined where the system does not tell.
 *
 * @typedef {{ unguarded: number, guarded: number, auth: number, authMainThread: number,
 *   unguardedPeak: number | undefined, guardedPeak: number | undefined }} PairCosts
 */

const ALGORITHM = /** @type {const} */ ('ES256');

/**
 * @type {readonly (import('../request-control.mjs').Manners & {
 *   name: string, authentication: import('../servers/authentications.mjs').AuthenticationName,
 * })[]}
 */
const VARIANTS = [
  { name: 'unguarded', authentication: 'none' },
  {
    name: 'guarded',
    authentication: 'service-auth',
    tokenHeader: 'JWT',
    verifiesBody: true,
    isSingleUse: true,
  },
];

/**
 * @param {Adapter} adapter
 * @param {import('../http-requests.mjs').Kind} kind
 * @param {number} connections with one request on each at a time
 * @param {import('../server-rounds.mjs').Plan} plan
 * @returns {Promise<PairCosts>}
 */
export async function measurePair(adapter, kind, connections, plan) {
  const { privateKey, publicKey } = createKeyPair(ALGORITHM);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const sign = await createRequestSigner(ALGORITHM, privateKey);
  const servers = await Promise.all(
    VARIANTS.map(async (variant) => {
      const { authentication } = variant;
      const config = { adapter, authentication, algorithm: ALGORITHM, publicKey: pem };
      return await LoadedServer.start(variant, config, connections);
    }),
  );
  try {
    const before = servers.map(({ process }) => process.memory()?.resident ?? 0);
    for (const server of servers) {
      const failure = await failureOf(server, kind, sign);
      if (failure !== undefined)
        throw new Error(`${server.variant.name}, ${kind.name}: ${failure}`);
    }
    const [unguarded, guarded] = await measureServers(servers, plan, async (count) => {
      /** @type {import('../http-requests.mjs').SignedRequest[]} */
      const requests = [];
      for (let at = 0; at < count; at++) requests.push(await sign(kind));
      return () => requests.map((request) => toBytes(request, 'JWT'));
    });
    const [unguardedPeak, guardedPeak] = servers.map(({ process }, at) => {
      const memory = process.memory();
      return memory && memory.peak - before[at];
    });
    const auth = costAbove(guarded, unguarded);
    return {
      unguarded: medianCost(unguarded),
      guarded: medianCost(guarded),
      auth: medianCost(auth),
      authMainThread: medianCost(auth, 'main'),
      unguardedPeak,
      guardedPeak,
    };
  } finally {
    await Promise.all(servers.map(async (server) => await server.stop()));
  }
}

/** The columns that every table of a pair has. @param {PairCosts} costs */
export function printedCosts({ unguarded, guarded, auth, authMainThread }) {
  const rounded = (/** @type {number} */ value) => Number(value.toFixed(value < 1000 ? 1 : 0));
  return {
    unguarded: rounded(unguarded),
    guarded: rounded(guarded),
    auth: rounded(auth),
    'auth, main': rounded(authMainThread),
  };
}
