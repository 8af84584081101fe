/**
 * Whether a server's memory stays what it is: `node bench/soak-http.mjs [--requests 1000000 --adapter express]`. Nest
 * with the guard and the memory replay store in a process of its own; this one signs a POST of 1 KiB for every request,
 * with a token that lives for a few seconds, and sends them over 50 connections. Of each batch one is sent again, and
 * one with another body. Ends with 1 where the server's resident memory grows from the middle third of the run to the
 * last, or where an answer is wrong.
 */
import { parseArgs } from 'node:util';
import { createRequestSigner, KINDS, toBytes, withChangedBody } from './http-requests.mjs';
import { judgeGrowth } from './resident-memory.mjs';
import { LoadedServer } from './server-rounds.mjs';
import { createKeyPair } from './tokens.mjs';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    adapter: { type: 'string', default: 'fastify' },
  },
});
const requests = Number(values.requests);
const { adapter } = values;
if (adapter !== 'express' && adapter !== 'fastify') throw new Error(`no adapter ${adapter}`);
const BATCH = 2000;
/** Tokens are forgotten while the run goes on, not after it. */
const TOKEN_LIFETIME_SECONDS = 5;
const [POST] = KINDS;

const { privateKey, publicKey } = createKeyPair('ES256');
const sign = await createRequestSigner('ES256', privateKey, TOKEN_LIFETIME_SECONDS);
const server = await LoadedServer.start(
  { name: 'guarded' },
  {
    adapter,
    authentication: 'service-auth',
    algorithm: 'ES256',
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  },
);

async function sendBatch() {
  const signed = await Promise.all(Array.from({ length: BATCH }, async () => await sign(POST)));
  const statuses = await server.client.send(signed.map((request) => toBytes(request, 'JWT')));
  const again = await server.statusOf(toBytes(signed[0], 'JWT'));
  const changed = await server.statusOf(toBytes(withChangedBody(await sign(POST)), 'JWT'));
  const isRight = statuses.every((status) => status === 201) && again === 401 && changed === 401;
  if (!isRight) throw new Error(`wrong: ${[...new Set(statuses)].join()}; ${again}, ${changed}`);
}

/** @type {number[]} */
const resident = [];
const start = performance.now();
let told = 0;
try {
  for (let sent = 0; sent < requests; sent += BATCH) {
    await sendBatch();
    const memory = server.process.memory();
    if (memory === undefined) throw new Error('this system does not tell the memory of a process');
    resident.push(memory.resident);
    const seconds = (performance.now() - start) / 1000;
    if (seconds - told < 30) continue;
    told = seconds;
    console.log(
      `${sent + BATCH} requests in ${Math.round(seconds)} s, ${memory.resident.toFixed(1)} MiB`,
    );
  }
  judgeGrowth(`${requests} requests over HTTP, ${adapter}`, resident);
} finally {
  await server.stop();
}
