import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  drip,
  flow,
  hang,
  hold,
  jwkOf,
  type KeyServer,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import {
  closeAfterEach,
  HERALD,
  type Receiver,
  startReceiver,
} from '../support/services/receiver.js';
import { selfSign } from '../support/keys/self-signed.js';

const MEBIBYTE = 1024 * 1024;
const key = createKey();
const otherKey = createKey();
const set = { keys: [jwkOf(key)] };
const keep = closeAfterEach();

const startFor = async (
  server: KeyServer,
  options: Parameters<typeof startReceiver>[0] = {},
): Promise<Receiver> =>
  keep(
    await startReceiver({
      trustedIssuers: [{ issuer: HERALD, jwksUri: server.url }],
      ...options,
    }),
  );

const lastErrorOf = ({ service }: Receiver): string | undefined =>
  service.keyHealth().get(HERALD)?.lastError;

const manyKeys = (count: number): object[] =>
  Array.from({ length: count }, (_, at) => ({ kty: 'EC', kid: `k${at}` }));

/** A good set, filled up to a size with members that nobody reads. */
const setOfSize = (bytes: number): string => {
  const empty = JSON.stringify({ ...set, fill: '' });
  return JSON.stringify({ ...set, fill: 'x'.repeat(bytes - empty.length) });
};

