import { spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { calculateJwkThumbprint, type JWK } from 'jose';
import ts from 'typescript';
import { PROGRAM, runProgram, temporaryFolder } from './command-line.js';
import { strictToken } from '../support/tokens/forge.js';
import { jwkOf, type KeyServer, startKeyServer } from '../support/keys/key-server.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { startCensus } from '../support/services/receiving-service.js';
import { CENSUS, HERALD } from '../support/services/sending-service.js';
import type { TestService } from '../support/services/service.js';

const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs/command-line.md'), 'utf8');
const MODULE = 'dist/service-auth.options.js';

/** The blocks of the page in one language; `fails=1` after it names the exit code of its commands. */
const blocksIn = (language: string) =>
  [...PAGE.matchAll(new RegExp(`^\`\`\`${language}(?: fails=(\\d+))?\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, code = '0', body = '']) => ({ code: Number(code), body }),
  );

/** Each command of the page, in order: a line, with the lines that continue it. */
const commands = blocksIn('sh').flatMap(({ body, code }) =>
  body
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '')
    .map((command) => ({ command, code })),
);

describe('docs/command-line.md', () => {
  const folder = temporaryFolder();
  const outputs = new Map<string, string>();
  let census: TestService;
  let keyServer: KeyServer;

  /** The keys in the key file of the page: the one that signs, and after `rotate` the next. */
  function readHeraldRing(): [JsonWebKey, ...JsonWebKey[]] {
    const text = readFileSync(folder.path('herald.private.pem'), 'utf8');
    if (!text.startsWith('{')) return [createPrivateKey(text).export({ format: 'jwk' })];
    const { current, next } = JSON.parse(text) as Record<'current' | 'next', JsonWebKey>;
    return [current, next];
  }

  /** The key that the first commands of the page make. */
  async function readHeraldKey(): Promise<TestKey> {
    const [current] = readHeraldRing();
    const privateKey = createPrivateKey({ key: current, format: 'jwk' });
    const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const publicKey = createPublicKey(privateKey);
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const keyId = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as JWK);
    return { algorithm: 'ES256', privateKey, publicKey, privatePem, publicPem, keyId };
  }

  /** The services of the page are on this machine here. */
  const local = (written: string): string =>
    written
      .replaceAll('http://127.0.0.1:3000', census.url)
      .replaceAll('https://herald.service/.well-known/jwks.json', keyServer.url)
      .replaceAll('https://another.service/', new URL('/', keyServer.url).href)
      .replaceAll('npx nestjs-service-auth', '"$NODE" "$PROGRAM"');

  async function run(command: string) {
    const env = { ...process.env, NODE: process.execPath, PROGRAM };
    const child = spawn('sh', ['-c', local(command)], { cwd: folder.path('.'), env });
    child.stdin.end();
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ]);
    return { code, stdout, stderr };
  }

  beforeAll(async () => {
    keyServer = await startKeyServer((_request, response) => {
      void readHeraldKey().then((key) => {
        const [, ...others] = readHeraldRing().map(({ d: _d, ...jwk }) => jwk);
        response.end(JSON.stringify({ keys: [jwkOf(key), ...others] }));
      });
    });
    const find = async (issuer: string) => ({
      issuer,
      publicKey: (await readHeraldKey()).publicPem,
    });
    census = await startCensus('express', { trustedIssuers: { find } });
    mkdirSync(folder.path('dist'));
    const [{ body } = { body: '' }] = blocksIn('ts');
    const options = { compilerOptions: { module: ts.ModuleKind.ESNext } };
    writeFileSync(folder.path(MODULE), ts.transpileModule(local(body), options).outputText);
    writeFileSync(folder.path('dist/package.json'), '{ "type": "module" }');
  });
  afterAll(async () => {
    await census.close();
    await keyServer.close();
    folder.remove();
  });

  it.each(commands)('has a command that works: $command', async ({ command, code }) => {
    if (command.includes('token.txt')) {
      const key = await readHeraldKey();
      const token = strictToken({ key, issuer: HERALD, audience: CENSUS, target: '/user/42' });
      writeFileSync(folder.path('token.txt'), token);
    }
    const ran = await run(command);
    outputs.set(command, ran.stderr || ran.stdout);
    expect(ran).toMatchObject({ code });
  });

  it('shows what the commands that are refused say', () => {
    const refused = commands.filter(({ code }) => code === 1);
    const said = refused.map(({ command }) =>
      outputs.get(command)?.replace(/10 min 5\d s|11 min 1 s/, '11 min'),
    );
    // The table of `doctor --routes` is compared by routes.dist.spec.ts.
    const shown = blocksIn('text').filter(({ body }) => !body.includes('UserController'));
    expect(said).toEqual(shown.map(({ body }) => body));
  });

  it('names every member of what is printed for programs', async () => {
    const rows = new Map(
      [...PAGE.matchAll(/^\| `(\w+)` \| (`.*) \|$/gm)].map(([, command = '', words = '']) => [
        command,
        [...words.matchAll(/`([\w-]+)`/g)].map(([, word]) => word),
      ]),
    );
    const key = createKey();
    const file = folder.path('members.pem');
    writeFileSync(file, key.privatePem);
    const token = strictToken({ key, issuer: HERALD, audience: CENSUS, target: '/' });
    const printed: [command: string, ...args: string[]][] = [
      ['keygen', '--stdout'],
      ['jwks', file],
      ['rotate', 'publish', folder.path('herald.private.pem'), '--jwks', keyServer.url],
      ['inspect', token],
      ['call', census.url, '--issuer', HERALD, '--key', file, '--show-token'],
      ['doctor', folder.path(MODULE)],
      ['demo'],
      ['explain', 'token_missing'],
    ];
    expect([...rows.keys()]).toEqual(printed.map(([command]) => command));
    for (const [command, ...args] of printed) {
      const { json = {} } = await runProgram([command, ...args, '--json'], {
        cwd: folder.path('.'),
      });
      expect(rows.get(command)).toEqual(expect.arrayContaining(Object.keys(json)));
    }
  });

  it('lists every check of doctor', () => {
    const rows = [...PAGE.matchAll(/^\| `([a-z ]+)` \|.*\|.*\|$/gm)];
    expect(rows.map(([, name]) => name)).toEqual([
      'options',
      'key file',
      'signing key',
      'published keys',
      'keys of issuer',
      'keys of originator',
      'keys of answerer',
      'messages',
      'jobs',
      'message lifetime',
      'trust domain',
      'subject proof',
      'originators',
      'grants of calls',
      'grant lifetime',
      'issuer names',
      'profile',
      'clock',
      'replay store',
      'shared work',
    ]);
  });
});
