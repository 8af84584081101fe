import { randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encode, strictParts, strictToken } from '../support/tokens/forge.js';
import { hold, jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  closeAfterEach,
  HERALD,
  type Receiver,
  startReceiver,
} from '../support/services/receiver.js';

const COOL_DOWN_SECONDS = 30;
const ROUND = 1_000;
const MEBIBYTE = 1024 * 1024;
const PATIENCE_MILLISECONDS = 240_000;

const key = createKey();
const keep = closeAfterEach();

/** Tokens that differ in nothing but their key id, made without any signature work. */
function forgeries(receiver: Receiver): () => string {
  const now = Math.floor(receiver.clock.now() / 1000);
  const parts = { key, issuer: HERALD, audience: CENSUS, target: '/user', now };
  const [, payload = '', signature = ''] = strictToken(parts).split('.');
  const { header } = strictParts(parts);
  return () =>
    `${encode(JSON.stringify({ ...header, kid: randomUUID() }))}.${payload}.${signature}`;
}

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

interface Flood {
  /** How often each answer was given to forgeries. */
  readonly forged: Record<string, number>;
  /** The answers to honest requests in between. */
  readonly honest: string[];
  readonly heapGrowth: number;
  readonly seconds: number;
}

/** Sends a thousand forgeries in each second of the receiver's clock, and an honest request. */
async function flood(
  receiver: Receiver,
  size: number,
  release: () => void = () => undefined,
): Promise<Flood> {
  const forge = forgeries(receiver);
  const forged: Record<string, number> = {};
  const honest: string[] = [];
  const waiting = new Set<Promise<void>>();
  const sendForgery = (): void => {
    const answered = receiver.askWith(forge()).then((code) => {
      forged[code] = (forged[code] ?? 0) + 1;
      waiting.delete(answered);
    });
    waiting.add(answered);
  };
  await receiver.ask({ key });
  const heapBefore = heapUsed();
  let mostWaiting = 0;
  for (let sent = 0; sent < size; sent += ROUND) {
    for (let at = 0; at < ROUND; at++) sendForgery();
    honest.push(await receiver.ask({ key }));
    await new Promise(setImmediate);
    mostWaiting = Math.max(mostWaiting, waiting.size);
    receiver.clock.advance(1);
    // The test's own list of what was decided, which would grow with the flood.
    receiver.events.decisions.length = 0;
  }
  const heapGrowth = heapUsed() - heapBefore;
  expect(mostWaiting).toBeLessThanOrEqual(64);
  release();
  await Promise.all(waiting);
  return { forged, honest, heapGrowth, seconds: size / ROUND };
}

const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

describe('a flood of tokens with 100,000 distinct unknown key ids', () => {
  const start = async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
    const receiver = keep(await startReceiver({ trustedIssuers }));
    await receiver.settle();
    return { server, receiver };
  };
  const mostFetches = (seconds: number): number => Math.ceil(seconds / COOL_DOWN_SECONDS) + 1;

  it(
    'KL-02 JF-16 with the key server up',
    async () => {
      const { server, receiver } = await start();
      const { forged, honest, heapGrowth, seconds } = await flood(receiver, 100_000);
      expect(new Set(honest)).toEqual(new Set(['ok']));
      expect(sum(forged)).toBe(100_000);
      expect(Object.keys(forged).toSorted()).toEqual(['key_unavailable', 'key_unknown']);
      expect(forged['key_unknown']).toBeGreaterThan(50_000);
      expect(server.hits).toBeLessThanOrEqual(mostFetches(seconds));
      expect(heapGrowth).toBeLessThan(10 * MEBIBYTE);
    },
    PATIENCE_MILLISECONDS,
  );

  it(
    'KL-02 JF-16 with a slow key server',
    async () => {
      const { server, receiver } = await start();
      const held = hold();
      server.respond = held;
      receiver.clock.advance(COOL_DOWN_SECONDS);
      const release = (): void => held.release(serveKeys([jwkOf(key)]));
      const { forged, honest, heapGrowth, seconds } = await flood(receiver, 100_000, release);
      expect(new Set(honest)).toEqual(new Set(['ok']));
      expect(sum(forged)).toBe(100_000);
      // One after the other: each ends at its deadline at the latest, which is in real time.
      expect(server.hits).toBeLessThanOrEqual(mostFetches(seconds));
      expect(heapGrowth).toBeLessThan(10 * MEBIBYTE);
    },
    PATIENCE_MILLISECONDS,
  );

  it(
    'KL-03 JF-16 with the key server down',
    async () => {
      const { server, receiver } = await start();
      await server.down();
      receiver.clock.advance(545);
      await receiver.settle();
      const { forged, honest, heapGrowth, seconds } = await flood(receiver, 100_000);
      expect(new Set(honest)).toEqual(new Set(['ok']));
      expect(forged).toEqual({ key_unavailable: 100_000 });
      const attempts = receiver.events.of('keys_refresh_failed').length;
      expect(attempts).toBeLessThanOrEqual(mostFetches(seconds));
      expect(heapGrowth).toBeLessThan(10 * MEBIBYTE);
    },
    PATIENCE_MILLISECONDS,
  );
});

it('JF-15 1,000 concurrent first requests cost one fetch', async () => {
  const held = hold();
  const server = keep(await startKeyServer(held));
  const arrival = server.nextRequest();
  const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
  const receiver = keep(await startReceiver({ trustedIssuers }));
  const answers = Array.from({ length: 1000 }, () => receiver.ask({ key }));
  await arrival;
  held.release(serveKeys([jwkOf(key)]));
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['ok']));
  expect(server.hits).toBe(1);
});

it('JF-15 and one failed fetch, when the server is down', async () => {
  const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
  await server.down();
  const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
  const receiver = keep(await startReceiver({ trustedIssuers }));
  const answers = Array.from({ length: 1000 }, () => receiver.ask({ key }));
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['key_unavailable']));
  expect(receiver.events.all).toHaveLength(1);
  await server.resume();
  receiver.clock.advance(2);
  expect(await receiver.ask({ key })).toBe('ok');
});
