import {
  type Receiver,
  closeAfterEach,
  HERALD,
  startReceiver,
} from '../support/services/receiver.js';
import {
  hold,
  jwkOf,
  type KeyServer,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';

const COOL_DOWN_SECONDS = 30;
const key = createKey();
const nextKey = createKey();
const strangerKey = createKey();
const keep = closeAfterEach();

interface Parts {
  readonly server: KeyServer;
  readonly receiver: Receiver;
}

/** A receiver that has fetched the keys of HERALD once. */
async function startWarm(
  respond: Respond = serveKeys([jwkOf(key)]),
  options: Parameters<typeof startReceiver>[0] = {},
): Promise<Parts> {
  const server = keep(await startKeyServer(respond));
  const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
  const receiver = keep(await startReceiver({ trustedIssuers, ...options }));
  await receiver.heard('keys_refreshed', 1);
  return { server, receiver };
}

function healthOf(receiver: Receiver) {
  const health = receiver.service.keyHealth().get(HERALD);
  if (!health) throw new Error('no health');
  return health;
}

/** Lets time pass in small steps, as a running process sees it, with one request in each. */
async function live(
  { receiver }: Parts,
  seconds: number,
  stepSeconds = 5,
  question = { key },
): Promise<string[]> {
  const answers: string[] = [];
  for (let passed = 0; passed < seconds; passed += stepSeconds) {
    receiver.clock.advance(stepSeconds);
    answers.push(await receiver.ask(question));
    await receiver.settle();
  }
  return answers;
}

const only = (answers: readonly string[]): string[] => [...new Set(answers)];

describe('while the key server works', () => {
  it('JF-04 no request waits for a refresh, however slow it is', async () => {
    const { server, receiver } = await startWarm();
    const held = hold();
    server.respond = held;
    receiver.clock.advance(545); // past 90 % of max-age
    const arrival = server.nextRequest();
    expect(await receiver.ask({ key })).toBe('ok');
    await arrival;
    const answers = await Promise.all(Array.from({ length: 100 }, () => receiver.ask({ key })));
    expect(only(answers)).toEqual(['ok']);
    expect(server.hits).toBe(2);
    held.release(serveKeys([jwkOf(key)]));
    await receiver.heard('keys_refreshed', 2);
    expect(healthOf(receiver)).toMatchObject({ status: 'fresh', ageSeconds: 0 });
  });

  it.each<[string, Record<string, string>, number]>([
    ['no Cache-Control', {}, 600],
    ['max-age', { 'cache-control': 'public, max-age=1200' }, 1200],
    ['max-age in other letters, quoted', { 'cache-control': 'Max-Age="1200"' }, 1200],
    ['less than a minute', { 'cache-control': 'max-age=1' }, 60],
    ['more than an hour', { 'cache-control': 'max-age=86400' }, 3600],
    ['more than a number holds', { 'cache-control': `max-age=${'9'.repeat(400)}` }, 3600],
    ['no-store', { 'cache-control': 'no-store, max-age=1200' }, 60],
    ['the time of shared caches', { 'cache-control': 's-maxage=1200' }, 600],
    ['nonsense', { 'cache-control': 'max-age=soon' }, 600],
    ['time used up on the way', { 'cache-control': 'max-age=1200', age: '200' }, 1000],
    ['all time used up on the way', { 'cache-control': 'max-age=1200', age: '9999' }, 60],
  ])('refreshes before the end of what %s gives', async (_name, headers, seconds) => {
    const parts = await startWarm(serveKeys([jwkOf(key)], headers));
    const due = healthOf(parts.receiver).nextRefreshInSeconds ?? NaN;
    expect(due / seconds).toBeGreaterThanOrEqual(0.69);
    expect(due / seconds).toBeLessThanOrEqual(0.91);
    parts.receiver.clock.advance(seconds * 0.69);
    await parts.receiver.settle();
    expect(parts.server.hits).toBe(1);
    parts.receiver.clock.advance(seconds * 0.22);
    await parts.receiver.settle();
    expect(parts.server.hits).toBe(2);
  });

  it('refreshes at times that differ between instances', async () => {
    const respond = serveKeys([jwkOf(key)], { 'cache-control': 'max-age=3600' });
    const all = await Promise.all(Array.from({ length: 8 }, async () => await startWarm(respond)));
    const due = all.map(({ receiver }) => healthOf(receiver).nextRefreshInSeconds);
    expect(new Set(due).size).toBeGreaterThan(1);
  });

  it('asks whether the set has changed, and keeps it when it has not', async () => {
    const keys = [jwkOf(key)];
    const { server, receiver } = await startWarm(serveKeys(keys, { etag: '"one"' }));
    expect(server.requests[0]?.headers['if-none-match']).toBeUndefined();
    server.respond = serveText(304, '', { 'cache-control': 'max-age=1200' });
    receiver.clock.advance(545);
    await receiver.settle();
    expect(server.requests[1]?.headers['if-none-match']).toBe('"one"');
    expect(healthOf(receiver)).toMatchObject({ status: 'fresh', ageSeconds: 0 });
    expect(await receiver.ask({ key })).toBe('ok');

    server.respond = serveKeys([jwkOf(nextKey)], { etag: '"two"' });
    receiver.clock.advance(1090);
    await receiver.settle();
    expect(server.requests[2]?.headers['if-none-match']).toBe('"one"');
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    expect(await receiver.ask({ key })).toBe('key_unknown');
  });

  it('takes "not changed" for a failure where nothing is known', async () => {
    const server = keep(await startKeyServer(serveText(304, '')));
    const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
    const receiver = keep(await startReceiver({ trustedIssuers }));
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(healthOf(receiver).lastError).toBe('the key server answered 304');
  });

  /** Answers 304 to a request with a tag, and otherwise with a set. */
  const unchanged =
    (headers: Record<string, string>, whole: Respond): Respond =>
    (request, response) => {
      const isConditional = request.headers['if-none-match'] !== undefined;
      (isConditional ? serveText(304, '', headers) : whole)(request, response);
    };
  const tagsSent = (server: KeyServer) =>
    server.requests.map(({ headers }) => headers['if-none-match']);

  it.each([
    ['another tag', '"two"'],
    ['another weak tag', 'W/"two"'],
    ['the same tag in other letters', '"One"'],
    ['the tag without its quotes', 'one'],
    ['no value', ''],
  ])('JF-21 fetches the whole set at once after a 304 with %s', async (_name, etag) => {
    const { server, receiver } = await startWarm(serveKeys([jwkOf(key)], { etag: '"one"' }));
    server.respond = unchanged({ etag }, serveKeys([jwkOf(nextKey)], { etag: '"two"' }));
    receiver.clock.advance(545);
    await receiver.settle();
    expect(tagsSent(server)).toEqual([undefined, '"one"', undefined]);
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    expect(receiver.events.of('keys_refresh_failed')).toEqual([]);
  });

  it('JF-21 counts 304 to a fetch of the whole set as a failure, and known keys go stale', async () => {
    const parts = await startWarm(serveKeys([jwkOf(key)], { etag: '"one"' }), {
      maxStaleSeconds: 1800,
    });
    const { server, receiver } = parts;
    server.respond = serveText(304, '', { etag: '"two"' });
    expect(only(await live(parts, 1790, 10))).toEqual(['ok']);
    expect(healthOf(receiver)).toMatchObject({
      status: 'stale',
      lastError: 'the key server answered 304',
    });
    expect(tagsSent(server).slice(2).filter(Boolean)).toEqual([]);
    expect((await live(parts, 30, 10)).at(-1)).toBe('key_unavailable');
  });

  it.each<[string, Record<string, string>]>([
    ['the same tag', { etag: '"one"' }],
    ['no tag', {}],
  ])('JF-22 believes 304 with %s for an hour at most', async (_name, headers) => {
    const parts = await startWarm(serveKeys([jwkOf(key)], { etag: '"one"' }));
    const { server, receiver } = parts;
    server.respond = unchanged(headers, serveKeys([jwkOf(nextKey)], { etag: '"one"' }));
    const answers = await live(parts, 3600, 10);
    expect(answers.filter((code) => code === 'ok').length).toBeGreaterThan(300);
    await live(parts, 600, 10);
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    expect(tagsSent(server).filter((tag) => tag === undefined)).toHaveLength(2);
  });

  it.each([
    ['unquoted', 'one'],
    ['several', '"one", "two"'],
    ['open', '"one'],
    ['with a space', '"o ne"'],
    ['too long', `"${'x'.repeat(257)}"`],
  ])('JF-23 sends no tag that is %s', async (_name, etag) => {
    const { server, receiver } = await startWarm(serveKeys([jwkOf(key)], { etag }));
    receiver.clock.advance(545);
    await receiver.settle();
    expect(tagsSent(server)).toEqual([undefined, undefined]);
    expect(healthOf(receiver)).toMatchObject({ status: 'fresh', ageSeconds: 0 });
  });

  it.each([400, 412, 431])(
    'JF-23 asks without the tag after a server has refused it with %i',
    async (status) => {
      const { server, receiver } = await startWarm(serveKeys([jwkOf(key)], { etag: '"one"' }));
      server.respond = (request, response) => {
        const isConditional = request.headers['if-none-match'] !== undefined;
        (isConditional ? serveText(status, '') : serveKeys([jwkOf(nextKey)]))(request, response);
      };
      receiver.clock.advance(545);
      await receiver.settle();
      receiver.clock.advance(36);
      await receiver.settle();
      expect(tagsSent(server)).toEqual([undefined, '"one"', undefined]);
      expect(await receiver.ask({ key: nextKey })).toBe('ok');
    },
  );

  it.each<[string, string, Record<string, string>]>([
    ['the same tag', '"one"', { etag: '"one"' }],
    ['the same tag, weak', '"one"', { etag: 'W/"one"' }],
    ['the same tag, strong', 'W/"one"', { etag: '"one"' }],
    ['no tag', '"one"', {}],
    ['an empty tag', '""', { etag: '""' }],
    ['a tag of odd bytes', '"\xe9!~"', { etag: '"\xe9!~"' }],
    ['a long tag', `"${'x'.repeat(256)}"`, {}],
    ['only a date', '"one"', { 'last-modified': 'Fri, 31 Jul 2026 00:00:00 GMT' }],
  ])('JF-24 renews the known set after a 304 with %s', async (_name, etag, headers) => {
    const { server, receiver } = await startWarm(serveKeys([jwkOf(key)], { etag }));
    server.respond = unchanged(headers, serveKeys([jwkOf(nextKey)]));
    for (const hits of [2, 3]) {
      receiver.clock.advance(545);
      await receiver.settle();
      expect(server.hits).toBe(hits);
      expect(healthOf(receiver)).toMatchObject({ status: 'fresh', ageSeconds: 0 });
    }
    expect(tagsSent(server)).toEqual([undefined, etag, etag]);
    expect(await receiver.ask({ key })).toBe('ok');
  });

  it('forgets the tag of an older set when a newer one has none', async () => {
    const { server, receiver } = await startWarm(serveKeys([jwkOf(key)], { etag: '"one"' }));
    server.respond = serveKeys([jwkOf(nextKey)]);
    for (const hits of [2, 3]) {
      receiver.clock.advance(545);
      await receiver.settle();
      expect(server.hits).toBe(hits);
    }
    expect(tagsSent(server)).toEqual([undefined, '"one"', undefined]);
    expect(await receiver.ask({ key })).toBe('key_unknown');
  });

  it('waits for one fetch after the process slept past the end', async () => {
    const { server, receiver } = await startWarm();
    server.respond = serveKeys([jwkOf(nextKey)]);
    receiver.clock.advance(3600);
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    await server.down();
    receiver.clock.advance(3600);
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    expect(healthOf(receiver).status).toBe('stale');
  });
});

describe('with a key id that is not known', () => {
  it('KL-01 fetches at most once in each cool-down', async () => {
    const { server, receiver } = await startWarm();
    const askOften = async (): Promise<string[]> =>
      await Promise.all(Array.from({ length: 20 }, () => receiver.ask({ key: strangerKey })));
    expect(only(await askOften())).toEqual(['key_unknown']);
    expect(server.hits).toBe(1); // the fetch at start began the cool-down
    for (const round of [2, 3, 4]) {
      receiver.clock.advance(COOL_DOWN_SECONDS);
      expect(only(await askOften())).toEqual(['key_unknown']);
      expect(only(await askOften())).toEqual(['key_unknown']);
      expect(server.hits).toBe(round);
    }
    expect(await receiver.ask({ key })).toBe('ok');
  });

  it('KL-10 a key that was added works at its first token, after one fetch', async () => {
    const { server, receiver } = await startWarm();
    server.respond = serveKeys([jwkOf(key), jwkOf(nextKey)]);
    receiver.clock.advance(COOL_DOWN_SECONDS);
    const questions = Array.from({ length: 40 }, (_, at) => ({ key: at % 2 ? key : nextKey }));
    const answers = await Promise.all(questions.map(async (one) => await receiver.ask(one)));
    expect(only(answers)).toEqual(['ok']);
    expect(server.hits).toBe(2);
  });

  it('lets a bounded number of requests wait, and tells the others to come back', async () => {
    const { server, receiver } = await startWarm();
    const held = hold();
    server.respond = held;
    receiver.clock.advance(COOL_DOWN_SECONDS);
    const arrival = server.nextRequest();
    const answers: string[] = [];
    const all = Array.from({ length: 100 }, async () => {
      answers.push(await receiver.ask({ key: nextKey }));
    });
    await arrival;
    const refusal = await receiver.unavailability({ key: nextKey });
    expect(refusal).toMatchObject({ code: 'key_unavailable', retryAfterSeconds: 1 });
    expect(only(answers)).toEqual(['key_unavailable']);
    expect(answers).toHaveLength(36);
    expect(await receiver.ask({ key })).toBe('ok');
    held.release(serveKeys([jwkOf(nextKey)]));
    await Promise.all(all);
    expect(answers.filter((answer) => answer === 'ok')).toHaveLength(64);
    expect(server.hits).toBe(2);
  });

  it('KL-19 a wrong signature under a known key id never fetches', async () => {
    const { server, receiver } = await startWarm();
    receiver.clock.advance(COOL_DOWN_SECONDS);
    const forged = { key: strangerKey, header: { kid: key.keyId } };
    const answers = await Promise.all(Array.from({ length: 200 }, () => receiver.ask(forged)));
    expect(only(answers)).toEqual(['signature_invalid']);
    expect(server.hits).toBe(1);
    expect(await receiver.ask({ key })).toBe('ok');
  });
});

describe('when keys change', () => {
  it('JF-12 a rotation that publishes ahead refuses nobody', async () => {
    const parts = await startWarm();
    const { server } = parts;
    const sets = [
      { listed: [key, nextKey], signer: key },
      { listed: [key, nextKey], signer: nextKey },
      { listed: [nextKey], signer: nextKey },
    ];
    for (const { listed, signer } of sets) {
      server.respond = serveKeys(listed.map((one) => jwkOf(one)));
      expect(only(await live(parts, 600, 10, { key: signer }))).toEqual(['ok']);
    }
    expect(await parts.receiver.ask({ key })).toBe('key_unknown');
  });

  it.each(['JF-13', 'KL-09'])(
    '%s a key that is no longer listed is refused within max-age',
    async () => {
      const parts = await startWarm(serveKeys([jwkOf(key), jwkOf(nextKey)]));
      const { server, receiver } = parts;
      server.respond = serveKeys([jwkOf(nextKey)]);
      receiver.clock.advance(400);
      expect(await receiver.ask({ key })).toBe('ok');
      const answers = await live(parts, 200);
      expect(answers.at(-1)).toBe('key_unknown');
      expect(answers.lastIndexOf('ok')).toBeLessThan(answers.indexOf('key_unknown'));
      // Nor does it come back when the server is gone: what is stale is the new set.
      await server.down();
      expect(only(await live(parts, 900))).not.toContain('ok');
      expect(await receiver.ask({ key: nextKey })).toBe('ok');
    },
  );

  it('JF-14 new material under a known key id is taken up at the next refresh', async () => {
    const kid = 'the-key';
    const parts = await startWarm(serveKeys([jwkOf(key, { kid })]));
    const { server, receiver } = parts;
    const askOld = async () => await receiver.ask({ key, header: { kid } });
    const askNew = async () => await receiver.ask({ key: nextKey, header: { kid } });
    expect([await askOld(), await askNew()]).toEqual(['ok', 'signature_invalid']);
    server.respond = serveKeys([jwkOf(nextKey, { kid })]);
    receiver.clock.advance(COOL_DOWN_SECONDS);
    for (let round = 0; round < 50; round++) await askNew();
    expect(server.hits).toBe(1);
    receiver.clock.advance(520);
    await receiver.settle();
    expect([await askOld(), await askNew()]).toEqual(['signature_invalid', 'ok']);
    expect(server.hits).toBe(2);
  });
});

describe('when the key server is out of reach', () => {
  it('JF-02 nobody notices within max-age', async () => {
    const parts = await startWarm();
    await parts.server.down();
    expect(only(await live(parts, 415))).toEqual(['ok']);
    expect(parts.receiver.events.all).toHaveLength(1);
  });

  it('JF-03 known keys serve through half an hour, and recovery takes one back-off step', async () => {
    const parts = await startWarm();
    const { server, receiver } = parts;
    await server.down();
    const failures: number[] = [];
    const answers: string[] = [];
    for (let step = 0; step < 360; step++) {
      const before = receiver.events.of('keys_refresh_failed').length;
      answers.push(...(await live(parts, 5)));
      if (receiver.events.of('keys_refresh_failed').length > before) failures.push(step * 5);
    }
    expect(answers).toHaveLength(360);
    expect(only(answers)).toEqual(['ok']);
    const gaps = failures.slice(1).map((time, at) => time - (failures[at] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(COOL_DOWN_SECONDS);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(40);
    expect(receiver.events.of('keys_refresh_failed')[0]).toEqual({
      type: 'keys_refresh_failed',
      issuer: HERALD,
      reason: 'the key server cannot be reached (ECONNREFUSED)',
      servingStale: true,
    });
    expect(healthOf(receiver)).toMatchObject({ status: 'stale', keyIds: [key.keyId] });

    await server.resume();
    expect(only(await live(parts, 36, 1))).toEqual(['ok']);
    expect(receiver.events.of('keys_refreshed')).toHaveLength(2);
    expect(healthOf(receiver)).toMatchObject({ status: 'fresh' });
    expect(healthOf(receiver).lastError).toBeUndefined();
  });

  it('JF-03 answers 503 after `maxStaleSeconds`, and recovers from that', async () => {
    const parts = await startWarm(undefined, { maxStaleSeconds: 1800 });
    const { server, receiver } = parts;
    await server.down();
    expect(only(await live(parts, 1790, 10))).toEqual(['ok']);
    expect(only(await live(parts, 600, 10))).toEqual(['key_unavailable']);
    const { retryAfterSeconds } = await receiver.unavailability({ key });
    expect(retryAfterSeconds).toBeGreaterThanOrEqual(1);
    expect(retryAfterSeconds).toBeLessThanOrEqual(36);
    expect(healthOf(receiver)).toMatchObject({ status: 'unavailable' });
    expect(receiver.events.of('keys_refresh_failed').at(-1)).toMatchObject({ servingStale: false });
    await server.resume();
    expect((await live(parts, 36, 1)).at(-1)).toBe('ok');
  });

  it('serves no longer than max-age with `maxStaleSeconds: 0`', async () => {
    const parts = await startWarm(undefined, { maxStaleSeconds: 0 });
    await parts.server.down();
    expect(only(await live(parts, 595))).toEqual(['ok']);
    expect(await live(parts, 5)).toEqual(['key_unavailable']);
  });

  it.each<[string, Respond, number, number]>([
    ['JF-06 500', serveText(500, 'oops'), 30, 36],
    ['JF-06 503', serveText(503, 'oops'), 30, 36],
    ['JF-06 429', serveText(429, 'slow down'), 30, 36],
    ['JF-06 429 with Retry-After', serveText(429, '', { 'retry-after': '120' }), 120, 144],
    ['JF-06 503 with Retry-After', serveText(503, '', { 'retry-after': '86400' }), 300, 360],
    ['JF-06 a date in Retry-After', serveText(503, '', { 'retry-after': 'Fri, 31' }), 30, 36],
  ])('%s backs off, and unknown key ids do not shorten it', async (_name, respond, least, most) => {
    const { server, receiver } = await startWarm();
    server.respond = respond;
    receiver.clock.advance(545);
    await receiver.settle();
    expect(server.hits).toBe(2);
    for (let passed = 0; passed < least - 1; passed++) {
      // No verdict on a key that may be new: the server was not asked for it.
      expect(await receiver.ask({ key: strangerKey })).toBe('key_unavailable');
      receiver.clock.advance(1);
    }
    expect(await receiver.ask({ key })).toBe('ok');
    expect(server.hits).toBe(2);
    const { retryAfterSeconds } = await receiver.unavailability({ key: strangerKey });
    expect(retryAfterSeconds).toBeLessThanOrEqual(most - least + 1);

    server.respond = serveKeys([jwkOf(key)]);
    receiver.clock.advance(most - least + 1);
    await receiver.settle();
    expect(server.hits).toBe(3);
    expect(await receiver.ask({ key: strangerKey })).toBe('key_unknown');
  });

  it('JF-01 tries again quickly while nothing is known, then slower, and recovers', async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    await server.down();
    const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url }];
    const receiver = keep(await startReceiver({ trustedIssuers }));
    await receiver.settle();
    const failedAt: number[] = [0];
    for (let passed = 0.5; passed <= 120; passed += 0.5) {
      const before = receiver.events.all.length;
      receiver.clock.advance(0.5);
      expect(await receiver.ask({ key })).toBe('key_unavailable');
      if (receiver.events.all.length > before) failedAt.push(passed);
    }
    const gaps = failedAt.slice(1).map((time, at) => time - (failedAt[at] ?? 0));
    for (const [at, least] of [1, 2, 4, 8, 16, 30, 30].slice(0, gaps.length).entries()) {
      expect(gaps[at]).toBeGreaterThanOrEqual(least);
      expect(gaps[at]).toBeLessThanOrEqual(least * 1.2 + 1);
    }
    expect(gaps.length).toBeGreaterThanOrEqual(6);
    await server.resume();
    const { retryAfterSeconds } = await receiver.unavailability({ key });
    receiver.clock.advance(retryAfterSeconds);
    expect(await receiver.ask({ key })).toBe('ok');
  });
});

it('KeyHealth tells how keys stand, without asking for them', async () => {
  const server = keep(await startKeyServer(serveText(500, '')));
  const trustedIssuers = [
    { issuer: HERALD, jwksUri: server.url },
    { issuer: 'https://static.service/', publicKey: key.publicPem },
  ];
  const receiver = keep(await startReceiver({ trustedIssuers }));
  const staticHealth = { status: 'static', keyIds: [key.keyId] };
  expect(receiver.service.keyHealth().get('https://static.service/')).toEqual(staticHealth);
  await receiver.settle();
  expect(healthOf(receiver)).toEqual({
    status: 'unavailable',
    keyIds: [],
    lastError: 'the key server answered 500',
    nextRefreshInSeconds: 1,
  });
  server.respond = serveKeys([jwkOf(key)]);
  receiver.clock.advance(2);
  await receiver.settle();
  receiver.clock.advance(100);
  const { nextRefreshInSeconds, ...health } = healthOf(receiver);
  expect(health).toEqual({ status: 'fresh', keyIds: [key.keyId], ageSeconds: 100 });
  expect(nextRefreshInSeconds).toBeGreaterThan(300);
  expect(server.hits).toBe(2);
});
