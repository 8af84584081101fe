import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto';
import { join } from 'node:path';
import { PROGRAM, runProgram, temporaryFolder } from './command-line.js';
import { itWithFileModes } from './file-modes.js';
import { createKey } from '../support/keys/keys.js';
import { type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';

const folder = temporaryFolder();
const key = createKey();
let server: KeyServer;
let file = '';
let folders = 0;

/** The keys of the file as JWKs: it holds a PEM, or a ring. */
function keysOf(text: string): JsonWebKey[] {
  if (!text.startsWith('{')) return [createPrivateKey(text).export({ format: 'jwk' })];
  const { previous, current, next } = JSON.parse(text) as Record<string, JsonWebKey>;
  return [previous, current, next].filter((jwk) => jwk !== undefined);
}

beforeAll(async () => {
  server = await startKeyServer((request, response) => {
    const keys = keysOf(readFileSync(file, 'utf8')).map((jwk) => ({
      ...createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' }),
      kid: jwk['kid'],
      alg: 'ES256',
    }));
    serveKeys(keys)(request, response);
  });
});
afterAll(async () => {
  await server.close();
  folder.remove();
});
beforeEach(() => {
  folders += 1;
  const home = folder.path(String(folders));
  mkdirSync(home);
  file = join(home, 'herald.pem');
  writeFileSync(file, key.privatePem, { mode: 0o600 });
});

const args = () => ['rotate', 'publish', file, '--jwks', server.url, '--reload-seconds', '5'];
const neighbours = () => readdirSync(join(file, '..'));
const PRIVATE = /PRIVATE KEY|"d":/;

describe('rotate', () => {
  it.each([0o600, 0o640])('keeps the name and the mode %o of the file', async (mode) => {
    chmodSync(file, mode);
    const ran = await runProgram(args());
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).not.toMatch(PRIVATE);
    expect(neighbours()).toEqual(['herald.pem']);
    expect(keysOf(readFileSync(file, 'utf8'))).toHaveLength(2);
    if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(mode);
  });

  itWithFileModes('keeps a link, and replaces the file that it leads to', async () => {
    const link = join(file, '..', 'link.pem');
    symlinkSync('herald.pem', link);
    expect((await runProgram(args().with(2, link))).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(keysOf(readFileSync(file, 'utf8'))).toHaveLength(2);
  });

  it('leaves a whole file wherever it is killed, and nothing of that run after the next', async () => {
    const whole = new Set<number>();
    for (let at = 0; at < 6; at++) {
      writeFileSync(file, key.privatePem);
      const child = spawn(process.execPath, [PROGRAM, ...args()]);
      const ended = once(child, 'close');
      // As soon as anything but the key file is in its folder, and one change later each time.
      let changes = 0;
      const watcher = watch(join(file, '..'), () => {
        changes += 1;
        if (changes > at) child.kill('SIGKILL');
      });
      await ended;
      watcher.close();
      const keys = keysOf(readFileSync(file, 'utf8'));
      expect(keys[0]?.x).toBe(key.publicKey.export({ format: 'jwk' }).x);
      whole.add(keys.length);
    }
    expect([...whole].every((count) => count === 1 || count === 2)).toBe(true);
    writeFileSync(`${file}.rotate-killed`, 'half of a ring');
    writeFileSync(`${file}.other`, 'of somebody else');
    expect((await runProgram(args())).code).toBe(0);
    expect(neighbours().toSorted()).toEqual(['herald.pem', 'herald.pem.other']);
  });

  it.each([
    ['a file that is missing', () => folder.path('none.pem')],
    ['a file without a key', () => (writeFileSync(file, 'canary-secret'), file)],
  ])('refuses %s without quoting it', async (_what, path) => {
    const named = path();
    const own = file;
    file = folder.path('good.pem');
    writeFileSync(file, key.privatePem);
    const ran = await runProgram([...args().with(2, named), '--json']);
    file = own;
    expect(ran.code).toBe(3);
    expect(ran.json).toEqual({
      error: { reason: 'impossible', message: expect.stringContaining(named) as string },
    });
    expect(ran.stdout + ran.stderr).not.toContain('canary');
  });
});