describe('a reply that is no usable JWK Set', () => {
  const cutOff: Respond = (_request, response) => {
    response.writeHead(200, { 'content-length': 100_000 });
    response.write('{"keys":[');
    setImmediate(() => response.destroy());
  };
  const noAnswer: Respond = (request) => request.socket.destroy();
  const rows: [string, Respond, string | RegExp][] = [
    ['JF-06 500', serveText(500, JSON.stringify(set)), 'the key server answered 500'],
    ['JF-06 503', serveText(503, ''), 'the key server answered 503'],
    ['JF-06 429', serveText(429, ''), 'the key server answered 429'],
    ['204', serveText(204, ''), 'the key server answered 204'],
    ['206', serveText(206, JSON.stringify(set)), 'the key server answered 206'],
    ['JF-07 HTML', serveText(200, '<html>login</html>'), 'the reply is not JSON in UTF-8'],
    ['JF-07 truncated JSON', serveText(200, '{"keys":[{"kty":"EC"'), /not JSON/],
    ['JF-07 nothing', serveText(200, ''), /not JSON/],
    ['JF-07 an empty set', serveKeys([]), 'the set has no key that can be used: it is empty'],
    ['JF-07 unusable keys alone', serveKeys([{ kty: 'oct', k: 'AAAA' }, null]), /no key that can/],
    [
      'JF-07 a set of keys that are all unfit',
      serveKeys([jwkOf(key, { use: 'enc' }), { kty: 'oct', k: 'Y2FuYXJ5' }]),
      "the set has no key that can be used (keys[0]: write a key whose use is 'sig'; keys[1]: write one public key as SPKI PEM, JWK, KeyObject or CryptoKey; this one is private, and known to others by now: make a new one)",
    ],
    [
      'JF-07 a set of many keys that are all unfit',
      serveKeys(Array.from({ length: 9 }, () => jwkOf(key, { use: 'enc' }))),
      /^the set has no key that can be used \(keys\[0\]: .*; keys\[4\]: [^;]*; and 4 more\)$/,
    ],
    ['JF-07 a connection cut off', cutOff, 'the key server cannot be reached (UND_ERR_SOCKET)'],
    ['JF-07 a connection closed', noAnswer, 'the key server cannot be reached (UND_ERR_SOCKET)'],
    ['JF-09 more than 256 KiB', serveText(200, setOfSize(256 * 1024 + 1)), /larger than 262144/],
    ['KL-14 10,000 keys', serveKeys(manyKeys(10_000)), /larger than|more than 100/],
    ['KL-14 101 keys', serveKeys([...manyKeys(100), jwkOf(key)]), 'the set has more than 100 keys'],
    ['KL-16 __proto__', serveText(200, '{"keys":[],"__proto__":{}}'), /forbidden name/],
    ['KL-16 keys twice', serveText(200, '{"keys":[],"keys":[]}'), /duplicate member/],
    ['KL-16 a byte order mark', serveText(200, `\uFEFF${JSON.stringify(set)}`), /not JSON/],
    ['KL-16 bytes that are no UTF-8', serveText(200, Buffer.from([0x7b, 0xff, 0x7d])), /not JSON/],
    ['KL-16 keys that are no list', serveText(200, '{"keys":{}}'), 'the reply is not a JWK Set'],
    ['KL-16 a list', serveText(200, JSON.stringify(set.keys)), 'the reply is not a JSON object'],
    ['KL-16 null', serveText(200, 'null'), 'the reply is not a JSON object'],
    ['KL-16 deep nesting', serveText(200, `${'{"keys":['.repeat(20)}${']}'.repeat(20)}`), /deeper/],
    ['KL-20 text/html', serveText(200, 'ok', { 'content-type': 'text/html' }), /not JSON/],
  ];
  it.each(rows)('%s is a failed fetch: 503 before, known keys after', async (_n, fault, reason) => {
    const server = keep(await startKeyServer(fault));
    const receiver = await startFor(server);
    const { retryAfterSeconds } = await receiver.unavailability({ key });
    expect(retryAfterSeconds).toBeGreaterThanOrEqual(1);
    expect(lastErrorOf(receiver)).toEqual(
      typeof reason === 'string' ? reason : expect.stringMatching(reason),
    );

    server.respond = serveKeys(set.keys);
    receiver.clock.advance(2);
    expect(await receiver.ask({ key })).toBe('ok');

    server.respond = fault;
    receiver.clock.advance(545);
    await receiver.settle();
    expect(server.hits).toBe(3);
    expect(await receiver.ask({ key })).toBe('ok');
    const failures = receiver.events.of('keys_refresh_failed');
    expect(failures.map(({ servingStale }) => servingStale)).toEqual([false, true]);
    const { keyIds, status } = receiver.service.keyHealth().get(HERALD) ?? {};
    expect({ keyIds, status }).toEqual({ keyIds: [key.keyId], status: 'fresh' });
  });

  it.each<[string, Respond]>([
    ['JF-08 text/html', serveText(200, JSON.stringify(set), { 'content-type': 'text/html' })],
    ['KL-20 no content type', serveText(200, JSON.stringify(set))],
    ['JF-09 exactly 256 KiB', serveText(200, setOfSize(256 * 1024))],
    ['KL-14 100 keys', serveKeys([...manyKeys(99), jwkOf(key)])],
    ['KL-16 members nobody knows', serveText(200, JSON.stringify({ ...set, more: [{}] }))],
  ])('but %s is taken', async (_name, respond) => {
    const receiver = await startFor(keep(await startKeyServer(respond)));
    expect(await receiver.ask({ key })).toBe('ok');
    expect(await receiver.ask({ key: otherKey })).toBe('key_unknown');
  });

  it.each(['JF-09', 'KL-13'])('%s an endless reply is cut off', async () => {
    const server = keep(await startKeyServer(flow(200 * MEBIBYTE)));
    const before = process.memoryUsage().rss;
    const receiver = await startFor(server);
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(lastErrorOf(receiver)).toBe('the reply is larger than 262144 bytes');
    expect(server.bytesSent).toBeLessThan(16 * MEBIBYTE); // what the sockets of the system hold
    expect(process.memoryUsage().rss - before).toBeLessThan(40 * MEBIBYTE);
    server.respond = serveKeys(set.keys);
    receiver.clock.advance(2);
    expect(await receiver.ask({ key })).toBe('ok');
  });

  it.each([301, 302, 303, 307, 308])('JF-10 KL-11 %i is not followed', async (status) => {
    const target = keep(await startKeyServer(serveKeys(set.keys)));
    const server = keep(await startKeyServer(serveText(status, '', { location: target.url })));
    const receiver = await startFor(server);
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(lastErrorOf(receiver)).toBe(`the key server answered ${status}`);
    expect(target.hits).toBe(0);
    expect(await (await startFor(target)).ask({ key })).toBe('ok');
  });

  it('tells the key server nothing, and keeps none of its cookies', async () => {
    const respond = serveKeys(set.keys, { 'set-cookie': 'id=1; Path=/' });
    const server = keep(await startKeyServer(respond));
    const receiver = await startFor(server);
    await receiver.settle();
    receiver.clock.advance(590);
    await receiver.settle();
    const sent = server.requests.map(({ headers }) => Object.keys(headers));
    expect(sent).toHaveLength(2);
    for (const names of sent) {
      expect(names).not.toContain('cookie');
      expect(names).not.toContain('authorization');
      expect(names).not.toContain('jwt');
    }
  });
});

