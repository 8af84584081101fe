import { createHmac, generateKeyPairSync } from 'node:crypto';
import {
  type Algorithm,
  ServiceAuthConfigError,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth/core';
import { encode, strictParts } from '../support/tokens/forge.js';
import { jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import {
  CENSUS,
  closeAfterEach,
  HERALD,
  type Question,
  type Receiver,
  startReceiver,
} from '../support/services/receiver.js';

const key = createKey();
const goodKey = createKey();
const keep = closeAfterEach();

async function startWith(
  keys: readonly unknown[],
  options: Partial<TrustedIssuerOptions> = {},
): Promise<Receiver> {
  const server = keep(await startKeyServer(serveKeys(keys)));
  const trustedIssuers = [{ issuer: HERALD, jwksUri: server.url, ...options }];
  return keep(await startReceiver({ trustedIssuers }));
}

const reasonsOf = ({ events }: Receiver): string =>
  events
    .of('key_dropped')
    .map(({ reason }) => reason)
    .join('; ');

const rsa = (modulusLength: number, publicExponent = 65537): object =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({ format: 'jwk' });

/** A point of its curve is this no longer. */
const bend = (coordinate: unknown): string => {
  const bytes = Buffer.from(String(coordinate), 'base64url');
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  return bytes.toString('base64url');
};

describe('keys that are dropped one by one while good ones serve', () => {
  const ec = jwkOf(key);
  const privateJwk = { ...key.privateKey.export({ format: 'jwk' }), kid: key.keyId };
  const ed = (hex: string) => ({
    kty: 'OKP',
    crv: 'Ed25519',
    x: Buffer.from(hex, 'hex').toString('base64url'),
    kid: key.keyId,
  });
  it.each<[string, unknown, RegExp]>([
    ['KL-07 a symmetric key', { kty: 'oct', k: 'AAAA', kid: key.keyId }, /write one public key/],
    ['KL-08 a private key', privateJwk, /this one is private, and known to others by now/],
    ['KL-08 private factors alone', { ...rsa(2048), p: 'AQAB', kid: key.keyId }, /is private/],
    ['KL-15 null', null, /write one public key/],
    ['KL-15 a string', 'key', /write one public key/],
    ['KL-15 an empty object', {}, /write one public key/],
    ['KL-15 a key without coordinates', { kty: 'EC', crv: 'P-256' }, /write one public key/],
    ['KL-15 a key type nobody knows', { ...ec, kty: 'AKP' }, /write one public key/],
    ['a point off its curve', { ...ec, x: bend(ec['x']) }, /write one public key/],
    ['a point of another curve', { ...ec, crv: 'P-384' }, /write one public key/],
    ['an Ed25519 key that is no point', ed('ff'.repeat(32)), /a point of its curve/],
    ['an Ed25519 key under which anyone can sign', ed('00'.repeat(32)), /of full order/],
    ['another such', ed(`01${'00'.repeat(31)}`), /of full order/],
    ['a third', ed(`c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a`), /full/],
    ['a curve that is not one of ours', secp256k1(), /write a P-256, P-384/],
    ['an RSA key of 1024 bits', { ...rsa(1024), kid: key.keyId }, /at least 2048 bits/],
    ['an RSA key with exponent 3', { ...rsa(2048, 3), kid: key.keyId }, /exponent 65537/],
    ['an RSA key with exponent 1', { ...rsa(2048), e: 'AQ', kid: key.keyId }, /exponent 65537/],
    ['a key for encryption', { ...ec, use: 'enc' }, /use is 'sig'/],
    ['a key for signing alone', { ...ec, key_ops: ['sign'] }, /key_ops include 'verify'/],
    ['a symmetric algorithm on it', { ...ec, alg: 'HS256' }, /not among the algorithms/],
    ['no algorithm on it', { ...ec, alg: 'none' }, /not among the algorithms/],
    ['an algorithm that does not fit', { ...ec, alg: 'ES384' }, /not among the algorithms/],
    ['a key id with a line break', { ...ec, kid: 'a\nb' }, /without control characters/],
    ['a key id that is too long', { ...ec, kid: 'a'.repeat(257) }, /1 to 256 characters/],
    ['an option of ours', { publicKey: ec }, /write one public key/],
  ])('%s', async (_name, entry, reason) => {
    const receiver = await startWith([entry, jwkOf(goodKey)]);
    expect(await receiver.ask({ key: goodKey })).toBe('ok');
    expect(await receiver.ask({ key })).toBe('key_unknown');
    expect(reasonsOf(receiver)).toMatch(/^keys\[0\](\.keyId)?: /);
    expect(reasonsOf(receiver)).toMatch(reason);
    expect(JSON.stringify(receiver.events.all)).not.toContain(privateJwk.d);
  });

  it.each<[string, object]>([
    ['with `use: sig`', {}],
    ['with key_ops', { key_ops: ['verify'] }],
    ['without use and alg', { use: undefined, alg: undefined }],
    ['with members nobody knows', { x5t: 'AAAA', ext: true, note: { a: [] } }],
  ])('but not a good one %s', async (_name, members) => {
    const receiver = await startWith([jwkOf(key, members), jwkOf(goodKey)]);
    expect(await receiver.ask({ key })).toBe('ok');
    expect(reasonsOf(receiver)).toBe('');
  });

  it('gives a key without an id its thumbprint', async () => {
    const receiver = await startWith([jwkOf(key, { kid: undefined })]);
    expect(await receiver.ask({ key })).toBe('ok');
  });

  it('KL-06 two keys with one id are both dropped, never tried in turn', async () => {
    const kid = 'twice';
    const set = [jwkOf(key, { kid }), jwkOf(createKey(), { kid }), jwkOf(goodKey)];
    const receiver = await startWith(set);
    expect(await receiver.ask({ key, header: { kid } })).toBe('key_unknown');
    expect(reasonsOf(receiver)).toBe('keys: two have the key id "twice"; neither is used');
    expect(await receiver.ask({ key: goodKey })).toBe('ok');
    const once = await startWith([jwkOf(key, { kid })]);
    expect(await once.ask({ key, header: { kid } })).toBe('ok');
  });

  it('KL-07 no symmetric token is checked with any key of the set', async () => {
    const secret = Buffer.from('a secret of thirty-two characters');
    const oct = { kty: 'oct', k: secret.toString('base64url'), kid: 'oct', alg: 'HS256' };
    const receiver = await startWith([oct, jwkOf(goodKey)]);
    const { header, claims } = strictParts({
      key: goodKey,
      issuer: HERALD,
      audience: CENSUS,
      target: '/user',
      header: { alg: 'HS256', kid: 'oct' },
    });
    const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
    const mac = createHmac('sha256', secret).update(input).digest('base64url');
    expect(await receiver.askWith(`${input}.${mac}`)).toBe('algorithm_refused');
    expect(await receiver.ask({ key: goodKey })).toBe('ok');
  });
});

function secp256k1(): object {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  return { ...publicKey.export({ format: 'jwk' }), kid: key.keyId };
}

describe('KL-17 the algorithm belongs to the key', () => {
  const rsaKey = createKey('RS256');
  const signedWith = (algorithm: Algorithm): TestKey => ({ ...rsaKey, algorithm });
  const plain = jwkOf(rsaKey, { alg: undefined });
  it.each<[string, object, readonly Algorithm[] | undefined, Algorithm, Algorithm]>([
    ['that its JWK names', jwkOf(rsaKey, { alg: 'PS256' }), undefined, 'PS256', 'RS256'],
    ['that its issuer lists, without alg', plain, ['PS384'], 'PS384', 'RS256'],
    ['that fits it, without either', plain, undefined, 'RS256', 'PS256'],
    ['that both name', jwkOf(rsaKey), ['RS256', 'PS256'], 'RS256', 'PS256'],
  ])('%s', async (_name, jwk, algorithms, right, wrong) => {
    const receiver = await startWith([jwk], algorithms && { algorithms });
    expect(await receiver.ask({ key: signedWith(right) })).toBe('ok');
    expect(await receiver.ask({ key: signedWith(wrong) })).toBe('algorithm_refused');
  });

  it('and a key whose alg its issuer does not list is dropped', async () => {
    const set = [jwkOf(rsaKey), jwkOf(key)];
    const receiver = await startWith(set, { algorithms: ['ES256'] });
    expect(await receiver.ask({ key: rsaKey })).toBe('key_unknown');
    expect(await receiver.ask({ key })).toBe('ok');
  });
});

describe('isolation of issuers', () => {
  const ANOTHER = 'https://another.service/';
  const [ourKey, theirKey] = [createKey(), createKey()];
  const kid = 'the-key';
  const startBoth = async (
    ours: Partial<TrustedIssuerOptions>,
    theirs: Partial<TrustedIssuerOptions>,
  ): Promise<Receiver> => {
    const trustedIssuers = [
      { issuer: HERALD, ...ours },
      { issuer: ANOTHER, ...theirs },
    ];
    return keep(await startReceiver({ trustedIssuers }));
  };
  type Place = (one: TestKey) => Promise<Partial<TrustedIssuerOptions>>;
  const fetched: Place = async (one) => ({
    jwksUri: keep(await startKeyServer(serveKeys([jwkOf(one, { kid })]))).url,
  });
  const configured: Place = async (one) =>
    await Promise.resolve({ keys: [{ publicKey: one.publicPem, keyId: kid }] });

  it.each<[string, Place, Place]>([
    ['both fetched', fetched, fetched],
    ['one fetched, one configured', fetched, configured],
    ['both configured', configured, configured],
  ])('KL-04 one key id, two keys, %s: no cross-use', async (_name, ours, theirs) => {
    const receiver = await startBoth(await ours(ourKey), await theirs(theirKey));
    const header = { kid };
    const answer = async (one: TestKey, issuer: string): Promise<string> =>
      await receiver.ask({ key: one, issuer, header });
    expect(await answer(ourKey, HERALD)).toBe('ok');
    expect(await answer(theirKey, ANOTHER)).toBe('ok');
    expect(await answer(ourKey, ANOTHER)).toBe('signature_invalid');
    expect(await answer(theirKey, HERALD)).toBe('signature_invalid');
  });

  it('KL-04 two issuers with one URL have caches and algorithms of their own', async () => {
    const rsaKey = createKey('RS256');
    const server = keep(await startKeyServer(serveKeys([jwkOf(ourKey), jwkOf(rsaKey)])));
    const jwksUri = server.url;
    const receiver = await startBoth(
      { jwksUri, algorithms: ['ES256'] },
      { jwksUri, algorithms: ['RS256'] },
    );
    expect(await receiver.ask({ key: ourKey, issuer: HERALD })).toBe('ok');
    expect(await receiver.ask({ key: rsaKey, issuer: ANOTHER })).toBe('ok');
    expect(await receiver.ask({ key: ourKey, issuer: ANOTHER })).toBe('key_unknown');
    expect(await receiver.ask({ key: rsaKey, issuer: HERALD })).toBe('key_unknown');
    expect(server.hits).toBe(2);
    // The cool-down is each issuer's own as well: a flood in the name of one is not the other's.
    receiver.clock.advance(30);
    for (let round = 0; round < 5; round++) await receiver.ask({ key: theirKey, issuer: HERALD });
    expect(server.hits).toBe(3);
    await receiver.ask({ key: theirKey, issuer: ANOTHER });
    expect(server.hits).toBe(4);
  });

  it('KL-04 what one no longer publishes is not found with the other', async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(ourKey)])));
    const other = keep(await startKeyServer(serveKeys([jwkOf(ourKey), jwkOf(theirKey)])));
    const receiver = await startBoth({ jwksUri: server.url }, { jwksUri: other.url });
    await receiver.settle();
    server.respond = serveKeys([jwkOf(theirKey)]);
    receiver.clock.advance(590);
    await receiver.settle();
    expect(await receiver.ask({ key: ourKey, issuer: HERALD })).toBe('key_unknown');
    expect(await receiver.ask({ key: ourKey, issuer: ANOTHER })).toBe('ok');
  });

  it('KL-05 names that are the same when written in one are still two', async () => {
    const pairs = [
      { issuer: 'https://a.service/b', kid: 'c' },
      { issuer: 'https://a.service/', kid: 'bc' },
      { issuer: 'https://a.service/b;c', kid: 'd' },
      { issuer: 'https://a.service/b', kid: 'c;d' },
    ];
    const keys = pairs.map(() => createKey());
    const options = new Map<string, TrustedIssuerOptions>();
    for (const [at, { issuer, kid: keyId }] of pairs.entries()) {
      const known = options.get(issuer)?.keys ?? [];
      const publicKey = keys[at]?.publicPem ?? '';
      options.set(issuer, { issuer, keys: [...known, { publicKey, keyId }] });
    }
    const receiver = keep(await startReceiver({ trustedIssuers: [...options.values()] }));
    for (const [at, signer] of keys.entries()) {
      const answers = [];
      for (const { issuer, kid: keyId } of pairs) {
        answers.push(await receiver.ask({ key: signer, issuer, header: { kid: keyId } }));
      }
      expect(answers).toEqual(pairs.map((_, other) => (other === at ? 'ok' : 'signature_invalid')));
    }
    const crossed = { key: goodKey, issuer: 'https://a.service/', header: { kid: 'c' } };
    expect(await receiver.ask(crossed)).toBe('key_unknown');
  });
});

