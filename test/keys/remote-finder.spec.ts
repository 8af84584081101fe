import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  ServiceAuthConfigError,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth/core';
import { jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  closeAfterEach,
  HERALD,
  type Receiver,
  startReceiver,
} from '../support/services/receiver.js';

const TRUSTED_SECONDS = 60;
const UNKNOWN_SECONDS = 10;
const RETRY_SECONDS = 5;
const MEBIBYTE = 1024 * 1024;
const STRANGER = 'https://stranger.service/';
const key = createKey();
const nextKey = createKey();
const keep = closeAfterEach();

/** A table of trusted issuers as a database has it, that does what a test tells it to. */
class IssuerTable implements TrustedIssuerFinder {
  readonly asked: string[] = [];
  readonly rows = new Map<string, TrustedIssuerOptions>();
  /** What a look-up does instead, while it is set. */
  instead: ((issuer: string) => unknown) | undefined;

  constructor(...rows: TrustedIssuerOptions[]) {
    for (const row of rows) this.rows.set(row.issuer, row);
  }

  async find(issuer: string): Promise<TrustedIssuerOptions | undefined> {
    this.asked.push(issuer);
    if (this.instead) return (await this.instead(issuer)) as TrustedIssuerOptions | undefined;
    return await Promise.resolve(this.rows.get(issuer));
  }
}

const fail = (): never => {
  throw new Error('the database is away');
};
const never = async (): Promise<never> => await new Promise<never>(() => undefined);

const herald = (options: Partial<TrustedIssuerOptions> = {}): TrustedIssuerOptions => ({
  issuer: HERALD,
  ...('jwksUri' in options ? {} : { publicKey: key.publicPem }),
  ...options,
});

async function startWith(
  table: IssuerTable,
  options: Parameters<typeof startReceiver>[0] = {},
): Promise<Receiver> {
  return keep(await startReceiver({ trustedIssuers: table, ...options }));
}

const tick = async (): Promise<void> => await new Promise(setImmediate);

/** Lets time pass in steps, with one request in each. */
async function live(receiver: Receiver, seconds: number, question = { key }): Promise<string[]> {
  const answers: string[] = [];
  for (let passed = 0; passed < seconds; passed++) {
    receiver.clock.advance(1);
    answers.push(await receiver.ask(question));
    await tick();
  }
  return answers;
}

const only = (answers: readonly string[]): string[] => [...new Set(answers)];

describe('KL-18 what a TrustedIssuerFinder answers', () => {
  const circular: Record<string, unknown> = { issuer: HERALD };
  circular['keys'] = [circular];
  it.each<[string, () => unknown, string]>([
    ['undefined', () => undefined, 'issuer_unknown'],
    ['null', () => null, 'issuer_unknown'],
    ['an empty string', () => '', 'issuer_unknown'],
    ['false', () => false, 'issuer_unknown'],
    ['an error', fail, 'key_unavailable'],
    ['a rejection', async () => await Promise.reject(new Error('away')), 'key_unavailable'],
    ['a rejection with nothing', async () => await Promise.reject(), 'key_unavailable'],
    ['a string', () => HERALD, 'key_unavailable'],
    ['true', () => true, 'key_unavailable'],
    ['an empty object', () => ({}), 'key_unavailable'],
    ['a list', () => [herald()], 'key_unavailable'],
    ['another issuer', () => ({ ...herald(), issuer: STRANGER }), 'key_unavailable'],
    ['no usable key', () => herald({ publicKey: 'no key' }), 'key_unavailable'],
    ['keys at a place not allowed', () => herald({ jwksUri: 'file:///keys' }), 'key_unavailable'],
    ['an option nobody knows', () => ({ ...herald(), trust: 'all' }), 'key_unavailable'],
    ['a loop', () => circular, 'key_unavailable'],
    ['a number no JSON has', () => ({ ...herald(), keys: [1n] }), 'key_unavailable'],
    ['what is right', () => herald(), 'ok'],
  ])('%s', async (_name, instead, code) => {
    const table = new IssuerTable();
    table.instead = instead;
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe(code);
    expect(await receiver.ask({ key })).toBe(code);
    expect(table.asked).toEqual([HERALD]);
  });

  it('nothing, ever: 503 after three seconds, at once for a while, then another try', async () => {
    const table = new IssuerTable(herald());
    table.instead = never;
    const receiver = await startWith(table);
    const all = await Promise.all(Array.from({ length: 20 }, () => receiver.ask({ key })));
    expect(only(all)).toEqual(['key_unavailable']);
    const refusal = await receiver.unavailability({ key });
    expect(refusal.retryAfterSeconds).toBe(RETRY_SECONDS);
    expect(table.asked).toHaveLength(1);
    table.instead = undefined;
    receiver.clock.advance(RETRY_SECONDS);
    expect(await receiver.ask({ key })).toBe('ok');
  }, 15_000);

  it('is no option when there is no method to ask', async () => {
    const trustedIssuers = {} as TrustedIssuerFinder;
    await expect(startReceiver({ trustedIssuers })).rejects.toThrow(ServiceAuthConfigError);
  });
});