describe('a key server that cannot be reached', () => {
  it('JF-11 because nobody vouches for its certificate', async () => {
    const tls = { key: otherKey.privatePem, cert: selfSign(otherKey) };
    const server = keep(await startKeyServer(serveKeys(set.keys), tls));
    const receiver = await startFor(server);
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(lastErrorOf(receiver)).toBe(
      'the key server cannot be reached (DEPTH_ZERO_SELF_SIGNED_CERT)',
    );
    expect(server.hits).toBe(0);
  });

  it('JF-11 because it does not speak TLS, or nothing else', async () => {
    const plain = keep(await startKeyServer(serveKeys(set.keys)));
    const tls = { key: otherKey.privatePem, cert: selfSign(otherKey) };
    const secure = keep(await startKeyServer(serveKeys(set.keys), tls));
    const wrong = [plain.url.replace('http:', 'https:'), secure.url.replace('https:', 'http:')];
    for (const jwksUri of wrong) {
      const trustedIssuers = [{ issuer: HERALD, jwksUri }];
      const receiver = keep(await startReceiver({ trustedIssuers }));
      expect(await receiver.ask({ key })).toBe('key_unavailable');
      expect(lastErrorOf(receiver)).toMatch(/^the key server cannot be reached \([A-Z_]+\)$/);
    }
  });
});

/** Each takes the three seconds of the deadline, so they are begun together. */
describe('a key server that takes too long', () => {
  const LATE = 'the key server did not answer in time';
  const scenarios = new Map<string, Promise<void>>();
  const servers: KeyServer[] = [];
  const receivers: Receiver[] = [];

  const start = async (respond: Respond, jwksUri?: string) => {
    const server = await startKeyServer(respond);
    servers.push(server);
    const trustedIssuers = [{ issuer: HERALD, jwksUri: jwksUri ?? server.url }];
    const receiver = await startReceiver({ trustedIssuers });
    receivers.push(receiver);
    return { server, receiver };
  };

  const giveUp = async (respond: Respond): Promise<void> => {
    const { server, receiver } = await start(respond);
    const answers = await Promise.all(Array.from({ length: 50 }, () => receiver.ask({ key })));
    expect(new Set(answers)).toEqual(new Set(['key_unavailable']));
    expect(lastErrorOf(receiver)).toBe(LATE);
    expect(server.connections.made).toBe(1);
    server.respond = serveKeys(set.keys);
    receiver.clock.advance(2);
    expect(await receiver.ask({ key })).toBe('ok');
  };

  const giveUpUnderGarbageCollection = async (respond: Respond): Promise<void> => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const timer = setInterval(collect, 200);
    try {
      await giveUp(respond);
    } finally {
      clearInterval(timer);
    }
  };

  const keepKnown = async (): Promise<void> => {
    const { server, receiver } = await start(serveKeys(set.keys));
    await receiver.settle();
    server.respond = hang;
    receiver.clock.advance(545);
    expect(await receiver.ask({ key })).toBe('ok'); // begins the fetch, and does not wait
    await receiver.settle();
    expect(await receiver.ask({ key })).toBe('ok');
    expect(receiver.events.of('keys_refresh_failed')).toMatchObject([
      { reason: LATE, servingStale: true },
    ]);
  };

  const ignoreLateReply = async (): Promise<void> => {
    const held = hold();
    const { server, receiver } = await start(held);
    await receiver.settle();
    server.respond = serveKeys([jwkOf(otherKey)]);
    receiver.clock.advance(2);
    expect(await receiver.ask({ key: otherKey })).toBe('ok');
    held.release(serveKeys(set.keys));
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(await receiver.ask({ key: otherKey })).toBe('ok');
  };

  const failToReach = async (jwksUri: string, reason: RegExp): Promise<void> => {
    const { receiver } = await start(hang, jwksUri);
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(lastErrorOf(receiver)).toMatch(reason);
  };

  const headersAlone: Respond = (_request, response) => response.writeHead(200).flushHeaders();

  const rows: [string, () => Promise<void>][] = [
    ['JF-05 a hang', async () => await giveUp(hang)],
    ['JF-05 a hang after the headers', async () => await giveUp(headersAlone)],
    ['JF-05 a hang while memory is collected', () => giveUpUnderGarbageCollection(hang)],
    ['JF-09 a slow drip', async () => await giveUp(drip(set.keys))],
    [
      'JF-09 a slow drip while memory is collected',
      () => giveUpUnderGarbageCollection(drip(set.keys)),
    ],
    ['JF-04 a hang with keys known', keepKnown],
    ['JF-19 a late reply of an old fetch', ignoreLateReply],
    [
      'JF-11 a name that does not exist',
      () => failToReach('https://keys.invalid/', /cannot be reached \(E[A-Z_]+\)|in time/),
    ],
    [
      'JF-11 an IPv6 black hole',
      () => failToReach('https://[100::1]/', /cannot be reached \([A-Z_]+\)|in time/),
    ],
  ];

  beforeAll(() => {
    for (const [name, run] of rows) {
      const outcome = run();
      outcome.catch(() => undefined); // reported by its own test
      scenarios.set(name, outcome);
    }
  });
  afterAll(async () => {
    for (const receiver of receivers) receiver.close();
    for (const server of servers) await server.close();
  });

  it.each(rows.map(([name]) => name))(
    '%s is given up, and recovered from',
    async (name) => {
      await scenarios.get(name);
    },
    15_000,
  );
});

