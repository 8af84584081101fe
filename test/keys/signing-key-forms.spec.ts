import { createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Algorithm,
  createServiceAuth,
  type ServiceAuth,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { decodeHeader, strictToken } from '../support/tokens/forge.js';
import { createKey, type TestKey } from '../support/keys/keys.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const NO_BODY = new Uint8Array();

const folder = mkdtempSync(join(tmpdir(), 'signing-key-forms-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileOf(content: unknown): string {
  const path = join(folder, `key-${files++}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const current = createKey();
const next = createKey();
const previous = createKey();
const rsa = createKey('RS256');
const privateJwk = (key: TestKey, members: JsonWebKey = {}): JsonWebKey => ({
  ...key.privateKey.export({ format: 'jwk' }),
  ...members,
});
const publicJwk = (key: TestKey): JsonWebKey => key.publicKey.export({ format: 'jwk' });

async function withService<T>(
  options: Partial<Record<keyof ServiceAuthOptions, unknown>>,
  use: (auth: ServiceAuth) => Promise<T>,
): Promise<T> {
  const auth = await createServiceAuth({
    issuer: HERALD,
    targets: [{ baseUrl: CENSUS }],
    ...options,
  } as ServiceAuthOptions);
  try {
    return await use(auth);
  } finally {
    auth.close();
  }
}

const sign = async (auth: ServiceAuth): Promise<string> =>
  (await auth.sign({ method: 'GET', url: `${CENSUS}user/21`, headers: {}, body: NO_BODY })) ?? '';

/** What a receiver that was given the published set makes of a token. */
async function isAccepted(auth: ServiceAuth, token: string): Promise<unknown> {
  const keys = (auth.publishedKeys()?.keys ?? []).map((key) => key as JsonWebKey);
  const census = await createServiceAuth({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, keys }],
  });
  try {
    const rawHeaders = ['JWT', token];
    const identity = await census.verify({
      method: 'GET',
      target: '/user/21',
      rawHeaders,
      body: NO_BODY,
    });
    return identity.keyId;
  } finally {
    census.close();
  }
}

const forms: [string, () => unknown, TestKey, string[]][] = [
  ['a PEM', () => ({ privateKey: current.privatePem }), current, [current.keyId]],
  ['a JWK', () => ({ privateKey: privateJwk(current) }), current, [current.keyId]],
  ['a KeyObject', () => ({ privateKey: current.privateKey }), current, [current.keyId]],
  ['a PEM file', () => ({ keyFile: fileOf(current.privatePem) }), current, [current.keyId]],
  ['a JWK file', () => ({ keyFile: fileOf(privateJwk(current)) }), current, [current.keyId]],
  [
    'a JWK file with a key id',
    () => ({ keyFile: fileOf(privateJwk(current, { kid: 'k1' })) }),
    current,
    ['k1'],
  ],
  [
    'a ring of private keys',
    () => ({
      previous: { privateKey: previous.privatePem },
      current: { privateKey: current.privatePem },
      next: { privateKey: next.privatePem },
    }),
    current,
    [previous.keyId, current.keyId, next.keyId],
  ],
  [
    'a ring whose neighbours are public',
    () => ({
      previous: { publicKey: previous.publicPem, keyId: 'old' },
      current: { privateKey: current.privatePem },
      next: { publicKey: publicJwk(next), algorithms: ['ES256'] },
    }),
    current,
    ['old', current.keyId, next.keyId],
  ],
  [
    'a ring without neighbours',
    () => ({ previous: undefined, current: { privateKey: current.privatePem }, next: undefined }),
    current,
    [current.keyId],
  ],
  [
    'a ring file',
    () => ({
      keyFile: fileOf({
        previous: publicJwk(previous),
        current: privateJwk(current),
        next: privateJwk(next),
      }),
    }),
    current,
    [previous.keyId, current.keyId, next.keyId],
  ],
  [
    'a ring file that says what the options say too',
    () => ({
      keyFile: fileOf({
        current: privateJwk(current, { kid: 'k1', alg: 'ES256' }),
        next: privateJwk(next, { kid: 'k2', alg: 'ES256' }),
      }),
      keyId: 'k0',
      algorithm: 'ES256',
    }),
    current,
    ['k1', 'k2'],
  ],
  ['a function', () => async () => ({ privateKey: current.privatePem }), current, [current.keyId]],
  [
    'a function that gives a ring',
    () => async () => ({
      current: { privateKey: current.privateKey },
      next: { publicKey: next.publicKey },
    }),
    current,
    [current.keyId, next.keyId],
  ],
];

describe('a signing key', () => {
  it.each(forms)('comes as %s', async (_form, signingKey, key, published) => {
    await withService({ signingKey: signingKey() }, async (auth) => {
      const keys = auth.publishedKeys()?.keys ?? [];
      expect(keys.map(({ kid }) => kid)).toEqual(published);
      const token = await sign(auth);
      const { kid } = decodeHeader(token);
      expect(published).toContain(kid);
      const signer = keys.find((candidate) => candidate.kid === kid) as JsonWebKey;
      expect(createPublicKey({ key: signer, format: 'jwk' }).equals(key.publicKey)).toBe(true);
      expect(await isAccepted(auth, token)).toBe(kid);
    });
  });

  const algorithms: [Algorithm, TestKey, Algorithm | undefined, string[]][] = [
    ['ES256', createKey('ES256'), undefined, ['crv', 'kty', 'x', 'y']],
    ['ES384', createKey('ES384'), undefined, ['crv', 'kty', 'x', 'y']],
    ['ES512', createKey('ES512'), undefined, ['crv', 'kty', 'x', 'y']],
    ['EdDSA', createKey('EdDSA'), undefined, ['crv', 'kty', 'x']],
    ['Ed25519', createKey('EdDSA'), 'Ed25519', ['crv', 'kty', 'x']],
    ['RS256', rsa, undefined, ['e', 'kty', 'n']],
    ['PS384', rsa, 'PS384', ['e', 'kty', 'n']],
  ];
  it.each(algorithms)(
    'is published for %s, with its public members alone',
    async (name, key, algorithm, members) => {
      const signingKey = { privateKey: key.privatePem, algorithm };
      await withService({ signingKey }, async (auth) => {
        const [published = {}] = auth.publishedKeys()?.keys ?? [];
        expect(Object.keys(published).toSorted()).toEqual(
          [...members, 'alg', 'kid', 'use'].toSorted(),
        );
        expect(published).toMatchObject({ alg: name, kid: key.keyId, use: 'sig' });
        const token = await sign(auth);
        expect(decodeHeader(token)).toEqual({ alg: name, kid: key.keyId, typ: 'svc+jwt' });
        expect(await isAccepted(auth, token)).toBe(key.keyId);
      });
    },
  );

  it('takes the algorithm its JWK names, and publishes that', async () => {
    const signingKey = { privateKey: privateJwk(rsa, { alg: 'PS256' }) };
    await withService({ signingKey }, async (auth) => {
      expect(auth.publishedKeys()?.keys).toMatchObject([{ alg: 'PS256' }]);
      expect(decodeHeader(await sign(auth))['alg']).toBe('PS256');
    });
  });

  it('is published where another key signs, so that what it signed is still good', async () => {
    const signingKey = {
      previous: { publicKey: previous.publicPem },
      current: { privateKey: current.privatePem },
    };
    const claims = { issuer: HERALD, audience: CENSUS, target: '/user/21' };
    await withService({ signingKey }, async (auth) => {
      expect(await isAccepted(auth, strictToken({ key: previous, ...claims }))).toBe(
        previous.keyId,
      );
      const stranger = isAccepted(auth, strictToken({ key: next, ...claims }));
      await expect(stranger).rejects.toMatchObject({ code: 'key_unknown' });
    });
  });

  it('is not published where that is off', async () => {
    const signingKey = { privateKey: current.privatePem };
    await withService({ signingKey, publishedKeys: 'off' }, async (auth) => {
      expect(auth.publishedKeys()).toBeUndefined();
      expect(decodeHeader(await sign(auth))['kid']).toBe(current.keyId);
    });
  });
});

const mixedHalves = (key: TestKey, other: TestKey): JsonWebKey => ({
  ...publicJwk(other),
  d: privateJwk(key).d,
});
const encrypted = current.privateKey
  .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
  .toString();
const good = { privateKey: current.privatePem };
const SECRET = 'bXkgc2VjcmV0IHRoYXQgbm9ib2R5IG1heSByZWFk';
const refused: [string, () => unknown, string[]][] = [
  ['null', () => null, ['signingKey']],
  ['a bare PEM', () => current.privatePem, ['signingKey']],
  ['no key in it', () => ({}), ['signingKey.privateKey']],
  ['a public key', () => ({ privateKey: current.publicPem }), ['signingKey.privateKey']],
  ['an encrypted key', () => ({ privateKey: encrypted }), ['signingKey.privateKey']],
  [
    'two PEM blocks',
    () => ({ privateKey: current.privatePem + next.privatePem }),
    ['signingKey.privateKey'],
  ],
  ['a symmetric key', () => ({ privateKey: { kty: 'oct', k: SECRET } }), ['signingKey.privateKey']],
  [
    'a key for encryption',
    () => ({ privateKey: privateJwk(current, { use: 'enc' }) }),
    ['signingKey.privateKey'],
  ],
  [
    'the halves of two EC keys',
    () => ({ privateKey: mixedHalves(current, next) }),
    ['signingKey.privateKey'],
  ],
  [
    'the halves of two RSA keys',
    () => ({ privateKey: { ...privateJwk(rsa), n: publicJwk(createKey('RS256')).n } }),
    ['signingKey.privateKey'],
  ],
  ['an unknown name', () => ({ ...good, kid: 'k1' }), ['signingKey.kid']],
  [
    'an algorithm that does not fit',
    () => ({ ...good, algorithm: 'ES384' }),
    ['signingKey.algorithm'],
  ],
  ['a symmetric algorithm', () => ({ ...good, algorithm: 'HS256' }), ['signingKey.algorithm']],
  ['an empty key id', () => ({ ...good, keyId: '' }), ['signingKey.keyId']],
  ['a key id with a line end', () => ({ ...good, keyId: 'a\nb' }), ['signingKey.keyId']],
  ['a ring without current', () => ({ next: good }), ['signingKey.current']],
  ['a ring of nothing', () => ({ current: undefined }), ['signingKey.current']],
  ['a ring of a bare PEM', () => ({ current: current.privatePem }), ['signingKey.current']],
  [
    'a ring whose current key is public',
    () => ({ current: { publicKey: current.publicPem } }),
    ['signingKey.current.publicKey', 'signingKey.current.privateKey'],
  ],
  ['a ring with an unknown name', () => ({ current: good, older: good }), ['signingKey.older']],
  ['a previous that is null', () => ({ current: good, previous: null }), ['signingKey.previous']],
  [
    'a previous without a key',
    () => ({ current: good, previous: {} }),
    ['signingKey.previous.privateKey'],
  ],
  [
    'a previous with an unknown name',
    () => ({ current: good, previous: { publicKey: previous.publicPem, algorithm: 'ES256' } }),
    ['signingKey.previous.algorithm'],
  ],
  [
    'a next with two algorithms',
    () => ({ current: good, next: { publicKey: rsa.publicPem, algorithms: ['RS256', 'PS256'] } }),
    ['signingKey.next.algorithms'],
  ],
  [
    'a next with a private key for a public one',
    () => ({ current: good, next: { publicKey: privateJwk(next) } }),
    ['signingKey.next.publicKey'],
  ],
  ['one key twice', () => ({ current: good, next: good }), ['signingKey.current']],
  [
    'two keys with one key id',
    () => ({
      current: { ...good, keyId: 'k1' },
      previous: { publicKey: previous.publicPem, keyId: 'k1' },
    }),
    ['signingKey.current'],
  ],
  [
    'several problems',
    () => ({
      current: { privateKey: 'x' },
      previous: { publicKey: 'y' },
      next: { publicKey: 'z' },
    }),
    ['signingKey.current.privateKey', 'signingKey.previous.publicKey', 'signingKey.next.publicKey'],
  ],
  ['a missing file', () => ({ keyFile: join(folder, 'none') }), ['signingKey.keyFile']],
  ['a folder', () => ({ keyFile: folder }), ['signingKey.keyFile']],
  ['no path', () => ({ keyFile: '' }), ['signingKey.keyFile']],
  ['an empty file', () => ({ keyFile: fileOf('') }), ['signingKey.keyFile']],
  [
    'half a PEM',
    () => ({ keyFile: fileOf(current.privatePem.slice(0, 120)) }),
    ['signingKey.keyFile'],
  ],
  [
    'half a JWK',
    () => ({ keyFile: fileOf(JSON.stringify(privateJwk(current)).slice(0, 90)) }),
    ['signingKey.keyFile'],
  ],
  [
    'a ring file without current',
    () => ({ keyFile: fileOf({ next: privateJwk(next) }) }),
    ['signingKey.current'],
  ],
  [
    'a ring file whose current key is public',
    () => ({ keyFile: fileOf({ current: publicJwk(current) }) }),
    ['signingKey.current.privateKey'],
  ],
  [
    'a ring file with null in it',
    () => ({ keyFile: fileOf({ current: privateJwk(current), next: null }) }),
    ['signingKey.next.publicKey'],
  ],
  [
    'a ring file and a key id',
    () => ({ keyFile: fileOf({ current: privateJwk(current) }), keyId: 'k1' }),
    ['signingKey.keyId'],
  ],
  [
    'a file and a key',
    () => ({ ...good, keyFile: fileOf(current.privatePem) }),
    ['signingKey.privateKey'],
  ],
  [
    'a file looked at too often',
    () => ({ keyFile: fileOf(current.privatePem), checkSeconds: 0.5 }),
    ['signingKey.checkSeconds'],
  ],
  [
    'a file hardly ever looked at',
    () => ({ keyFile: fileOf(current.privatePem), checkSeconds: Infinity }),
    ['signingKey.checkSeconds'],
  ],
  [
    'a function that rejects',
    () => async () => await Promise.reject(new Error(`no answer to ${SECRET}`)),
    ['signingKey.privateKey'],
  ],
  [
    'a function that cannot read what it got',
    () => async () => JSON.parse(SECRET) as unknown,
    ['signingKey.privateKey'],
  ],
  ['a function that gives nothing', () => async () => undefined, ['signingKey.privateKey']],
  ['a function that gives a PEM', () => async () => current.privatePem, ['signingKey.privateKey']],
];

describe('a signing key is refused at start, without a word of it', () => {
  const secrets = [
    SECRET.slice(0, 12),
    ...[current, next, previous, rsa].flatMap((key) => [
      privateJwk(key).d?.slice(0, 12) ?? '',
      key.privatePem.split('\n')[1]?.slice(20, 40) ?? '',
    ]),
  ];

  it.each(refused)('as %s', async (_case, signingKey, fields) => {
    const error = await withService({ signingKey: signingKey() }, async () => undefined).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ServiceAuthConfigError);
    const { problems, message, stack = '' } = error as ServiceAuthConfigError;
    expect(problems.map((problem) => problem.split(':')[0])).toEqual(fields);
    expect(problems.every((problem) => /: [a-z`'].{8,}/.test(problem))).toBe(true);
    for (const secret of secrets) expect(`${message}${stack}`).not.toContain(secret);
  });

  it('with a word on why, where an error has a name or a code', async () => {
    const code = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    const failing = withService({ signingKey: () => Promise.reject(code) }, sign);
    await expect(failing).rejects.toThrow(/privateKey: .*\(ECONNREFUSED\)/);
    const missing = withService({ signingKey: { keyFile: join(folder, 'none') } }, sign);
    await expect(missing).rejects.toThrow(/keyFile: .*\(ENOENT\)/);
  });

  it('when it is an RSA key that is too short', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    await expect(withService({ signingKey: { privateKey } }, sign)).rejects.toThrow(/2048 bits/);
  });
});