describe('answers are kept', () => {
  it('for a minute when they are yes, and asked for again before no request waits', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    const first = await Promise.all(Array.from({ length: 200 }, () => receiver.ask({ key })));
    expect(only(first)).toEqual(['ok']);
    receiver.clock.advance(44);
    expect(await receiver.ask({ key })).toBe('ok');
    expect(table.asked).toHaveLength(1);
    table.instead = never;
    receiver.clock.advance(2);
    for (let round = 0; round < 10; round++) expect(await receiver.ask({ key })).toBe('ok');
    expect(table.asked).toHaveLength(2);
  });

  it('for ten seconds when they are no, without a fetch or signature work', async () => {
    const table = new IssuerTable();
    const receiver = await startWith(table);
    expect(only(await live(receiver, UNKNOWN_SECONDS))).toEqual(['issuer_unknown']);
    expect(table.asked).toHaveLength(1);
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    table.rows.set(HERALD, herald({ jwksUri: server.url }));
    expect(server.hits).toBe(0);
    expect(await live(receiver, 1)).toEqual(['ok']);
    expect(server.hits).toBe(1);
  });

  it('and trust that is taken away ends within a minute', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    table.rows.clear();
    const answers = await live(receiver, TRUSTED_SECONDS);
    expect(answers.at(-1)).toBe('issuer_unknown');
    expect(answers.lastIndexOf('ok')).toBeLessThan(answers.indexOf('issuer_unknown'));
    expect(receiver.service.keyHealth().size).toBe(0);
  });

  it('and trust of who has not called meanwhile is asked about before it counts', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    table.rows.clear();
    receiver.clock.advance(TRUSTED_SECONDS);
    expect(await receiver.ask({ key })).toBe('issuer_unknown');
  });
});

describe('while the finder is out of order', () => {
  it('whoever was trusted stays so, up to `maxStaleSeconds`, without any waiting', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table, { maxStaleSeconds: 600 });
    expect(await receiver.ask({ key })).toBe('ok');
    table.instead = fail;
    expect(only(await live(receiver, 599))).toEqual(['ok']);
    expect(table.asked.length).toBeGreaterThan(50);
    expect(table.asked.length).toBeLessThanOrEqual(600 / RETRY_SECONDS);
    expect(receiver.events.all.slice(0, 2)).toEqual([
      { type: 'issuer_look_up_failed', reason: 'the finder of trustedIssuers failed (Error)' },
      {
        type: 'keys_refresh_failed',
        issuer: HERALD,
        reason: 'the look-up of the issuer failed',
        servingStale: true,
      },
    ]);
    receiver.events.all.splice(0);
    expect((await live(receiver, 10)).at(-1)).toBe('key_unavailable');
    table.instead = undefined;
    expect((await live(receiver, RETRY_SECONDS)).at(-1)).toBe('ok');
    expect(receiver.events.of('issuer_look_up_recovered')).toHaveLength(1);
    const keyIds = [key.keyId];
    expect(receiver.events.all.at(-1)).toEqual({ type: 'keys_refreshed', issuer: HERALD, keyIds });
  });

  it('what it says wrongly of one who was trusted is told, without a value of it', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    table.rows.set(HERALD, herald({ publicKey: key.privatePem }));
    expect(only(await live(receiver, 120))).toEqual(['ok']);
    const [failure] = receiver.events.of('keys_refresh_failed');
    expect(failure?.reason).toMatch(
      /publicKey: is a private key, known to others by now: make a new one; write one public key/,
    );
    expect(JSON.stringify(receiver.events.all)).not.toContain('PRIVATE KEY');
  });

  it('strangers get 503, are not named in events, and cost one look-up a while', async () => {
    const table = new IssuerTable();
    table.instead = fail;
    const receiver = await startWith(table);
    expect(only(await live(receiver, 20))).toEqual(['key_unavailable']);
    expect(table.asked).toHaveLength(20 / RETRY_SECONDS);
    expect(receiver.events.all).toEqual([
      { type: 'issuer_look_up_failed', reason: 'the finder of trustedIssuers failed (Error)' },
    ]);
  });
});