describe('where keys are fetched from', () => {
  const start = async (issuer: Partial<TrustedIssuerOptions>, options: object = {}) =>
    keep(await startReceiver({ trustedIssuers: [{ issuer: HERALD, ...issuer }], ...options }));

  it.each<[string, unknown, RegExp]>([
    ['file:', 'file:///etc/keys.json', /jwksUri: .*; write an https: URL without credentials/],
    ['data:', 'data:application/json,{}', /jwksUri: .*; write an https: URL without credentials/],
    ['ftp:', 'ftp://keys.service/', /jwksUri: .*; write an https: URL without credentials/],
    ['http: elsewhere', 'http://keys.service/', /jwksUri: .* or set allowInsecureKeyUrls/],
    ['http: that begins as here', 'http://127.0.0.1.evil.example/', /or set allowInsecure/],
    ['http: that ends as here', 'http://notlocalhost/', /or set allowInsecureKeyUrls/],
    ['http: a private address', 'http://169.254.169.254/', /or set allowInsecureKeyUrls/],
    ['a user', 'https://me@keys.service/', /without credentials/],
    ['a password', 'https://me:secret@keys.service/', /without credentials/],
    ['a fragment', 'https://keys.service/#a', /without credentials/],
    ['no URL', 'keys.json', /without credentials/],
    ['nothing', '', /without credentials/],
    ['a number', 5, /without credentials/],
    ['a URL object', new URL('https://keys.service/'), /without credentials/],
  ])('KL-12 %s is a configuration error', async (_name, jwksUri, problem) => {
    const attempt = start({ jwksUri: jwksUri as string });
    await expect(attempt).rejects.toThrow(ServiceAuthConfigError);
    await expect(attempt).rejects.toMatchObject({
      problems: [expect.stringMatching(/^trustedIssuers\[0\]\./)],
    });
    await expect(attempt).rejects.toThrow(problem);
    await expect(attempt).rejects.not.toThrow(/secret/);
  });

  it('KL-12 an issuer that is no https: URL publishes nowhere by default', async () => {
    await expect(start({ issuer: 'http://herald.service/' })).rejects.toThrow(/jwksUri/);
  });

  it('KL-12, CF-07 two places for the keys of one issuer are one too many', async () => {
    const jwksUri = 'https://keys.service/';
    await expect(start({ publicKey: key.publicPem, jwksUri })).rejects.toThrow(/not both/);
    await expect(start({ keys: [key.publicPem], jwksUri })).rejects.toThrow(/not both/);
  });

  it.each<[string, string, object]>([
    ['https:', 'https://keys.invalid/', {}],
    ['KL-21 http: to 127.0.0.1', 'http://127.0.0.1:1/', {}],
    ['KL-21 http: to another loopback address', 'http://127.8.9.10:1/', {}],
    ['KL-21 http: to localhost', 'http://localhost:1/', {}],
    ['KL-21 http: to [::1]', 'http://[::1]:1/', {}],
    ['http: in writing', 'http://keys.invalid/', { allowInsecureKeyUrls: true }],
  ])('%s is taken as configured', async (_name, jwksUri, options) => {
    const receiver = await start({ jwksUri }, options);
    expect(receiver.service.keyHealth().get(HERALD)?.status).toBe('unavailable');
    receiver.close();
  });

  it.each([
    ['', '/.well-known/jwks.json'],
    ['/', '/.well-known/jwks.json'],
    ['/herald', '/herald/.well-known/jwks.json'],
    ['/herald/', '/herald/.well-known/jwks.json'],
  ])('an issuer at "%s" publishes at %s', async (path, expected) => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const issuer = new URL(server.url).origin + path;
    const receiver = await start({ issuer });
    expect(await receiver.ask({ key, issuer })).toBe('ok');
    expect(server.requests.map(({ url }) => url)).toEqual([expected]);
  });

  it('KL-21 the address behind a configured name is not asked about', async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const jwksUri = server.url.replace('127.0.0.1', 'localhost');
    expect(await (await start({ jwksUri })).ask({ key })).toBe('ok');
  });

  it('nothing in a token names a place to fetch from', async () => {
    const evil = keep(await startKeyServer(serveKeys([jwkOf(goodKey)])));
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const receiver = await start({ jwksUri: server.url, profile: 'original' });
    const origin = new URL(evil.url).origin;
    const claims = { sub: `${CENSUS}user/21/` };
    const questions: [Question, string][] = [
      [{ key, header: { typ: 'JWT', jku: evil.url, x5u: evil.url } }, 'ok'],
      [
        { key: goodKey, header: { typ: 'JWT', jku: evil.url, kid: undefined } },
        'signature_invalid',
      ],
      [{ key: goodKey, header: { typ: 'JWT', kid: evil.url } }, 'key_unknown'],
      [{ key: goodKey, header: { typ: 'JWT' }, issuer: `${origin}/` }, 'issuer_unknown'],
    ];
    for (const [question, code] of questions) {
      expect(await receiver.ask({ ...question, claims })).toBe(code);
    }
    expect(evil.hits).toBe(0);
    expect(server.hits).toBe(1);
  });
});

