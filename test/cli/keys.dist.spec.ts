import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Algorithm } from 'nestjs-service-auth/core';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { ALGORITHMS } from '../../lib/core/algorithms.js';
import { runProgram, temporaryFolder } from './command-line.js';
import { createKey } from '../support/keys/keys.js';
import { itWithFileModes } from './file-modes.js';
import { whereThereIs } from '../support/processes/where-there-is.js';

const ALL = Object.keys(ALGORITHMS) as Algorithm[];
const folder = temporaryFolder();
afterAll(() => folder.remove());

const modeOf = (path: string) => statSync(path).mode & 0o777;
const read = (path: string) => readFileSync(path, 'utf8');
const PRIVATE = /PRIVATE KEY|"d":/;

/** For tests that have a tool of others look at keys. */
const itWith = (name: string, ...args: string[]): typeof it =>
  whereThereIs(spawnSync(name, args).error === undefined, name, it);
const itWithOpenssl = itWith('openssl', 'version');
const itWithJose = itWith('jose', '--help');

describe('keygen', () => {
  it.each(ALL)(
    'makes a PEM for %s that the library reads back under the same key id',
    async (name) => {
      const file = folder.path(`${name}.pem`);
      const made = await runProgram([
        'keygen',
        file,
        '--algorithm',
        name,
        '--rsa-bits',
        '2048',
        '--json',
      ]);
      expect(made).toMatchObject({ code: 0, stderr: '' });
      expect(made.json).toEqual({
        keyId: expect.stringMatching(/^[\w-]{43}$/) as string,
        algorithm: name,
        privateKeyFile: file,
        publicKeyFile: null,
        publicJwk: expect.objectContaining({ alg: name, use: 'sig' }) as object,
        nextStep: expect.stringContaining('signingKey') as string,
      });
      expect(made.stdout).not.toMatch(PRIVATE);
      const publicJwk = made.json?.['publicJwk'] as JWK;
      expect(await calculateJwkThumbprint(publicJwk)).toBe(made.json?.['keyId']);
      const { kid, alg, use, ...bare } = publicJwk;
      expect({ kid, alg, use }).toEqual({ kid: made.json?.['keyId'], alg: name, use: 'sig' });
      expect(createPublicKey(createPrivateKey(read(file))).export({ format: 'jwk' })).toEqual(bare);
    },
  );

  it.each(ALL)('makes a JWK for %s that says its algorithm and key id', async (name) => {
    const file = folder.path(`${name}.json`);
    const args = ['keygen', file, '--algorithm', name, '--format', 'jwk', '--key-id', 'mine'];
    const made = await runProgram([...args, '--rsa-bits', '2048', '--json']);
    expect(made.code).toBe(0);
    const jwk = JSON.parse(read(file)) as JWK;
    expect(jwk).toMatchObject({
      kid: 'mine',
      alg: name,
      use: 'sig',
      d: expect.any(String) as string,
    });
    expect(createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }).type).toBe('private');
    expect(made.json).toMatchObject({ keyId: 'mine', publicJwk: { kid: 'mine' } });
    expect(made.stdout).not.toMatch(PRIVATE);
  });

  itWithFileModes('lets nobody else read the private key', async () => {
    const [file, publicFile] = [folder.path('mode.pem'), folder.path('mode.public.pem')];
    await runProgram(['keygen', file, '--public-file', publicFile]);
    expect(modeOf(file)).toBe(0o600);
    expect(modeOf(publicFile) & 0o600).toBe(0o600);
    expect(read(publicFile)).toMatch(/^-----BEGIN PUBLIC KEY-----/);
  });

  it('overwrites nothing, and leaves nothing behind when it refuses', async () => {
    const [there, fresh] = [folder.path('there.pem'), folder.path('fresh.pem')];
    writeFileSync(there, 'precious');
    const asPrivate = await runProgram(['keygen', there, '--public-file', fresh]);
    const asPublic = await runProgram(['keygen', fresh, '--public-file', there]);
    for (const { code, stdout, stderr } of [asPrivate, asPublic]) {
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
      expect(stderr).toContain(`${there} is there already and is not overwritten`);
    }
    expect(read(there)).toBe('precious');
    expect(existsSync(fresh)).toBe(false);
    expect((await runProgram(['keygen', fresh])).code).toBe(0);
  });

  it('says what is next: the algorithm where the key does not say it', async () => {
    const nextStep = async (...args: string[]) => {
      const made = await runProgram([
        'keygen',
        '--stdout',
        '--rsa-bits',
        '2048',
        '--json',
        ...args,
      ]);
      return made.json?.['nextStep'];
    };
    expect(await nextStep()).toContain('{ privateKey: ... }');
    expect(await nextStep('--algorithm', 'RS256')).toContain('{ privateKey: ... }');
    expect(await nextStep('--algorithm', 'PS384')).toContain("algorithm: 'PS384'");
    expect(await nextStep('--algorithm', 'PS384', '--format', 'jwk')).not.toContain('algorithm:');
  });

  it('prints the private key where it is asked to, and nothing else beside it', async () => {
    const made = await runProgram(['keygen', '--stdout']);
    expect(made.code).toBe(0);
    expect(createPrivateKey(made.stdout).asymmetricKeyType).toBe('ec');
    expect(made.stdout).toMatch(/^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n$/);
    expect(made.stderr).not.toMatch(PRIVATE);
  });

  it.each([
    ['no file', []],
    ['a file and --stdout', ['x.pem', '--stdout']],
    ['an algorithm that does not exist here', ['x.pem', '--algorithm', 'HS256']],
    ['an RSA key that is too short', ['x.pem', '--rsa-bits', '1024']],
    ['a key id with a control character', ['x.pem', '--key-id', 'a\u0007']],
    ['an unknown option', ['x.pem', '--force']],
  ])('takes %s for a wrong command line', async (_what, args) => {
    const ran = await runProgram(['keygen', ...args]);
    expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' });
    expect(ran.stderr).toMatch(/^error: /);
  });

  itWithOpenssl.each(['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256'])(
    'makes a PEM for %s that openssl finds good',
    async (name) => {
      const file = folder.path(`openssl-${name}.pem`);
      await runProgram(['keygen', file, '--algorithm', name, '--rsa-bits', '2048']);
      const { status } = spawnSync('openssl', ['pkey', '-in', file, '-check', '-noout']);
      expect(status).toBe(0);
    },
  );

  itWithJose.each(['ES256', 'ES512', 'RS256', 'PS256'])(
    'makes a JWK for %s that the command of others can sign with',
    async (name) => {
      const file = folder.path(`jose-${name}.json`);
      await runProgram([
        'keygen',
        file,
        '--algorithm',
        name,
        '--format',
        'jwk',
        '--rsa-bits',
        '2048',
      ]);
      const signed = spawnSync('jose', ['jws', 'sig', '-I-', '-k', file, '-c'], { input: 'hello' });
      expect(signed.status).toBe(0);
      const set = await runProgram(['jwks', file]);
      const [publicJwk] = (set.json as { keys: object[] }).keys;
      writeFileSync(`${file}.public`, JSON.stringify(publicJwk));
      const args = ['jws', 'ver', '-i-', '-k', `${file}.public`];
      expect(spawnSync('jose', args, { input: signed.stdout }).status).toBe(0);
    },
  );
});