describe('when a row changes', () => {
  it('its new keys count within a minute, and the old ones no longer', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    table.rows.set(HERALD, herald({ publicKey: nextKey.publicPem }));
    await live(receiver, TRUSTED_SECONDS);
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
  });

  it('its new URL counts within a minute, and the old one is asked no more', async () => {
    const before = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const after = keep(await startKeyServer(serveKeys([jwkOf(nextKey)])));
    const table = new IssuerTable(herald({ jwksUri: before.url }));
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    table.rows.set(HERALD, herald({ jwksUri: after.url }));
    await live(receiver, TRUSTED_SECONDS);
    expect(await receiver.ask({ key: nextKey })).toBe('ok');
    expect(await receiver.ask({ key })).toBe('key_unknown');
    receiver.clock.advance(3600);
    await receiver.ask({ key: nextKey });
    expect([before.hits, after.hits]).toEqual([1, 2]);
  });

  it('what it says besides keys changes, and fetched keys are kept', async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const table = new IssuerTable(herald({ jwksUri: server.url }));
    const receiver = await startWith(table);
    const question = { key, subject: `${CENSUS}user/21/` };
    expect(await receiver.ask(question)).toBe('ok');
    await server.down();
    table.rows.set(HERALD, herald({ jwksUri: server.url, subjects: [`${CENSUS}user/9/`] }));
    const answers = await live(receiver, TRUSTED_SECONDS, question);
    expect(only(answers)).toEqual(['ok', 'subject_not_allowed']);
    expect(await receiver.ask({ key, subject: `${CENSUS}user/9/` })).toBe('ok');
    expect(server.hits).toBe(1);
  });
});

it('JF-15 1,000 concurrent first requests cost one look-up and one fetch', async () => {
  const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
  const table = new IssuerTable(herald({ jwksUri: server.url }));
  const receiver = await startWith(table);
  const answers = await Promise.all(Array.from({ length: 1000 }, () => receiver.ask({ key })));
  expect(only(answers)).toEqual(['ok']);
  expect([table.asked.length, server.hits]).toEqual([1, 1]);
});

it('refreshes the keys of those who call, and forgets who has not for an hour', async () => {
  const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
  const table = new IssuerTable(herald({ jwksUri: server.url }));
  const receiver = await startWith(table);
  expect(await receiver.ask({ key })).toBe('ok');
  receiver.clock.advance(545);
  await receiver.settle();
  expect(server.hits).toBe(2);
  receiver.clock.advance(2 * 3600);
  await receiver.settle();
  expect(server.hits).toBe(2);
  expect(receiver.service.keyHealth().size).toBe(0);
  expect(await receiver.ask({ key })).toBe('ok');
  expect(server.hits).toBe(3);
});

it('JF-18 closing while a look-up is under way begins no fetch', async () => {
  const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
  const table = new IssuerTable();
  const receiver = await startWith(table);
  let answer: (row: TrustedIssuerOptions) => void = () => undefined;
  table.instead = async () =>
    await new Promise<TrustedIssuerOptions>((resolve) => (answer = resolve));
  const waiting = receiver.ask({ key });
  await tick();
  receiver.close();
  answer(herald({ jwksUri: server.url }));
  expect(await waiting).toBe('key_unavailable');
  expect(server.hits).toBe(0);
});