describe('CF-13 two issuers whose keys are at one URL', () => {
  const scribe = 'https://scribe.service/';
  const ours = createKey();
  const theirs = createKey('Ed25519');

  it('have keys of their own, narrowed by their own algorithms', async () => {
    const server = await startKeyServer(serveKeys([jwkOf(ours), jwkOf(theirs, { alg: 'EdDSA' })]));
    const receiver = await startReceiver({
      trustedIssuers: [
        { issuer: HERALD, jwksUri: server.url, algorithms: ['ES256'] },
        { issuer: scribe, jwksUri: server.url, algorithms: ['EdDSA'] },
      ],
    });
    try {
      await receiver.settle();
      const asEdDsa = { ...theirs, algorithm: 'EdDSA' as const };
      expect(await receiver.ask({ key: ours })).toBe('ok');
      expect(await receiver.ask({ key: asEdDsa, issuer: scribe })).toBe('ok');
      expect(await receiver.ask({ key: asEdDsa })).not.toBe('ok');
      expect(await receiver.ask({ key: ours, issuer: scribe })).not.toBe('ok');
      const health = [...receiver.service.keyHealth()].map(([name, { keyIds }]) => [name, keyIds]);
      expect(health).toEqual([
        [HERALD, [ours.keyId]],
        [scribe, [theirs.keyId]],
      ]);
    } finally {
      receiver.close();
      await server.close();
    }
  });

  it('hear of a key id that two keys have, and neither of them is used', async () => {
    const other = createKey();
    const clash = [jwkOf(ours, { kid: 'one' }), jwkOf(other, { kid: 'one' })];
    const third = createKey();
    const server = await startKeyServer(serveKeys([...clash, jwkOf(third)]));
    const receiver = await startReceiver({
      trustedIssuers: [HERALD, scribe].map((issuer) => ({ issuer, jwksUri: server.url })),
    });
    try {
      await receiver.settle();
      const dropped = receiver.events.of('key_dropped').map(({ issuer }) => issuer);
      expect(new Set(dropped)).toEqual(new Set([HERALD, scribe]));
      for (const issuer of [HERALD, scribe]) {
        for (const key of [ours, other]) {
          expect(await receiver.ask({ key: { ...key, keyId: 'one' }, issuer })).not.toBe('ok');
        }
        expect(await receiver.ask({ key: third, issuer })).toBe('ok');
      }
    } finally {
      receiver.close();
      await server.close();
    }
  });
});
