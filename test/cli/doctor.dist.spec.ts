import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { type Ran, runProgram, temporaryFolder } from './command-line.js';
import {
  jwkOf,
  type KeyServer,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { CLIENTS, type ClientName } from '../support/redis/redis-clients.js';
import { describeRedis, findFreePort, RedisServer } from '../support/redis/redis-server.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { itWithFileModes } from './file-modes.js';

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
/** The options that it names as wrong. */
const optionsIn = (ran: Ran) =>
  checksOf(ran)
    .flatMap(({ check, status, message }) =>
      check === 'options' && status === 'fail' ? [message] : [],
    )
    .toSorted();
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
    expect(optionsIn(ran)).toEqual(['colour', 'tokenLifetimeSeconds']);
    // The file that is not there is named once.
    expect(worst(ran, 'key file')).toMatchObject({ status: 'fail' });
    const empty = folder.path('empty.pem');
    writeFileSync(empty, '', { mode: 0o600 });
    const unusable = await doctor(moduleOf({ ...goodOptions(), signingKey: { keyFile: empty } }));
    expect(optionsIn(unusable)).toEqual(['signingKey.keyFile']);
    expect(worst(unusable, 'key file')).toBeUndefined();
  });

  it('says where it looks for a key file, and from which folder', async () => {
    const relative = { ...goodOptions(), signingKey: { keyFile: 'census.pem' } };
    const parent = folder.path('..');
    const run = async (options: object, cwd: string) =>
      await runProgram(['doctor', moduleOf(options), '--json'], { cwd });
    const elsewhere = worst(await run(relative, parent), 'key file');
    expect(elsewhere).toMatchObject({
      status: 'fail',
      message: `${join(parent, 'census.pem')} cannot be read (ENOENT)`,
      advice: expect.stringMatching(
        /^census\.pem is relative to the folder that doctor runs in, .*: run doctor where the service runs\. Only if there is no key yet, put /,
      ) as string,
    });
    expect(worst(await run(relative, folder.path('.')), 'key file')).toBeUndefined();
    const absolute = { ...goodOptions(), signingKey: { keyFile: folder.path('nowhere.pem') } };
    expect(worst(await run(absolute, parent), 'key file')?.advice).toMatch(/^put the private key/);
  });

  const bare = 'https://bare.service';
  const trusted = { issuer: bare, publicKey: callerKey.publicPem };
  it.each<[what: string, changes: () => object]>([
    ['a trusted issuer', () => ({ trustedIssuers: [trusted] })],
    ['a target', () => ({ targets: [{ baseUrl: originOf(caller), audience: bare }] })],
    ['its own audience', () => ({ audience: [originOf(published), bare] })],
    ['its own topic', () => ({ topics: [bare] })],
    ['its own issuer', () => ({ issuer: bare })],
  ])('warns once of a name without its final slash: %s', async (_what, changes) => {
    const names = async (options: object) =>
      checksOf(await doctor(moduleOf(options))).filter(({ check }) => check === 'issuer names');
    const wrong = { ...goodOptions(), ...changes() };
    expect(await names(wrong)).toMatchObject([
      {
        status: 'warn',
        message: expect.stringContaining(`${bare} has no final slash`) as string,
      },
    ]);
    const right = JSON.parse(JSON.stringify(wrong).replaceAll(`"${bare}"`, `"${bare}/"`)) as object;
    expect(await names(right)).toEqual([]);
  });

  it('says of its own name what callers and called services write', async () => {
    const ran = await doctor(moduleOf({ ...goodOptions(), issuer: bare }));
    const { message } = worst(ran, 'issuer names') ?? { message: '' };
    for (const word of ['trustedIssuers', 'audience']) expect(message).toContain(word);
  });

  it('needs no signing key where the service only receives', async () => {
    const { signingKey: _key, targets: _targets, ...receiving } = goodOptions();
    const ran = await doctor(moduleOf(receiving));
    expect(checksOf(ran)).toContainEqual({
      check: 'signing key',
      status: 'ok',
      message: 'not needed, since this service only receives',
      advice: null,
    });
  });

  it('warns of an issuer without a path: a service nearly always writes the slash', async () => {
    const good = goodOptions();
    const trustedIssuers = [{ ...good.trustedIssuers[0], issuer: 'https://bare.service' }];
    const named = await doctor(moduleOf({ ...good, trustedIssuers }));
    expect(worst(named, 'issuer names')).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('https://bare.service has no final slash') as string,
    });
    expect(worst(await doctor(moduleOf(good)), 'issuer names')).toBeUndefined();
  });

  it('warns of names that differ in the final slash alone', async () => {
    const good = goodOptions();
    const audience = good.issuer.slice(0, -1);
    const named = await doctor(moduleOf({ ...good, targets: [{ ...good.targets[0], audience }] }));
    expect(worst(named, 'issuer names')).toMatchObject({
      status: 'warn',
      message: expect.stringContaining(`${audience} and ${audience}/ differ`) as string,
    });
    const [same] = good.targets.map((target) => ({ ...target, audience: good.issuer }));
    expect(
      worst(await doctor(moduleOf({ ...good, targets: [same] })), 'issuer names'),
    ).toBeUndefined();
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

describe('doctor, in a project with libraries that share work', () => {
  interface Installed {
    readonly dependencies?: Record<string, string>;
    readonly others?: object;
    /** Where package.json is, named from the module. */
    readonly above?: boolean;
  }
  let projects = 0;
  /** A project with these packages installed, and the module in its build folder. */
  function project(options: object, { dependencies = {}, others = {}, above }: Installed): string {
    projects += 1;
    const root = folder.path(`project-${projects}`);
    const app = above ? join(root, 'packages', 'app') : root;
    mkdirSync(join(app, 'dist'), { recursive: true });
    const names = Object.fromEntries(Object.keys(dependencies).map((name) => [name, '*']));
    const manifest = { dependencies: names, ...others };
    writeFileSync(join(app, 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(app, 'dist', 'package.json'), '{ "type": "module" }');
    for (const [name, version] of Object.entries(dependencies)) {
      const installed = join(root, 'node_modules', name);
      mkdirSync(installed, { recursive: true });
      // Most packages let nobody import their package.json.
      writeFileSync(
        join(installed, 'package.json'),
        JSON.stringify({ name, version, exports: {} }),
      );
    }
    const file = join(app, 'dist', 'options.js');
    writeFileSync(
      file,
      `${GOOD_STORE}\nexport default { ...${JSON.stringify(options)}, replayStore: store };`,
    );
    return file;
  }
  const shared = (ran: Ran) => checksOf(ran).filter(({ check }) => check === 'shared work');
  const ambient = () => ({ ...goodOptions(), subjectPropagation: 'ambient' });
  const receivingOnly = () => {
    const { issuer, trustedIssuers } = goodOptions();
    return { issuer, trustedIssuers };
  };
  const sendingOnly = () => {
    const { issuer, signingKey, targets } = goodOptions();
    return { issuer, signingKey, targets };
  };

  it.each([
    ['async', '3.2.6'],
    ['async-lock', '1.4.1'],
    ['bottleneck', '2.19.5'],
    ['cockatiel', '4.0.0'],
    ['fastq', '1.20.1'],
    ['p-limit', '4.0.0'],
    ['p-queue', '9.1.0'],
    ['@trpc/client', '11.6.0'],
  ])('warns of %s %s where the user is that of the context', async (name, version) => {
    const dependencies = { [name]: version };
    const ran = await doctor(project(ambient(), { dependencies }));
    expect(ran).toMatchObject({ code: 0, json: { status: 'warn' } });
    expect(shared(ran)).toEqual([
      expect.objectContaining({
        status: 'warn',
        message: expect.stringContaining(`${name} ${version}: `) as string,
        advice: expect.any(String) as string,
      }),
    ]);
    const explicit = await doctor(project(goodOptions(), { dependencies }), '--strict');
    expect(explicit.code).toBe(0);
    expect(shared(explicit)).toMatchObject([{ status: 'ok' }]);
  });

  it.each([
    ['@apollo/client', '4.0.9', sendingOnly, receivingOnly],
    ['dataloader', '2.2.3', sendingOnly, receivingOnly],
    ['opossum', '9.0.0', sendingOnly, receivingOnly],
    ['p-memoize', '8.0.0', sendingOnly, receivingOnly],
    ['axios-cache-interceptor', '1.12.3', sendingOnly, receivingOnly],
    ['@nestjs/cache-manager', '12.0.0', receivingOnly, sendingOnly],
  ])('warns of %s %s, which shares answers', async (name, version, options, others) => {
    const dependencies = { [name]: version };
    for (const subjectPropagation of ['explicit', 'ambient']) {
      const ran = await doctor(project({ ...options(), subjectPropagation }, { dependencies }));
      expect(shared(ran)).toMatchObject([{ status: 'warn' }]);
      expect(shared(ran)[0]?.message).toContain(`${name} ${version}: `);
    }
    expect(shared(await doctor(project(others(), { dependencies })))).toMatchObject([
      { status: 'ok' },
    ]);
  });

  it.each([
    ['p-limit', '5.0.0'],
    ['p-queue', '10.0.0'],
    ['p-retry', '7.0.0'],
  ])('does not warn of %s %s', async (name, version) => {
    const ran = await doctor(project(ambient(), { dependencies: { [name]: version } }), '--strict');
    expect(ran.code).toBe(0);
    expect(shared(ran)).toMatchObject([{ status: 'ok', advice: null }]);
  });

  it('finds what is installed above the project, and looks at direct dependencies alone', async () => {
    const dependencies = { bottleneck: '2.19.5' };
    const above = await doctor(project(ambient(), { dependencies, above: true }));
    expect(shared(above)).toMatchObject([{ status: 'warn' }]);
    for (const others of [
      { dependencies: {}, devDependencies: dependencies },
      { dependencies: {} },
    ]) {
      const ran = await doctor(project(ambient(), { dependencies, others }), '--strict');
      expect(ran.code).toBe(0);
      expect(shared(ran)).toMatchObject([{ status: 'ok' }]);
    }
  });

  it('does not warn of one that somebody has looked at', async () => {
    const dependencies = { bottleneck: '2.19.5', fastq: '1.20.1' };
    const file = project(ambient(), { dependencies });
    const one = await doctor(file, '--strict', '--reviewed', 'bottleneck');
    expect(one.code).toBe(1);
    expect(shared(one)).toMatchObject([{ status: 'ok' }, { status: 'warn' }]);
    const both = await doctor(file, '--strict', '--reviewed', 'bottleneck, fastq');
    expect(both.code).toBe(0);
  });

  it('says nothing where there is no project, or none that can be read', async () => {
    expect(shared(await doctor(moduleOf(ambient())))).toEqual([]);
    const file = project(ambient(), { dependencies: { bottleneck: '2.19.5' } });
    writeFileSync(join(file, '..', '..', 'package.json'), 'no JSON');
    expect(shared(await doctor(file))).toEqual([]);
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

  it('advises otherwise where it is full than where it is down', async () => {
    const redis = await RedisServer.start('--maxmemory-policy', 'noeviction');
    const file = moduleOf(goodOptions(), { store: using(redis.port) });
    expect(worst(await doctor(file), 'replay store')).toBeUndefined();
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    const full = await doctor(file);
    await redis.close();
    const down = await doctor(file);
    expect([full.code, down.code]).toEqual([1, 1]);
    expect(worst(full, 'replay store')).toMatchObject({
      status: 'fail',
      message: expect.stringContaining('Redis is full: ') as string,
      advice: expect.stringContaining('more memory') as string,
    });
    expect(worst(down, 'replay store')?.advice).toContain('start the store');
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

  const LIBRARY = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href);
  /** An application as README.md writes it, compiled; `auth` makes the module of this library. */
  const nest = (auth: string, rest = '') =>
    write(
      `import { Module } from ${urlOf('@nestjs/common')};
       import { ServiceAuthModule } from ${LIBRARY};
       const options = ${options()};
       const auth = ${auth};
       export class HeraldModule {}
       Module({ imports: [auth] })(HeraldModule);
       export class AppModule {}
       Module({ imports: [Promise.resolve({ module: HeraldModule }), { forwardRef: () => HeraldModule }] })(AppModule);
       ${rest}`,
    );

  it.each([
    ['ServiceAuthModule.forRoot(options)', []],
    ['ServiceAuthModule.forRootAsync({ useFactory: async () => options })', []],
    ['ServiceAuthModule.forRoot(options)', ['--export', 'AppModule']],
    ['ServiceAuthModule.forRoot(options)', ['--export', 'auth']],
  ] as const)('may be a Nest module with %s, %j', async (auth, more) => {
    const ran = await doctor(nest(auth, 'export { auth };'), ...more);
    expect(ran).toMatchObject({ code: 0, json: { status: 'warn' } });
    expect(worst(ran, 'replay store')).toMatchObject({ status: 'warn' });
  });

  it('may be a Nest module in CommonJS', async () => {
    const { href } = new URL('../../dist/cjs/index.js', import.meta.url);
    const library = JSON.stringify(fileURLToPath(href));
    const common = JSON.stringify(requireHere.resolve('@nestjs/common'));
    const file = write(
      `const { Module } = require(${common});
       const { ServiceAuthModule } = require(${library});
       class AppModule {}
       Module({ imports: [ServiceAuthModule.forRoot(${options()})] })(AppModule);
       exports.AppModule = AppModule;`,
      'cjs',
    );
    expect(await doctor(file)).toMatchObject({ code: 0, json: { status: 'warn' } });
  });

  it.each([
    [
      'options that only Nest can make',
      () => nest('ServiceAuthModule.forRootAsync({ inject: [Module], useFactory: () => options })'),
      'injected',
    ],
    [
      'two services',
      () => {
        const other = 'ServiceAuthModule.forRoot({ ...options, isGlobal: false })';
        return nest('ServiceAuthModule.forRoot(options)', `export const other = ${other};`);
      },
      'has 2 services',
    ],
    ['no service', () => nest('class {}'), 'has no module that imports'],
    [
      'a factory that fails',
      () =>
        nest(
          "ServiceAuthModule.forRootAsync({ useFactory: () => { throw new Error('canary'); } })",
        ),
      'failed (Error)',
    ],
  ])('is refused where a Nest module has %s', async (_what, make, words) => {
    const ran = await doctor(make());
    expect(ran).toMatchObject({ code: 3, json: { error: { reason: 'impossible' } } });
    expect(ran.stdout).toContain(words);
    expect(ran.stdout + ran.stderr).not.toContain('canary');
  });

  it.each([
    ['nothing, in CommonJS', 'exports.__esModule = true;', 'cjs'],
    ['nothing', 'export {};', 'mjs'],
    ['a function that starts it, in CommonJS', 'exports.bootstrap = async () => {};', 'cjs'],
    ['a function that starts it', 'export const bootstrap = async () => {};', 'mjs'],
    [
      'nothing, and its port is taken',
      "throw Object.assign(new Error(), { code: 'EADDRINUSE' });",
      'mjs',
    ],
  ])('is not the file that starts the application: %s', async (_what, text, extension) => {
    const { code, json } = await doctor(write(text, extension));
    const words = /if it is the file that starts the application, name .*app\.module\.js/;
    expect({ code, json }).toMatchObject({
      code: 3,
      json: { error: { message: expect.stringMatching(words) as string } },
    });
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

describe('doctor, of grants', () => {
  const EDGE = 'https://edge.service/';
  const DOMAIN = 'https://prod.example.org/';
  const subjects = ['https://census.service/user/'];
  const edgeKey = createKey();
  const required = { mode: 'required', withoutSubject: 'refused' };
  const census = (changes: object = {}) => {
    const good = goodOptions();
    const [trusted] = good.trustedIssuers;
    return {
      ...good,
      trustDomain: DOMAIN,
      originators: [{ issuer: EDGE, subjects, publicKey: edgeKey.publicPem }],
      trustedIssuers: [{ ...trusted, subjects, subjectProof: required }],
      ...changes,
    };
  };
  /** The options of the edge, as the file of another service. */
  const edge = (changes: object = {}) =>
    moduleOf({ issuer: EDGE, trustDomain: DOMAIN, originate: { subjects }, ...changes });
  const namesOf = (ran: Ran, status = 'ok') =>
    checksOf(ran).flatMap((each) => (each.status === status ? [each.check] : []));

  it('says what it looked at, where nothing is wrong', async () => {
    const ran = await doctor(moduleOf(census()), '--strict', '--with', edge());
    expect(ran).toMatchObject({ code: 0, json: { status: 'ok' } });
    for (const name of [
      'keys of originator',
      'trust domain',
      'subject proof',
      'grants of calls',
      'grant lifetime',
    ]) {
      expect(namesOf(ran)).toContain(name);
    }
    expect(ran.stdout).toContain(edgeKey.keyId);
  });

  it('reports what keeps the service from starting', async () => {
    const silent = census().trustedIssuers.map(({ subjectProof: _proof, ...trusted }) => trusted);
    const ran = await doctor(moduleOf(census({ trustDomain: undefined, trustedIssuers: silent })));
    const messages = checksOf(ran).flatMap((each) =>
      each.check === 'options' ? [each.message] : [],
    );
    expect(messages.toSorted()).toEqual(['trustDomain', 'trustedIssuers[0].subjectProof']);
  });

  it.each<[name: string, status: Check['status'], options: () => object]>([
    [
      'keys of originator',
      'fail',
      () => census({ originators: [{ issuer: EDGE, subjects, jwksUri: 'http://127.0.0.1:9/' }] }),
    ],
    [
      'subject proof',
      'warn',
      () =>
        census({
          trustedIssuers: census().trustedIssuers.map((trusted) => ({
            ...trusted,
            subjectProof: { mode: 'report' },
          })),
        }),
    ],
    [
      'grants of calls',
      'warn',
      () =>
        census({
          originate: { subjects },
          targets: goodOptions().targets.map((target) => ({ ...target, grants: 'never' })),
        }),
    ],
    [
      'grant lifetime',
      'warn',
      () => census({ originate: { subjects, maxLifetimeSeconds: 604_800 } }),
    ],
    [
      'grant lifetime',
      'warn',
      () => {
        const ring = folder.path('ring.json');
        const jwk = key.privateKey.export({ format: 'jwk' });
        const previous = { ...jwkOf(callerKey), exp: 1_800_000_000 };
        writeFileSync(ring, JSON.stringify({ previous, current: jwk }), { mode: 0o600 });
        return census({ originate: { subjects }, signingKey: { keyFile: ring } });
      },
    ],
  ])('finds by itself: %s, %s', async (name, status, options) => {
    expect(worst(await doctor(moduleOf(options())), name)).toMatchObject({ status });
    expect(
      worst(await doctor(moduleOf(census({ originate: { subjects } }))), name),
    ).toBeUndefined();
  });

  it.each<[name: string, status: Check['status'], other: () => string]>([
    ['trust domain', 'fail', () => edge({ trustDomain: 'https://staging.example.org/' })],
    ['trust domain', 'warn', () => edge({ trustDomain: undefined })],
    [
      'grant lifetime',
      'fail',
      () => edge({ originate: { subjects, maxLifetimeSeconds: 604_800 } }),
    ],
    ['originators', 'warn', () => edge({ originate: undefined })],
  ])('finds beside another service: %s, %s', async (name, status, other) => {
    const file = moduleOf(census());
    expect(worst(await doctor(file, '--with', other()), name)).toMatchObject({ status });
    expect(worst(await doctor(file, '--with', edge()), name)).toBeUndefined();
  });

  it('finds calls without grants to one that requires them', async () => {
    const [target] = goodOptions().targets;
    const trustedIssuers = [{ issuer: goodOptions().issuer, subjects, subjectProof: required }];
    const other = moduleOf({ issuer: target?.baseUrl, trustDomain: DOMAIN, trustedIssuers });
    const silent = moduleOf(census({ targets: [{ ...target, grants: 'never' }] }));
    const found = await doctor(silent, '--with', other);
    expect(worst(found, 'grants of calls')).toMatchObject({ status: 'fail' });
    const good = await doctor(moduleOf(census()), '--with', other);
    expect(worst(good, 'grants of calls')).toBeUndefined();
  });
});
