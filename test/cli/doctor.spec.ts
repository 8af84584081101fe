import { chmodSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { type Ran, runProgram, temporaryFolder } from '../support/command-line.js';
import {
  jwkOf,
  type KeyServer,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/key-server.js';
import { createKey } from '../support/keys.js';
import { CLIENTS, type ClientName } from '../support/redis-clients.js';
import { describeRedis, findFreePort, RedisServer } from '../support/redis-server.js';
import { ADAPTERS, startService } from '../support/service.js';
import { itWithFileModes } from '../support/file-modes.js';

interface Check {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly advice: string | null;
}

const CENSUS = 'https://census.service/';
const key = createKey();
const folder = temporaryFolder();
const keyFile = folder.path('census.pem');
const callerKey = createKey();
const requireHere = createRequire(import.meta.url);
const urlOf = (name: string) => JSON.stringify(pathToFileURL(requireHere.resolve(name)).href);
const STORE = JSON.stringify(new URL('../../dist/redis.js', import.meta.url).href);

let published: KeyServer;
let caller: KeyServer;
beforeAll(async () => {
  writeFileSync(keyFile, key.privatePem, { mode: 0o600 });
  published = await startKeyServer(serveKeys([]));
  caller = await startKeyServer(serveKeys([]));
});
beforeEach(() => {
  published.respond = serveKeys([jwkOf(key)]);
  caller.respond = serveKeys([jwkOf(callerKey)]);
});
afterAll(async () => {
  await published.close();
  await caller.close();
  folder.remove();
});

const originOf = ({ url }: KeyServer) => `${new URL(url).origin}/`;
/** The options of a service with which nothing is wrong. */
const goodOptions = () => ({
  issuer: originOf(published),
  signingKey: { keyFile },
  targets: [{ baseUrl: originOf(caller) }],
  trustedIssuers: [{ issuer: originOf(caller) }],
});

let written = 0;
function write(text: string, extension = 'mjs'): string {
  written += 1;
  const file = folder.path(`options-${written}.${extension}`);
  writeFileSync(file, text);
  return file;
}

/** A store that does its work, in JavaScript. */
const GOOD_STORE = `const used = new Set();
const store = {
  recordUse({ tokenId }) {
    const verdict = used.has(tokenId) ? 'seen' : 'first';
    used.add(tokenId);
    return verdict;
  },
};`;

interface ModuleParts {
  /** What makes `store`. */
  readonly store?: string;
  /** Members of the options in JavaScript, which come after the others. */
  readonly members?: string;
}

/** A module that exports these options. */
function moduleOf(options: object, { store = GOOD_STORE, members = '' }: ModuleParts = {}): string {
  const json = JSON.stringify(options);
  return write(`${store}\nexport default { ...${json}, replayStore: store, ${members} };`);
}

const doctor = async (file: string, ...more: string[]): Promise<Ran> =>
  await runProgram(['doctor', file, '--json', ...more]);
const checksOf = ({ json }: Ran) => json?.['checks'] as Check[];
const worst = (ran: Ran, name: string) =>
  checksOf(ran).find((each) => each.check === name && each.status !== 'ok');

describe('doctor', () => {
  it('finds nothing where nothing is wrong, and says what it looked at', async () => {
    const ran = await doctor(moduleOf(goodOptions()), '--strict');
    expect(ran.json).toEqual({ status: 'ok', checks: expect.any(Array) as unknown[] });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    for (const check of checksOf(ran)) {
      const text = expect.any(String) as string;
      expect(check).toEqual({ check: text, status: 'ok', message: text, advice: null });
    }
    expect(checksOf(ran).map(({ check }) => check)).toEqual([
      'key file',
      'options',
      'signing key',
      'published keys',
      'keys of issuer',
      'clock',
      'replay store',
    ]);
    expect(ran.stdout).toContain(key.keyId);
    expect(ran.stdout).toContain(callerKey.keyId);
    expect(ran.stdout).not.toContain('PRIVATE KEY');
  });

  it('says the same in words', async () => {
    const good = await runProgram(['doctor', moduleOf(goodOptions())]);
    expect(good).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/\n7 ok, 0 warn, 0 fail\n$/) as string,
    });
    await caller.down();
    const bad = await runProgram(['doctor', moduleOf(goodOptions())]);
    await caller.resume();
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/^fail {2}keys of issuer: .*ECONNREFUSED.*\n {6}open the URL/m);
  });

  itWithFileModes('warns of a key that others can read', async () => {
    const open = folder.path('open.pem');
    writeFileSync(open, key.privatePem);
    chmodSync(open, 0o644);
    const file = moduleOf({ ...goodOptions(), signingKey: { keyFile: open } });
    const ran = await doctor(file);
    expect(ran).toMatchObject({ code: 0, json: { status: 'warn' } });
    expect(worst(ran, 'key file')).toMatchObject({ status: 'warn', advice: `chmod 600 ${open}` });
    expect((await doctor(file, '--strict')).code).toBe(1);
    chmodSync(open, 0o600);
    expect((await doctor(file, '--strict')).code).toBe(0);
  });

  it('lists every wrong option, with what to write', async () => {
    const signingKey = { keyFile: folder.path('nowhere.pem') };
    const ran = await doctor(
      moduleOf({ ...goodOptions(), signingKey, tokenLifetimeSeconds: 0, colour: 1 }),
    );
    expect(ran.code).toBe(1);
    expect(worst(ran, 'key file')).toMatchObject({ status: 'fail' });
    const fields = checksOf(ran)
      .filter(({ check }) => check === 'options')
      .map(({ message }) => message);
    expect(fields.toSorted()).toEqual(['colour', 'signingKey.keyFile', 'tokenLifetimeSeconds']);
  });

  it.each([
    ['fails', 'lists another key', () => serveKeys([jwkOf(callerKey)]), 'fail'],
    ['warns', 'cannot be compared', () => serveText(404, 'nothing'), 'warn'],
  ] as const)('%s where what is published %s', async (_verb, _what, respond, status) => {
    published.respond = respond();
    expect(worst(await doctor(moduleOf(goodOptions())), 'published keys')).toMatchObject({
      status,
    });
  });

  it('compares with the keys at another place where it is told to', async () => {
    const options = { ...goodOptions(), issuer: CENSUS };
    const ran = await doctor(moduleOf(options), '--published-at', published.url, '--strict');
    expect(ran.code).toBe(0);
    const off = await doctor(moduleOf({ ...options, publishedKeys: 'off' }));
    expect(worst(off, 'published keys')).toMatchObject({ status: 'warn' });
  });

  it.each(ADAPTERS)('finds the signing key in what a service on %s publishes', async (adapter) => {
    const census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          signingKey: { privateKey: key.privatePem },
          targets: [{ baseUrl: 'https://herald.service/' }],
        }),
      ],
    });
    const url = `${census.url}/.well-known/jwks.json`;
    const ran = await doctor(moduleOf(goodOptions()), '--published-at', url, '--strict');
    await census.close();
    expect(ran.code).toBe(0);
  });

  it.each([
    ['no set', () => serveText(500, 'sorry')],
    ['no key that can be used', () => serveKeys([{ kty: 'oct', k: 'c2VjcmV0' }])],
  ])('fails where an issuer publishes %s', async (_what, respond) => {
    caller.respond = respond();
    const ran = await doctor(moduleOf(goodOptions()));
    expect(ran.code).toBe(1);
    expect(worst(ran, 'keys of issuer')).toMatchObject({ status: 'fail' });
  });

  it('warns of one key that is not used beside others', async () => {
    caller.respond = serveKeys([jwkOf(callerKey), { kty: 'oct', k: 'c2VjcmV0' }]);
    const ran = await doctor(moduleOf(goodOptions()));
    expect(worst(ran, 'keys of issuer')).toMatchObject({ status: 'warn' });
    expect(ran.stdout).not.toContain('c2VjcmV0');
  });

  it('warns of the original profile, of keys turned off and of issuers it cannot list', async () => {
    const [issuer] = goodOptions().trustedIssuers;
    const original = await doctor(
      moduleOf({ ...goodOptions(), trustedIssuers: [{ ...issuer, profile: 'original' }] }),
    );
    expect(worst(original, 'profile')).toMatchObject({ status: 'warn' });
    for (const finder of ['{ find: () => null }', 'class Finder {}']) {
      const ran = await doctor(moduleOf(goodOptions(), { members: `trustedIssuers: ${finder}` }));
      expect(worst(ran, 'keys of issuer')).toMatchObject({ status: 'warn' });
    }
  });

  it.each([
    ['behind', 3600, 'fail'],
    ['ahead of', -3600, 'fail'],
    ['behind', 45, 'warn'],
  ] as const)('tells that this clock is %s another (%i s)', async (side, seconds, status) => {
    const date = new Date(Date.now() + seconds * 1000).toUTCString();
    caller.respond = (request, response) =>
      serveKeys([jwkOf(callerKey)], { date })(request, response);
    const tolerance = status === 'warn' ? 60 : 5;
    const ran = await doctor(moduleOf({ ...goodOptions(), clockToleranceSeconds: tolerance }));
    expect(worst(ran, 'clock')).toMatchObject({
      status,
      message: expect.stringContaining(side) as string,
    });
  });

  it.each([
    ['warns of', 'no store', 'replayStore: undefined', 'warn'],
    [
      'warns of',
      'a store in memory',
      'replayStore: new (class MemoryReplayStore { recordUse = store.recordUse })()',
      'warn',
    ],
    [
      'fails for',
      'a store that sees no replay',
      "replayStore: { recordUse: () => 'first' }",
      'fail',
    ],
    [
      'fails for',
      'a store that throws',
      "replayStore: { recordUse() { throw new Error('canary') } }",
      'fail',
    ],
  ])('%s %s', async (_verb, _what, members, status) => {
    const ran = await doctor(moduleOf(goodOptions(), { members }));
    expect(worst(ran, 'replay store')).toMatchObject({ status });
    expect(ran.stdout).not.toContain('canary');
  });
});