describe('a flood of distinct unknown issuers', () => {
  const strangers = (count: number, from = 0): string[] =>
    Array.from({ length: count }, (_, at) => `${STRANGER}${'x'.repeat(900)}/${from + at}/`);
  const askAs = async (receiver: Receiver, issuers: readonly string[]): Promise<string[]> =>
    await Promise.all(issuers.map(async (issuer) => await receiver.ask({ key, issuer })));

  it('leaves memory bounded, fetches nothing, and stops no honest request', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const table = new IssuerTable(herald({ jwksUri: server.url }));
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    await askAs(receiver, strangers(50));
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let sent = 0; sent < 15_000; sent += 50) {
      expect(only(await askAs(receiver, strangers(50, sent)))).toEqual(['issuer_unknown']);
      table.asked.length = 0;
    }
    expect(await receiver.ask({ key })).toBe('ok');
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * MEBIBYTE);
    expect(server.hits).toBe(1);
  }, 60_000);

  /** A table that answers nobody but HERALD until it is told to. */
  function slow(table: IssuerTable): { release: () => void } {
    const releases: (() => void)[] = [];
    table.instead = async (issuer) => {
      if (issuer !== HERALD) await new Promise<void>((resolve) => releases.push(resolve));
      return table.rows.get(issuer);
    };
    table.asked.length = 0;
    const release = (): void => {
      table.instead = undefined;
      for (const resolve of releases.splice(0)) resolve();
    };
    return { release };
  }
  const count = (answers: readonly string[], code: string): number =>
    answers.filter((answer) => answer === code).length;

  it('KL-23 asks a slow database few questions about one host, and leaves room for others', async () => {
    const table = new IssuerTable(herald());
    const receiver = await startWith(table);
    const { release } = slow(table);
    const flood = askAs(receiver, strangers(300));
    await tick();
    expect(table.asked).toHaveLength(50);
    expect(await receiver.ask({ key })).toBe('ok');
    release();
    const answers = await flood;
    expect(count(answers, 'issuer_unknown')).toBe(50);
    expect(count(answers, 'key_unavailable')).toBe(250);
    expect(await receiver.ask({ key, issuer: `${STRANGER}later/` })).toBe('issuer_unknown');
  });

  it('KL-23 counts a host whatever the port, the scheme and the case', async () => {
    const table = new IssuerTable();
    const receiver = await startWith(table);
    const { release } = slow(table);
    const names = [
      'https://stranger.service:',
      'http://stranger.service:',
      'https://Stranger.Service:',
    ];
    const issuers = names.flatMap((name) =>
      Array.from({ length: 40 }, (_, at) => `${name}${at + 1}/`),
    );
    const flood = askAs(receiver, issuers);
    await tick();
    expect(table.asked).toHaveLength(50);
    release();
    await flood;
  });

  it.each([
    ['a moment ago', TRUSTED_SECONDS],
    ['hours ago', 3 * 3600],
  ])('KL-23 with every place taken, who was trusted %s is let in', async (_name, seconds) => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const table = new IssuerTable(herald({ jwksUri: server.url }));
    const receiver = await startWith(table);
    expect(await receiver.ask({ key })).toBe('ok');
    receiver.clock.advance(seconds);
    await receiver.settle(); // who has not called for an hour is forgotten here
    const { release } = slow(table);
    const hosts = Array.from({ length: 300 }, (_, at) => `https://s${at}.service/`);
    const flood = askAs(receiver, hosts);
    await tick();
    expect(table.asked).toHaveLength(100);
    expect(await receiver.ask({ key })).toBe('ok');
    release();
    const answers = await flood;
    expect(count(answers, 'issuer_unknown')).toBe(100);
    expect(count(answers, 'key_unavailable')).toBe(200);
  });
});

describe('KL-22 an issuer that is no service URI', () => {
  it.each<[string, string, boolean]>([
    ['no URI', 'herald', false],
    ['a relative URI', '/herald/', false],
    ['another scheme', 'ftp://herald.service/', false],
    ['a URN', 'urn:service:herald', false],
    ['a query', `${HERALD}?tenant=1`, false],
    ['a fragment', `${HERALD}#1`, false],
    ['credentials', 'https://user:secret@herald.service/', false],
    ['white space', `${HERALD} `, false],
    ['a line break', `${HERALD}\n`, false],
    ['letters that are not ASCII', 'https://hérald.service/', false],
    ['no host', 'https:///herald/', false],
    ['a port that is none', 'https://herald.service:65536/', false],
    ['1,025 characters', HERALD.padEnd(1025, 'x'), false],
    ['1,024 characters', HERALD.padEnd(1024, 'x'), true],
    ['a port', 'https://herald.service:8443/', true],
    ['http', 'http://herald.service/census', true],
  ])('%s', async (_name, issuer, isAsked) => {
    const table = new IssuerTable();
    table.instead = (asked) => ({ issuer: asked, publicKey: key.publicPem });
    const receiver = await startWith(table);
    expect(await receiver.ask({ key, issuer })).toBe(isAsked ? 'ok' : 'issuer_unknown');
    expect(table.asked).toEqual(isAsked ? [issuer] : []);
  });
});

it('KL-24 an issuer that is found in the original profile is told of once', async () => {
  const table = new IssuerTable(herald({ profile: 'original' }));
  const receiver = await startWith(table);
  const originals = () => receiver.events.of('original_issuer_found');
  await receiver.ask({ key });
  expect(originals()).toEqual([{ type: 'original_issuer_found', issuer: HERALD }]);
  await live(receiver, 2 * TRUSTED_SECONDS);
  receiver.clock.advance(2 * 3600);
  await receiver.settle();
  await receiver.ask({ key });
  expect(table.asked.length).toBeGreaterThan(2);
  expect(originals()).toHaveLength(1);
});

it('KL-24 an issuer that is found in the strict profile is not', async () => {
  const receiver = await startWith(new IssuerTable(herald()));
  expect(await receiver.ask({ key })).toBe('ok');
  expect(receiver.events.of('original_issuer_found')).toEqual([]);
});
