import { createHook } from 'node:async_hooks';
import type { Agent } from 'node:http';
import { jest } from '@jest/globals';
import { KeyHealth, LoggingObserver, MemoryReplayStore } from 'nestjs-service-auth';
import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import { type AttemptParts, tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import {
  BASELINE,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  startCensus,
} from '../support/services/census.js';
import { call } from '../support/http/http.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { callOver, keepAliveAgent } from '../support/http/one-socket.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';

const FLOOD = 5000;
const UNKNOWN = 'https://unknown.service/';
/** As long as a signature of ES256, and none. */
const BAD_SIGNATURE = Buffer.alloc(64, 7).toString('base64url');
const badlySigned = (token: string) => ({ JWT: token.replace(/[^.]+$/, BAD_SIGNATURE) });

describe.each(ADAPTERS)('on %s', (adapter) => {
  let keys: KeyServer;
  let census: TestService;
  let store: MemoryReplayStore;
  let agent: Agent;
  const logs = new LogRecorder();
  const events = new ObservedEvents();

  // The first fetch of a process loads what fetches: on a busy machine that takes its time.
  beforeAll(async () => {
    const server = await startKeyServer(serveKeys([]));
    await (await fetch(server.url)).text();
    await server.close();
  });
  beforeEach(async () => {
    agent = keepAliveAgent(16);
    store = new MemoryReplayStore();
    keys = await startKeyServer(serveKeys([jwkOf(heraldKey)]));
    const trustedIssuers = [{ issuer: HERALD, jwksUri: keys.url }];
    census = await startCensus({
      adapter,
      options: { trustedIssuers, replayStore: store, observer: [new LoggingObserver(), events] },
      service: { logger: logs },
    });
    const good = withParts(BASELINE);
    expectAccepted(await call(census.port, toCall(good, tokenFor(good, NOW_SECONDS))));
  });
  afterEach(async () => {
    agent.destroy();
    await census.close();
    await keys.close();
  });

  const send = async (parts: AttemptParts) => {
    const attempt = withParts(BASELINE, parts);
    const { target, headers } = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
    return await callOver(agent, census.port, { target, headers: headers as never });
  };

  /** Sends in waves, so that a wave fits the sockets. */
  const flood = async (count: number, partsOf: (at: number) => AttemptParts) => {
    const statuses: number[] = [];
    for (let from = 0; from < count; from += 250) {
      const wave = Array.from({ length: Math.min(250, count - from) }, async (_item, at) => {
        return (await send(partsOf(from + at))).status;
      });
      statuses.push(...(await Promise.all(wave)));
    }
    return statuses;
  };

  it(`TF-19 ${FLOOD} unknown issuers, key ids and token ids leave nothing behind`, async () => {
    const before = { events: events.all.length, logs: logs.entries.length, store: store.size };
    const kinds: ((at: number) => AttemptParts)[] = [
      (at) => ({ issuer: `${UNKNOWN}canary-${at}/` }),
      (at) => ({ issuer: `${UNKNOWN}canary-${at}\n[Nest] LOG forged` }),
      (at) => ({ header: { kid: `canary-${at}` } }),
      (at) => ({ claims: { jti: `canary-of-a-token-${at}` }, send: badlySigned }),
      (at) => ({ header: { alg: `canary-${at}\r\n` } }),
    ];
    const statuses = await flood(FLOOD, (at) => kinds[at % kinds.length]?.(at) ?? {});
    expect(statuses.filter((status) => status !== 401 && status !== 503)).toEqual([]);
    const logged = logs.entries.slice(before.logs).map(({ text }) => text);
    expect(logged.length).toBeGreaterThanOrEqual(FLOOD);
    expect(logged.filter((text) => /canary|forged|[\r\n]/.test(text))).toEqual([]);
    // As many different lines as there are reasons, whatever callers write.
    expect(new Set(logged).size).toBeLessThan(12);
    expect(JSON.stringify([events.all, events.decisions])).not.toMatch(/canary|forged/);
    expect(events.all.length - before.events).toBeLessThanOrEqual(2);
    expect(store.size).toBe(before.store);
    const report = census.app.get(KeyHealth).report();
    expect(report.map(({ issuer, keyIds }) => [issuer, keyIds])).toEqual([
      [HERALD, [heraldKey.keyId]],
    ]);
    expect(keys.hits).toBeLessThanOrEqual(2);
    expect((await send({})).status).toBe(200);
  }, 120_000);

  it('TF-20 answers tell nothing but their code, and nothing is done before its step', async () => {
    let checks = 0;
    // Node tells of each signature that is made or verified.
    const signatures = createHook({
      init: (_id, type) => {
        if (type === 'SIGNREQUEST') checks++;
      },
    }).enable();
    const recordUse = jest.spyOn(store, 'recordUse');
    const cases: [string, AttemptParts, object][] = [
      ['issuer_unknown', { issuer: UNKNOWN }, { checks: 0, uses: 0 }],
      ['issuer_unknown', { issuer: UNKNOWN, send: badlySigned }, { checks: 0, uses: 0 }],
      ['key_unknown', { header: { kid: 'nobodys' } }, { checks: 0, uses: 0 }],
      ['signature_invalid', { send: badlySigned }, { checks: 1, uses: 0 }],
      ['token_expired', { claims: { iat: 1, exp: 61 } }, { checks: 1, uses: 0 }],
      ['accepted', {}, { checks: 1, uses: 1 }],
    ];
    const shapes: string[] = [];
    try {
      for (const [code, parts, expected] of cases) {
        recordUse.mockClear();
        const attempt = withParts(BASELINE, parts);
        const request = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
        checks = 0; // that of the token was its issuer's
        const answer = await call(census.port, request);
        const done = { checks, uses: recordUse.mock.calls.length };
        expect({ code, ...done }).toEqual({ code, ...expected });
        if (code === 'accepted') expectAccepted(answer);
        else {
          expectRefused(answer, { code: code as 'key_unknown' });
          const names = [Object.keys(answer.headers), Object.keys(answer.json ?? {})];
          shapes.push(JSON.stringify(names.map((list) => list.toSorted())));
        }
      }
    } finally {
      signatures.disable();
      recordUse.mockRestore();
    }
    expect(new Set(shapes).size).toBe(1);
    // One at start; an unknown key id within the cool-down asks for none.
    expect(keys.hits).toBe(1);
  });

  it('TF-21 3,000 bad signatures beside 300 good requests keep none of these out', async () => {
    const before = store.size;
    const statuses = await flood(3300, (at) => (at % 11 === 0 ? {} : { send: badlySigned }));
    const wrong = statuses.filter((status, at) => status !== (at % 11 === 0 ? 200 : 401));
    expect(wrong).toEqual([]);
    expect(store.size - before).toBe(300);
    expect(keys.hits).toBe(1);
    expect((await send({})).status).toBe(200);
  }, 120_000);
});
