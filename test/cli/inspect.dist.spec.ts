import { writeFileSync } from 'node:fs';
import { runProgram, temporaryFolder } from './command-line.js';
import { forge, type Json, md5, strictToken } from '../support/tokens/forge.js';
import {
  hang,
  jwkOf,
  type KeyServer,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const USER = 'https://census.service/user/21/';
const key = createKey();
const otherKey = createKey();
const folder = temporaryFolder();
const write = (name: string, text: string): string => {
  writeFileSync(folder.path(name), text);
  return folder.path(name);
};
const keyFile = write('herald.pem', key.publicPem);
afterAll(() => folder.remove());

const good = (changes: { header?: Json; claims?: Json } = {}): string =>
  strictToken({
    key,
    issuer: HERALD,
    audience: CENSUS,
    subject: USER,
    method: 'POST',
    target: '/notification/?dry=1',
    body: '{}',
    contentType: 'application/json',
    ...changes,
  });

const inspect = async (token: string, ...more: string[]) =>
  await runProgram(['inspect', '-', '--json', ...more], { input: token });
const listOf = (json: Json | undefined, name: string) => (json?.[name] ?? []) as Json[];
const codesOf = (json: Json | undefined) => listOf(json, 'flaws').map(({ code }) => code);

describe('inspect', () => {
  it('explains every claim of a good token, with times as seen from now', async () => {
    const { json, code } = await inspect(good());
    expect(code).toBe(0);
    const member = { name: expect.any(String) as string, words: expect.any(String) as string };
    expect(json).toEqual({
      kind: 'token',
      profile: 'strict',
      header: expect.any(Array) as unknown[],
      claims: expect.any(Array) as unknown[],
      notes: [],
      flaws: [],
      signature: 'unchecked',
      keyId: null,
    });
    const members = [...listOf(json, 'header'), ...listOf(json, 'claims')];
    for (const each of members) expect(each).toEqual({ ...member, value: each['value'] });
    const words = new Map(members.map(({ name, words: said }) => [name, said]));
    expect([...words.keys()]).toEqual([
      'alg',
      'kid',
      'typ',
      'iss',
      'aud',
      'sub',
      'iat',
      'exp',
      'jti',
      'req',
      'hdr',
      'bdy',
    ]);
    expect(words.get('iat')).toMatch(/^issued (?:just now|\d+ s ago) \(\d{4}-\d\d-\d\dT.*Z\)$/);
    expect(words.get('exp')).toMatch(/^expires in (?:\d+ s|1 min) \(.*Z\), a life of 1 min$/);
    expect(words.get('bdy')).toContain('SHA-256');
  });

  it('says the same in words, and what is absent', async () => {
    const token = good({ claims: { sub: undefined, note: 'extra' } });
    const { stdout, code } = await runProgram(['inspect', token]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Profile: strict$/m);
    expect(stdout).toMatch(
      /^ {2}iss: "https:\/\/herald.service\/"\n {4}issuer: the service that calls$/m,
    );
    expect(stdout).toContain('no sub: the service calls for itself');
    expect(stdout).toMatch(/^ {2}note: "extra"\n {4}not of the protocol/m);
    expect(stdout).toMatch(/^Signature: not checked/m);
    expect(stdout).not.toContain(token.split('.')[2]);
  });

  it('takes a token as it is pasted: with the name of its header, and a line break', async () => {
    expect((await inspect(`JWT: ${good()}\n`)).code).toBe(0);
  });

  it('recognises the original profile', async () => {
    const claims = { iss: HERALD, aud: CENSUS, sub: USER, bdy: md5('x') };
    const token = forge({ alg: key.algorithm, typ: 'JWT' }, claims, key);
    const { json, code } = await inspect(token);
    expect({ code, profile: json?.['profile'] }).toEqual({ code: 0, profile: 'original' });
    expect(json?.['notes']).toHaveLength(2);
    // A receiver that expects a strict token refuses it, and says why.
    expect(codesOf((await inspect(token, '--profile', 'strict')).json)).toEqual([
      'header_invalid',
      'claim_missing',
    ]);
  });

  const now = Math.floor(Date.now() / 1000);
  it.each<[code: string, changes: { header?: Json; claims?: Json }]>([
    ['token_expired', { claims: { iat: now - 120, exp: now - 60 } }],
    ['token_not_yet_valid', { claims: { iat: now + 3600, exp: now + 3660 } }],
    ['lifetime_too_long', { claims: { exp: now + 3600 } }],
    ['claim_missing', { claims: { req: undefined } }],
    ['claim_invalid', { claims: { aud: [CENSUS] } }],
    ['header_invalid', { header: { jku: 'https://evil.service/' } }],
    ['algorithm_refused', { header: { alg: 'HS256' } }],
    ['key_unknown', { header: { kid: undefined } }],
  ])('finds %s, as a receiver would', async (code, changes) => {
    const { json, code: exitCode } = await inspect(good(changes));
    expect(exitCode).toBe(1);
    expect(json?.['flaws']).toEqual([
      {
        code,
        message: expect.any(String) as string,
        detail: expect.any(String) as string,
        hint: expect.any(String) as string,
      },
    ]);
  });

  it('finds several flaws at once', async () => {
    const token = good({ header: { jku: 'x' }, claims: { iat: now - 120, exp: now - 60 } });
    expect(codesOf((await inspect(token)).json)).toEqual(['header_invalid', 'token_expired']);
  });

  it.each([
    ['nothing', '', 'token_missing'],
    ['no token', 'abc', 'token_malformed'],
    ['two tokens', `${good()}, ${good()}`, 'token_repeated'],
    ['more than a token holds', 'a'.repeat(9000), 'token_too_large'],
    ['duplicate members', forge('{"alg":"ES256","alg":"ES256"}', {}, key), 'header_invalid'],
  ])('says of %s what it is', async (_what, input, code) => {
    const { json, code: exitCode } = await inspect(input);
    expect({ exitCode, codes: codesOf(json) }).toEqual({ exitCode: 1, codes: [code] });
    expect(json).toMatchObject({ profile: null, header: [], claims: [] });
  });

  it('prints nothing that could steer a terminal', async () => {
    const evil = '\u001b[2J\u009b31m\u202e';
    const { stdout } = await runProgram(['inspect', good({ claims: { note: evil, [evil]: 1 } })]);
    expect(stdout).toContain('\\u{202e}');
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('inspect, with keys', () => {
  let server: KeyServer;
  beforeAll(async () => {
    server = await startKeyServer(serveKeys([jwkOf(key)]));
  });
  beforeEach(() => (server.respond = serveKeys([jwkOf(otherKey), jwkOf(key)])));
  afterAll(async () => await server.close());
  const places = (): [string, string[]][] => [
    ['a file', ['--key', keyFile]],
    ['a private key', ['--key', write('private.pem', key.privatePem)]],
    ['a set in a file', ['--key', write('set.json', JSON.stringify({ keys: [jwkOf(key)] }))]],
    ['a URL', ['--jwks', server.url]],
  ];

  it.each([0, 1, 2, 3])('checks the signature (%i)', async (at) => {
    const [, args] = places()[at] ?? ['', []];
    const verified = await inspect(good(), ...args);
    expect(verified).toMatchObject({
      code: 0,
      json: { signature: 'valid', keyId: key.keyId, flaws: [] },
    });
    const [header, , signature] = good().split('.');
    const changed = [header, good({ claims: { sub: CENSUS } }).split('.')[1], signature].join('.');
    const refused = await inspect(changed, ...args);
    expect(refused).toMatchObject({ code: 1, json: { signature: 'invalid', keyId: null } });
    expect(codesOf(refused.json)).toEqual(['signature_invalid']);
  });

  it('finds that there is no such key', async () => {
    server.respond = serveKeys([jwkOf(otherKey)]);
    const { json } = await inspect(good(), '--jwks', server.url);
    expect(codesOf(json)).toEqual(['key_unknown']);
    const named = await inspect(
      good({ header: { kid: 'mine' } }),
      '--key',
      keyFile,
      '--key-id',
      'mine',
    );
    expect(named.json).toMatchObject({ signature: 'valid', keyId: 'mine' });
  });

  it('takes the algorithm from the key, and not from the token', async () => {
    const rsa = createKey('RS256');
    const file = write('rsa.pem', rsa.publicPem);
    const token = strictToken({
      key: { ...rsa, algorithm: 'PS256' },
      issuer: HERALD,
      audience: CENSUS,
      target: '/',
    });
    expect(codesOf((await inspect(token, '--key', file)).json)).toEqual(['algorithm_refused']);
    const told = await inspect(token, '--key', file, '--algorithm', 'PS256');
    expect(told.json).toMatchObject({ signature: 'valid' });
  });

  it.each([
    ['answers no set', () => serveText(500, 'sorry')],
    ['never answers', () => hang],
  ])('cannot decide where the key server %s', async (_what, respond) => {
    server.respond = respond();
    const { json, code } = await inspect(good(), '--jwks', server.url);
    expect({ code, codes: codesOf(json) }).toEqual({ code: 1, codes: ['key_unavailable'] });
    expect(json).toMatchObject({ signature: 'undecided' });
  });

  it.each([
    ['a URL of another host without TLS', ['--jwks', 'http://census.invalid/jwks.json'], 3],
    ['a file that is not there', ['--key', folder.path('nowhere.pem')], 3],
    ['two places at once', ['--key', keyFile, '--jwks', 'https://census.service/'], 2],
  ])('refuses %s', async (_what, args, exitCode) => {
    const { json, code } = await inspect(good(), ...args);
    expect(code).toBe(exitCode);
    expect(json).toHaveProperty('error');
  });
});

describe('inspect, of a grant', () => {
  const EDGE = 'https://edge.service/';
  const now = Math.floor(Date.now() / 1000);
  const grant = ({ header = {}, claims = {} }: { header?: Json; claims?: Json } = {}): string =>
    forge(
      { alg: key.algorithm, kid: key.keyId, typ: 'txntoken+jwt', ...header },
      {
        iss: EDGE,
        aud: 'https://prod.example.org/',
        sub: USER,
        iat: now - 60,
        exp: now + 240,
        txn: 'a-transaction-of-the-test',
        scope: 'user:delete user:read',
        req_wl: EDGE,
        acr: 'mfa',
        ...claims,
      },
      key,
    );

  it('explains its claims, and prints no signature', async () => {
    const text = grant();
    const { json, code, stdout } = await inspect(text);
    expect({ code, kind: json?.['kind'], flaws: json?.['flaws'] }).toEqual({
      code: 0,
      kind: 'grant',
      flaws: [],
    });
    const words = new Map(listOf(json, 'claims').map(({ name, words: said }) => [name, said]));
    expect(words.get('iss')).toContain('originator');
    expect(words.get('aud')).toContain('trust domain');
    expect(words.get('iat')).toMatch(/^made 1 min (?:\d+ s )?ago .*: its age$/);
    expect(words.get('exp')).toMatch(/^expires in .* a life of 5 min$/);
    expect(words.get('scope')).toBe('for what the user was there');
    expect(json).toMatchObject({ signature: 'unchecked', notes: [] });
    const said = await runProgram(['inspect', '-'], { input: `Txn-Token: ${text}\n` });
    expect(said.stdout).toMatch(/^Grant\n/);
    expect(said.stdout).toMatch(/^Signature: not checked/m);
    for (const output of [stdout, said.stdout]) expect(output).not.toContain(text.split('.')[2]);
  });

  it('checks the signature with the keys of its originator', async () => {
    const signed = await inspect(grant(), '--key', keyFile);
    expect(signed.json).toMatchObject({ signature: 'valid', keyId: key.keyId, flaws: [] });
    const forged = await inspect(grant({ header: { kid: 'another' } }), '--key', keyFile);
    expect(forged).toMatchObject({ code: 1, json: { signature: 'invalid' } });
    expect(codesOf(forged.json)).toEqual(['grant_invalid']);
  });

  it.each<[code: string, changes: { header?: Json; claims?: Json }]>([
    ['grant_expired', { claims: { iat: now - 400, exp: now - 100 } }],
    ['grant_not_yet_valid', { claims: { iat: now + 600, exp: now + 700 } }],
    ['grant_invalid', { claims: { exp: now + 90_000 } }],
    ['grant_invalid', { claims: { aud: ['https://prod.example.org/'] } }],
    ['grant_invalid', { header: { jku: 'https://evil.service/' } }],
  ])('finds %s', async (code, changes) => {
    const ran = await inspect(grant(changes));
    expect(ran.code).toBe(1);
    expect(codesOf(ran.json)).toEqual([code]);
  });

  it('says where age matters, and what is no grant', async () => {
    const old = await inspect(grant({ claims: { iat: now - 3600, exp: now + 3600 } }));
    expect(old.code).toBe(0);
    expect(old.json?.['notes']).toEqual([expect.stringMatching(/^1 h .*allow its age$/)]);
    expect(codesOf((await inspect('Txn-Token: no-grant')).json)).toEqual(['grant_invalid']);
    const asToken = await inspect(grant(), '--profile', 'strict');
    expect(asToken.json).toMatchObject({ kind: 'token' });
    expect(codesOf(asToken.json)).toContain('header_invalid');
  });
});