describe('jwks', () => {
  const key = createKey();
  const rsa = createKey('RS256');
  const write = (name: string, text: unknown) => {
    const file = folder.path(name);
    writeFileSync(file, typeof text === 'string' ? text : JSON.stringify(text));
    return file;
  };
  const keysOf = async (...args: string[]) => {
    const { json, code } = await runProgram(['jwks', ...args]);
    expect(code).toBe(0);
    return (json as { keys: JWK[] }).keys;
  };
  const privateJwk = key.privateKey.export({ format: 'jwk' });
  const publicJwk = key.publicKey.export({ format: 'jwk' });

  it.each([
    ['a private PEM', key.privatePem],
    ['a public PEM', key.publicPem],
    ['a private JWK', privateJwk],
    ['a public JWK', publicJwk],
    ['a JWK Set', { keys: [publicJwk] }],
    ['a ring', { current: privateJwk }],
  ])('takes %s, and prints its public half alone', async (what, material) => {
    const keys = await keysOf(write(`${what}.key`, material));
    expect(keys).toEqual([{ ...publicJwk, kid: key.keyId, alg: 'ES256', use: 'sig' }]);
  });

  it('puts the keys of several files into one set, each once', async () => {
    const halves = [write('a.pem', key.privatePem), write('b.pem', key.publicPem)];
    const keys = await keysOf(...halves, write('c.pem', rsa.publicPem));
    expect(keys.map(({ kid }) => kid)).toEqual([key.keyId, rsa.keyId]);
  });

  it('names the algorithm and the key id of a key that does not', async () => {
    const args = [write('d.pem', rsa.publicPem), '--algorithm', 'PS512', '--key-id', 'old'];
    expect(await keysOf(...args)).toMatchObject([{ kty: 'RSA', alg: 'PS512', kid: 'old' }]);
  });

  it('refuses an algorithm that does not fit the key', async () => {
    const ran = await runProgram(['jwks', write('e.pem', rsa.publicPem), '--algorithm', 'ES256']);
    expect(ran).toMatchObject({ code: 3, stdout: '' });
  });

  it.each([
    ['no key', 'canary-secret'],
    ['broken JSON', '{"d":"canary-secret"'],
    ['a symmetric key', { kty: 'oct', k: 'canary-secret' }],
    ['an empty set', { keys: [] }],
  ])('refuses %s without quoting it', async (what, material) => {
    const ran = await runProgram(['jwks', write(`bad ${what}`, material), '--json']);
    expect(ran.code).toBe(3);
    expect(ran.json).toEqual({
      error: { reason: 'impossible', message: expect.any(String) as string },
    });
    expect(ran.stdout + ran.stderr).not.toContain('canary');
  });

  it('refuses two keys under one key id', async () => {
    const twins = [key, createKey()].map((each, at) =>
      write(`twin-${at}.json`, { ...each.publicKey.export({ format: 'jwk' }), kid: 'twin' }),
    );
    expect((await runProgram(['jwks', ...twins])).code).toBe(3);
    expect((await runProgram(['jwks', ...twins.slice(0, 1)])).code).toBe(0);
  });
});