describe('JF-18 closing while a fetch is in flight', () => {
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  beforeAll(() => void process.on('unhandledRejection', note));
  afterAll(() => void process.off('unhandledRejection', note));

  it.each<[string, Respond]>([
    ['before the reply', hang],
    ['in the middle of the reply', drip(set.keys)],
  ])('%s ends it, and begins no other', async (_name, respond) => {
    const server = keep(await startKeyServer(respond));
    const arrival = server.nextRequest();
    const receiver = await startFor(server);
    const waiting = receiver.ask({ key });
    const { socket } = await arrival;
    const closed = new Promise((resolve) => socket.once('close', resolve));
    receiver.close();
    expect(await waiting).toBe('key_unavailable');
    await closed;
    server.respond = serveKeys(set.keys);
    receiver.clock.advance(3600);
    expect(await receiver.ask({ key })).toBe('key_unavailable');
    expect(server.hits).toBe(1);
    expect(receiver.events.all).toEqual([]);
    await new Promise(setImmediate);
    expect(rejections).toEqual([]);
  });

  it('lets known keys serve the requests that are still there', async () => {
    const server = keep(await startKeyServer(serveKeys(set.keys)));
    const receiver = await startFor(server);
    await receiver.settle();
    server.respond = hang;
    receiver.clock.advance(590);
    const arrival = server.nextRequest();
    expect(await receiver.ask({ key })).toBe('ok');
    await arrival;
    receiver.close();
    receiver.clock.advance(100);
    expect(await receiver.ask({ key })).toBe('ok');
    expect(server.hits).toBe(2);
  });
});

it('JF-17 one dead key server of 50 stops nobody else', async () => {
  const servers = await Promise.all(
    Array.from({ length: 50 }, async (_, at) =>
      keep(await startKeyServer(at === 7 ? hang : serveKeys(set.keys))),
    ),
  );
  const trustedIssuers = servers.map(({ url }, at) => ({
    issuer: `https://s${at}.service/`,
    jwksUri: url,
  }));
  const receiver = keep(await startReceiver({ trustedIssuers }));
  const others = trustedIssuers.filter((_, at) => at !== 7);
  const answers = await Promise.all(
    others.map(async ({ issuer }) => await receiver.ask({ key, issuer })),
  );
  expect(answers).toEqual(others.map(() => 'ok'));
  const health = receiver.service.keyHealth().get('https://s7.service/');
  expect(health).toMatchObject({ status: 'unavailable', nextRefreshInSeconds: 0 });
});
