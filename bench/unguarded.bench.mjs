/**
 * What the module costs routes that are not guarded: the same application without it and with it, and each of the two
 * in two processes, whose difference is the noise.
 */
import { KINDS, toBytes, unsignedRequest } from './http-requests.mjs';
import { meanCost, medianCost, pairedRatios } from './measure.mjs';
import { LoadedServer, measureServers } from './server-rounds.mjs';
import { spread } from './statistics.mjs';
import { createKeyPair } from './tokens.mjs';

/** @typedef {import('./http-requests.mjs').Kind} Kind */
/** @typedef {import('./measure.mjs').Measured} Measured */
/** @typedef {import('./server-rounds.mjs').Plan} Plan */

const WITHOUT = ['without the module', 'without it, another process'];
const WITH = ['with the module', 'with it, another process'];

const CAPTION = `
Unguarded routes, requests without a token: microseconds of CPU of the server for each request, medians. The ratio is
the two processes with the module to the two without it; the noise is the second process to the first of its kind.`;

/** @param {{ quick: boolean }} options */
export async function runUnguarded({ quick }) {
  console.log(CAPTION);
  const plan = {
    rounds: quick ? 7 : 15,
    perRound: quick ? 500 : 1000,
    warmup: quick ? 2000 : 10_000,
  };
  const kinds = KINDS.filter(({ name }) => name === 'GET' || name === 'POST 1 KiB');
  const rows = [];
  for (const adapter of /** @type {const} */ (['fastify', 'express'])) {
    const servers = await startServers(adapter);
    try {
      for (const kind of kinds) {
        const row = { adapter, request: kind.name, ...(await measureKind(servers, kind, plan)) };
        rows.push(row);
      }
    } finally {
      await Promise.all(servers.map(async (server) => await server.stop()));
    }
  }
  console.table(rows.map(toPrinted));
  return { section: 'unguarded', rows };
}

/** @param {import('./servers/server-process.mjs').Adapter} adapter */
async function startServers(adapter) {
  const algorithm = /** @type {const} */ ('ES256');
  const { publicKey } = createKeyPair(algorithm);
  const key = {
    algorithm,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
  const start = async (/** @type {string} */ name) => {
    const authentication = WITH.includes(name) ? 'module without guard' : 'none';
    return await LoadedServer.start({ name }, { adapter, authentication, ...key });
  };
  return await Promise.all([...WITHOUT, ...WITH].map(start));
}

/** @param {readonly LoadedServer<{ name: string }>[]} servers @param {Kind} kind @param {Plan} plan */
async function measureKind(servers, kind, plan) {
  const measured = await measureServers(servers, plan, (count) => {
    const requests = Array.from({ length: count }, (_, at) =>
      toBytes(unsignedRequest(kind, at), undefined),
    );
    return () => requests;
  });
  const [without, withoutAgain] = named(measured, WITHOUT);
  const [withModule, withModuleAgain] = named(measured, WITH);
  const bothWithout = meanCost(without, withoutAgain);
  const bothWith = meanCost(withModule, withModuleAgain);
  const ratios = (/** @type {'all' | 'main'} */ threads) => ({
    ratio: spread(pairedRatios(bothWith, bothWithout, threads)),
    noise: [
      spread(pairedRatios(withoutAgain, without, threads)),
      spread(pairedRatios(withModuleAgain, withModule, threads)),
    ],
  });
  return {
    without: medianCost(bothWithout),
    with: medianCost(bothWith),
    all: ratios('all'),
    main: ratios('main'),
  };
}

/** @param {readonly Measured[]} measured @param {readonly string[]} names */
const named = (measured, names) => measured.filter(({ name }) => names.includes(name));

/** @param {{ adapter: string, request: string } & Awaited<ReturnType<typeof measureKind>>} row */
function toPrinted({ adapter, request, without, with: withModule, all, main }) {
  const inWords = (/** @type {ReturnType<typeof spread>} */ { median, lower, upper }) =>
    `${median.toFixed(3)} (${lower.toFixed(3)} to ${upper.toFixed(3)})`;
  return {
    request: `${request}, ${adapter}`,
    without: Number(without.toFixed(1)),
    with: Number(withModule.toFixed(1)),
    ratio: inWords(all.ratio),
    'main thread': inWords(main.ratio),
    noise: all.noise.map(({ median }) => median.toFixed(3)).join(' and '),
    'noise, main': main.noise.map(({ median }) => median.toFixed(3)).join(' and '),
  };
}