describeRedis.each(CLIENTS)('doctor, with a store in Redis over %s', (client: ClientName) => {
  const using = (port: number, more = '') =>
    client === 'ioredis'
      ? `import { RedisReplayStore } from ${STORE};
         import { Redis } from ${urlOf('ioredis')};
         const store = new RedisReplayStore({ client: new Redis(${port}, '127.0.0.1'), ${more} });`
      : `import { RedisReplayStore } from ${STORE};
         import { createClient } from ${urlOf('redis')};
         const client = createClient({ url: 'redis://127.0.0.1:${port}' });
         client.connect();
         const store = new RedisReplayStore({ client, ${more} });`;

  it.each([
    ['ok', 'noeviction'],
    ['warn', 'allkeys-lru'],
  ])('is %s with the policy %s', async (status, policy) => {
    const redis = await RedisServer.start('--maxmemory-policy', policy);
    const ran = await doctor(moduleOf(goodOptions(), { store: using(redis.port) }));
    await redis.close();
    expect(ran.json).toMatchObject({ status });
    if (status === 'warn') expect(worst(ran, 'replay store')?.message).toContain(policy);
    expect(ran.code).toBe(0);
  });

  it('fails where it is out of reach, whatever the store asks for at start', async () => {
    const port = await findFreePort();
    const store = using(port, 'requireConnectionAtStart: true');
    const ran = await doctor(moduleOf(goodOptions(), { store }));
    expect(ran.code).toBe(1);
    expect(worst(ran, 'replay store')).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('Redis is not connected') as string,
    });
  });
});

