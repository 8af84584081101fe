/**
 * Whether memory stays what it is: `node bench/soak.mjs [--requests 5000000]`. One service signs requests and
 * another one in the same process verifies them, each with a token and a body of its own, all checks and the memory
 * replay store in place; the clock that forgets used tokens runs fast enough for all of them to be forgotten in turn.
 * Ends with 1 where resident memory grows from the middle third to the last, or where a verdict is wrong.
 */
import { parseArgs } from 'node:util';
import { createServiceAuth, MemoryReplayStore } from 'nestjs-service-auth/core';
import { judgeGrowth } from './resident-memory.mjs';
import { CENSUS, createKeyPair, HERALD, KEY_ID, received, tamper } from './tokens.mjs';

const { values } = parseArgs({ options: { requests: { type: 'string', default: '5000000' } } });
const requests = Number(values.requests);
const BATCH = 2000;
/** What a service sees that accepts 2,000 requests in a second. */
const SECONDS_PER_BATCH = 1;
const MEBIBYTE = 2 ** 20;

let milliseconds = Date.now();
const now = () => milliseconds;
const { privateKey, publicKey } = createKeyPair('EdDSA');
const store = new MemoryReplayStore({ monotonicNow: now });
const herald = await createServiceAuth({
  issuer: HERALD,
  signingKey: { privateKey, keyId: KEY_ID, algorithm: 'EdDSA' },
  targets: [{ baseUrl: CENSUS }],
  now,
});
const census = await createServiceAuth({
  issuer: CENSUS,
  trustedIssuers: [{ issuer: HERALD, keys: [{ publicKey, keyId: KEY_ID }] }],
  replayStore: store,
  now,
});

/** @param {import('./tokens.mjs').Received} request @returns {Promise<string>} */
async function verdictOn(request) {
  try {
    await census.verify(request);
    return 'accepted';
  } catch (error) {
    return /** @type {{ code: string }} */ (error).code;
  }
}

/** Of each batch one token is tried twice, and one with another payload. */
async function sendBatch() {
  const batch = await Promise.all(
    Array.from({ length: BATCH }, async () => await received(herald)),
  );
  const verdicts = await Promise.all(batch.map(verdictOn));
  const [first] = batch;
  const token = tamper(first.token);
  const forged = { ...first, rawHeaders: [...first.rawHeaders.slice(0, -1), token] };
  const bad = [await verdictOn(first), await verdictOn(forged)].join();
  const isRight =
    verdicts.every((verdict) => verdict === 'accepted') &&
    bad === 'token_replayed,signature_invalid';
  if (!isRight) throw new Error(`wrong: ${[...new Set(verdicts)].join()}; ${bad}`);
  milliseconds += SECONDS_PER_BATCH * 1000;
}

/** @type {number[]} */
const resident = [];
const start = performance.now();
let told = 0;
for (let sent = 0; sent < requests; sent += BATCH) {
  await sendBatch();
  resident.push(process.memoryUsage.rss() / MEBIBYTE);
  const seconds = (performance.now() - start) / 1000;
  if (seconds - told < 30) continue;
  told = seconds;
  console.log(
    `${sent + BATCH} requests in ${Math.round(seconds)} s, ${resident.at(-1)?.toFixed(1)} MiB, ${store.size} remembered`,
  );
}
judgeGrowth(`${requests} requests, ${store.size} tokens remembered at the end`, resident);
herald.close();
census.close();