const PATH = ['publishedKeys.path'];
const AGE = ['publishedKeys.maxAgeSeconds'];
const places: [string, unknown, string[]][] = [
  ['the default', undefined, []],
  ['no word about it', {}, []],
  ['off', 'off', []],
  ['another path', { path: '/keys/herald.json', maxAgeSeconds: 60 }, []],
  ['the longest time', { maxAgeSeconds: 3600 }, []],
  ['another word', 'none', ['publishedKeys']],
  ['false', false, ['publishedKeys']],
  ['a path without a slash', { path: 'jwks.json' }, PATH],
  ['a path that ends in a slash', { path: '/keys/' }, PATH],
  ['the root', { path: '/' }, PATH],
  ['a pattern', { path: '/keys/:id' }, PATH],
  ['a wildcard', { path: '/*' }, PATH],
  ['a query', { path: '/keys?x' }, PATH],
  ['a URL', { path: 'https://herald.service/keys' }, PATH],
  ['a number for a path', { path: 5 }, PATH],
  ['a time too short', { maxAgeSeconds: 59 }, AGE],
  ['a time too long', { maxAgeSeconds: 3601 }, AGE],
  ['a time as text', { maxAgeSeconds: '600' }, AGE],
  ['half a second', { maxAgeSeconds: 600.5 }, AGE],
  ['an unknown name', { url: '/keys' }, ['publishedKeys.url']],
];

describe('where the keys are published', () => {
  it.each(places)('may or may not be written as %s', async (_case, publishedKeys, fields) => {
    const starting = withService({ signingKey: good, publishedKeys }, async () => []);
    const problems = await starting.catch((error: ServiceAuthConfigError) => error.problems);
    expect(problems.map((problem) => problem.split(':')[0])).toEqual(fields);
  });
});