describe('the module that doctor reads', () => {
  const options = () => JSON.stringify(goodOptions());

  it.each([
    ['a default export', (text: string) => write(`export default ${text};`), []],
    ['a named export', (text: string) => write(`export const serviceAuthOptions = ${text};`), []],
    ['a function', (text: string) => write(`export const options = () => (${text});`), []],
    ['an async function', (text: string) => write(`export default async () => (${text});`), []],
    ['CommonJS', (text: string) => write(`module.exports = ${text};`, 'cjs'), []],
    [
      'CommonJS of a compiler',
      (text: string) => write(`exports.__esModule = true; exports.options = ${text};`, 'cjs'),
      [],
    ],
    [
      'an export by name',
      (text: string) => write(`export const mine = ${text};`),
      ['--export', 'mine'],
    ],
  ] as const)('may have %s', async (_what, make, more) => {
    const ran = await doctor(make(options()), ...more);
    expect(ran).toMatchObject({ code: 0, json: { status: 'warn' } });
  });

  it('may hold what is for Nest alone', async () => {
    const members =
      "userResolver: class {}, spoolDirectory: '/tmp', tokenAfterVerification: 'keep'";
    expect((await doctor(moduleOf(goodOptions(), { members }), '--strict')).code).toBe(0);
  });

  it.each([
    ['is not there', () => folder.path('nowhere.mjs'), []],
    ['fails', () => write("throw new Error('canary-secret');"), []],
    [
      'has a function that fails',
      () => write("export default () => { throw new Error('canary-secret'); };"),
      [],
    ],
    ['is no JavaScript', () => write('canary-secret {'), []],
    ['exports nothing', () => write('export {};'), []],
    ['lacks the export that is named', () => write('export default {};'), ['--export', 'mine']],
  ] as const)('is refused where it %s, without a word of it', async (_what, make, more) => {
    const ran = await doctor(make(), ...more);
    expect(ran).toMatchObject({ code: 3, json: { error: { reason: 'impossible' } } });
    expect(ran.stdout + ran.stderr).not.toContain('canary');
  });
});
