import {
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  webcrypto,
} from 'node:crypto';
import {
  createServiceAuth,
  type KeyMaterial,
  type PublicKeyOptions,
  type ServiceAuthOptions,
  type SigningKeyOptions,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth/core';
import { createKey, type TestKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  HERALD,
  now,
  outgoing,
  received,
  signed,
} from '../support/services/peers.js';
import { problemsOf } from '../support/observed/problems.js';
import { createRocaKey } from '../support/keys/roca-key.js';

const key = createKey();
const other = createKey();
const rsa = createKey('RS256');
const ed25519 = createKey('EdDSA');
const roca = createRocaKey('roca');

const HOW_PUBLIC = 'write one public key as SPKI PEM, JWK, KeyObject or CryptoKey';
const HOW_NOT_PRIVATE = `${HOW_PUBLIC}; this one is private, and known to others by now: make a new one`;
const HOW_PRIVATE = 'write one unencrypted private key as PKCS#8 PEM, JWK, KeyObject or CryptoKey';
const HOW_ROCA =
  'write an RSA key made by another generator: this one has the flaw of CVE-2017-15361';
const HOW_KIND = 'write a P-256, P-384, P-521, Ed25519 or RSA key';

const pem = (object: KeyObject): string =>
  object.export({ type: object.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();
const jwk = (object: KeyObject): JsonWebKey => object.export({ format: 'jwk' });

const trusting = (parts: Partial<TrustedIssuerOptions>): ServiceAuthOptions => ({
  issuer: CENSUS,
  trustedIssuers: [{ issuer: HERALD, ...parts }],
});
const signing = (parts: SigningKeyOptions): ServiceAuthOptions => ({
  issuer: HERALD,
  signingKey: parts,
  targets: [{ baseUrl: CENSUS }],
});

/** Everything of the key that a message must not repeat. */
function partsOf(material: unknown): string[] {
  const texts =
    typeof material === 'string'
      ? material.split(/\s+/)
      : Object.values(material ?? {}).map(String);
  return texts.filter((text) => text.length > 16 && !text.includes('-----'));
}

async function expectProblem(options: ServiceAuthOptions, problem: string, material: unknown) {
  const problems = await problemsOf(options);
  // What was there is tested in key-form.spec.ts.
  const [field = '', whatToWrite = ''] = problem.split(/(?<=^\S+: )/);
  expect(problems).toHaveLength(1);
  expect(problems[0]?.startsWith(field) && problems[0]?.endsWith(whatToWrite)).toBe(true);
  const text = problems.join('\n');
  expect(partsOf(material).filter((part) => text.includes(part))).toEqual([]);
}

const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
const x25519 = generateKeyPairSync('x25519');
const ed448 = generateKeyPairSync('ed448');
const rsaPss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
const dsa = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 });
const withExponent = (e: string): KeyObject =>
  createPublicKey({ key: { ...jwk(rsa.publicKey), e }, format: 'jwk' });
const encryptedPem = key.privateKey
  .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'canary' })
  .toString();
const encryptedRsaPem = rsa.privateKey
  .export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'canary' })
  .toString();
const hmac: JsonWebKey = { kty: 'oct', k: Buffer.alloc(32, 7).toString('base64url') };
const hmacKey = await webcrypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, [
  'sign',
  'verify',
]);
const cryptoPair = await webcrypto.subtle.generateKey(
  { name: 'ECDSA', namedCurve: 'P-256' },
  false,
  ['sign', 'verify'],
);
const offCurve: JsonWebKey = { ...jwk(key.publicKey), y: jwk(other.publicKey).y };

const NO_PUBLIC_KEYS: [title: string, material: unknown, what: string][] = [
  ['a private key as PEM', key.privatePem, HOW_PUBLIC],
  [
    'a private key as SEC 1 PEM',
    key.privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
    HOW_PUBLIC,
  ],
  [
    'a private key as PKCS#1 PEM',
    rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    HOW_PUBLIC,
  ],
  ['a private key as JWK', jwk(key.privateKey), HOW_NOT_PRIVATE],
  ['a private RSA key as JWK', jwk(rsa.privateKey), HOW_NOT_PRIVATE],
  ['a private key as KeyObject', key.privateKey, HOW_PUBLIC],
  ['a private key as CryptoKey', cryptoPair.privateKey, HOW_PUBLIC],
  ['an encrypted private key', encryptedPem, HOW_PUBLIC],
  ['a symmetric key as JWK', hmac, HOW_NOT_PRIVATE],
  ['a symmetric key as KeyObject', createSecretKey(Buffer.alloc(32, 7)), HOW_PUBLIC],
  ['a symmetric key as CryptoKey', hmacKey, HOW_PUBLIC],
  ['a password', 'correct horse battery staple', HOW_PUBLIC],
  ['an empty string', '', HOW_PUBLIC],
  ['two keys in one text', key.publicPem + other.publicPem, HOW_PUBLIC],
  ['a public key after a private one', key.privatePem + key.publicPem, HOW_PUBLIC],
  ['a key cut short', key.publicPem.slice(0, 100), HOW_PUBLIC],
  [
    'a certificate request',
    key.publicPem.replaceAll('PUBLIC KEY', 'CERTIFICATE REQUEST'),
    HOW_PUBLIC,
  ],
  ['a PEM after a space', ` ${key.publicPem}`, HOW_PUBLIC],
  ['bytes', key.publicKey.export({ type: 'spki', format: 'der' }), HOW_PUBLIC],
  ['a number', 5, HOW_PUBLIC],
  ['SG-27 a point off the curve', offCurve, HOW_PUBLIC],
  ['SG-24 RSA of 1024 bits', pem(weakRsa.publicKey), 'write an RSA key of at least 2048 bits'],
  [
    'SG-24 RSA of 1024 bits as JWK',
    jwk(weakRsa.publicKey),
    'write an RSA key of at least 2048 bits',
  ],
  ['SG-25 exponent 1', withExponent('AQ'), 'write an RSA key of exponent 65537 or more'],
  [
    'SG-25 exponent 1 as PEM',
    pem(withExponent('AQ')),
    'write an RSA key of exponent 65537 or more',
  ],
  [
    'SG-25 exponent 3 as JWK',
    { ...jwk(rsa.publicKey), e: 'Aw' },
    'write an RSA key of exponent 65537 or more',
  ],
  ['SG-26 a modulus of the flawed generator', roca.publicPem, HOW_ROCA],
  ['SG-26 a modulus of the flawed generator, as JWK', jwk(roca.publicKey), HOW_ROCA],
  ['SG-29 secp256k1', pem(secp256k1.publicKey), HOW_KIND],
  ['SG-29 secp256k1 as JWK', jwk(secp256k1.publicKey), HOW_KIND],
  ['SG-29 DSA', pem(dsa.publicKey), HOW_KIND],
  ['Ed448', pem(ed448.publicKey), HOW_KIND],
  ['X25519', pem(x25519.publicKey), HOW_KIND],
  ['a key restricted to RSA-PSS', rsaPss.publicKey, HOW_KIND],
  [
    'SG-28 a key for encryption',
    { ...jwk(key.publicKey), use: 'enc' },
    "write a key whose use is 'sig'",
  ],
  [
    'SG-28 a key for other operations',
    { ...jwk(key.publicKey), key_ops: ['encrypt'] },
    "write a key whose key_ops include 'verify'",
  ],
  [
    'SG-28 operations that are no list',
    { ...jwk(key.publicKey), key_ops: 'verify' },
    "write a key whose key_ops include 'verify'",
  ],
  [
    'a key of an algorithm that does not fit',
    { ...jwk(key.publicKey), alg: 'ES384' },
    'its algorithm is not among the algorithms allowed',
  ],
  [
    'a key of a symmetric algorithm',
    { ...jwk(key.publicKey), alg: 'HS256' },
    'its algorithm is not among the algorithms allowed',
  ],
];

const NO_PRIVATE_KEYS: [title: string, material: unknown, what: string][] = [
  ['a public key as PEM', key.publicPem, HOW_PRIVATE],
  ['a public key as JWK', jwk(key.publicKey), HOW_PRIVATE],
  ['a public key as KeyObject', key.publicKey, HOW_PRIVATE],
  ['a public key as CryptoKey', cryptoPair.publicKey, HOW_PRIVATE],
  ['a symmetric key', hmac, HOW_PRIVATE],
  ['a symmetric key as KeyObject', createSecretKey(Buffer.alloc(32, 7)), HOW_PRIVATE],
  ['a password', 'correct horse battery staple', HOW_PRIVATE],
  ['nothing', undefined, HOW_PRIVATE],
  ['an encrypted key', encryptedPem, HOW_PRIVATE],
  ['an encrypted PKCS#1 key', encryptedRsaPem, HOW_PRIVATE],
  ['two keys in one text', key.privatePem + other.privatePem, HOW_PRIVATE],
  ['a key cut short', key.privatePem.slice(0, 120), HOW_PRIVATE],
  ['RSA of 1024 bits', pem(weakRsa.privateKey), 'write an RSA key of at least 2048 bits'],
  ['SG-26 a key of the flawed generator', roca.privatePem, HOW_ROCA],
  ['secp256k1', pem(secp256k1.privateKey), HOW_KIND],
  ['Ed448', ed448.privateKey, HOW_KIND],
  [
    'a key for encryption',
    { ...jwk(key.privateKey), use: 'enc' },
    "write a key whose use is 'sig'",
  ],
  [
    'a key that may only verify',
    { ...jwk(key.privateKey), key_ops: ['verify'] },
    "write a key whose key_ops include 'sign'",
  ],
];

describe('CF-06, OS-20: what is refused', () => {
  it.each(NO_PUBLIC_KEYS)('as a public key: %s', async (_title, material, what) => {
    const publicKey = material as KeyMaterial;
    await expectProblem(trusting({ publicKey }), `trustedIssuers[0].publicKey: ${what}`, material);
    const keys = [key.publicPem, publicKey];
    await expectProblem(trusting({ keys }), `trustedIssuers[0].keys[1]: ${what}`, material);
    expect(await problemsOf(trusting({ publicKey: key.publicPem }))).toEqual([]);
  });

  it.each(NO_PRIVATE_KEYS)('as a private key: %s', async (_title, material, what) => {
    const privateKey = material as KeyMaterial;
    await expectProblem(signing({ privateKey }), `signingKey.privateKey: ${what}`, material);
    expect(await problemsOf(signing({ privateKey: key.privatePem }))).toEqual([]);
  });

  it.each<[TestKey, string, string]>([
    [key, 'ES384', 'ES256'],
    [key, 'RS256', 'ES256'],
    [key, 'HS256', 'ES256'],
    [key, 'none', 'ES256'],
    [key, 'es256', 'ES256'],
    [rsa, 'ES256', 'RS256, PS256, PS384, PS512, RS384, RS512'],
    [ed25519, 'ES256', 'EdDSA, Ed25519'],
  ])('an algorithm that does not fit the key', async ({ privateKey }, algorithm, fitting) => {
    const options = signing({ privateKey, algorithm: algorithm as 'ES256' });
    const problem = `signingKey.algorithm: write one that fits the key: ${fitting}`;
    expect(await problemsOf(options)).toEqual([problem]);
  });

  it('CF-07 both forms of public keys, or an empty list', async () => {
    const keys = [other.publicPem];
    const issuer = 'trustedIssuers[0]';
    expect(await problemsOf(trusting({ publicKey: key.publicPem, keys }))).toEqual([
      `${issuer}.keys: set publicKey or keys, not both`,
    ]);
    const none = [`${issuer}.publicKey: set the service's public key`];
    expect(await problemsOf(trusting({ keys: [] }))).toEqual(none);
    expect(await problemsOf(trusting({ keys }))).toEqual([]);
  });

  it('KL-06 two keys under one key id', async () => {
    const problem =
      'trustedIssuers[0].keys[1]: has the key id of another key; give each its own keyId';
    const same = { publicKey: other.publicPem, keyId: 'one' };
    expect(await problemsOf(trusting({ keys: [key.publicPem, key.publicPem] }))).toEqual([problem]);
    expect(
      await problemsOf(trusting({ keys: [{ publicKey: key.publicPem, keyId: 'one' }, same] })),
    ).toEqual([problem]);
    expect(await problemsOf(trusting({ keys: [key.publicPem, same] }))).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['a symmetric one beside a good one', ['ES256', 'HS256']],
    ['none beside a good one', ['none', 'ES256']],
    ['one that does not exist beside a good one', ['ES256', 'ES257']],
    ['a string', 'ES256'],
    ['a text that contains a good one', 'not-ES256-at-all'],
    ['null', null],
    ['a number', 5],
    ['an empty list', []],
  ])('CF-03 the algorithms of one key: %s', async (_title, algorithms) => {
    const entry = { publicKey: key.publicPem, algorithms } as PublicKeyOptions;
    const problems = await problemsOf(trusting({ keys: [entry] }));
    expect(problems).toEqual([expect.stringMatching(/^trustedIssuers\[0\]\.keys\[0\]/)]);
    const good: PublicKeyOptions = { publicKey: key.publicPem, algorithms: ['ES256'] };
    expect(await problemsOf(trusting({ keys: [good] }))).toEqual([]);
  });

  it.each(['', 'k'.repeat(257), 'a\nb', 'a\u0000'])('a kid of a JWK: %j', async (kid) => {
    expect(await problemsOf(trusting({ publicKey: { ...jwk(key.publicKey), kid } }))).toHaveLength(
      1,
    );
    expect(await problemsOf(signing({ privateKey: { ...jwk(key.privateKey), kid } }))).toHaveLength(
      1,
    );
  });
});

const PUBLIC_FORMS: [string, KeyMaterial][] = [
  ['PEM', key.publicPem],
  ['PEM with CRLF', key.publicPem.replaceAll('\n', '\r\n')],
  ['PEM without its last line break', key.publicPem.trimEnd()],
  ['PEM after a line break', `\n${key.publicPem}`],
  ['PEM after a byte order mark', `\uFEFF${key.publicPem}`],
  ['JWK', jwk(key.publicKey)],
  [
    'JWK that says what it is for',
    { ...jwk(key.publicKey), use: 'sig', alg: 'ES256', key_ops: ['verify'] },
  ],
  ['KeyObject', key.publicKey],
  [
    'CryptoKey',
    await webcrypto.subtle.importKey(
      'jwk',
      jwk(key.publicKey),
      { name: 'ECDSA', namedCurve: 'P-256' },
      false,
      ['verify'],
    ),
  ],
];
const PRIVATE_FORMS: [string, KeyMaterial][] = [
  ['PKCS#8 PEM', key.privatePem],
  ['PEM with CRLF', key.privatePem.replaceAll('\n', '\r\n')],
  ['SEC 1 PEM', key.privateKey.export({ type: 'sec1', format: 'pem' }).toString()],
  ['JWK', jwk(key.privateKey)],
  ['KeyObject', key.privateKey],
  [
    'CryptoKey',
    await webcrypto.subtle.importKey(
      'jwk',
      jwk(key.privateKey),
      { name: 'ECDSA', namedCurve: 'P-256' },
      true,
      ['sign'],
    ),
  ],
];

describe('what is accepted', () => {
  it.each(PUBLIC_FORMS)('CF-06 a public key as %s', async (_title, publicKey) => {
    const { herald, census } = await createPeers(key, {
      census: { trustedIssuers: [{ issuer: HERALD, publicKey }] },
    });
    const token = await signed(herald, outgoing());
    const identity = await census.verify(received(outgoing(), token));
    expect(identity.keyId).toBe(key.keyId);
  });

  it.each(PRIVATE_FORMS)('CF-06 a private key as %s', async (_title, privateKey) => {
    const { herald, census } = await createPeers(key, { herald: { signingKey: { privateKey } } });
    const token = await signed(herald, outgoing());
    const identity = await census.verify(received(outgoing(), token));
    expect(identity.keyId).toBe(key.keyId);
  });

  it('a private key that cannot be exported, under a key id of its own', async () => {
    const { herald, census } = await createPeers(key, {
      herald: { signingKey: { privateKey: cryptoPair.privateKey, keyId: 'hardware' } },
      census: {
        trustedIssuers: [
          { issuer: HERALD, keys: [{ publicKey: cryptoPair.publicKey, keyId: 'hardware' }] },
        ],
      },
    });
    const token = await signed(herald, outgoing());
    expect(await census.verify(received(outgoing(), token))).toMatchObject({ keyId: 'hardware' });
  });

  it('the algorithm and the kid of a JWK', async () => {
    const named = { kid: 'named', alg: 'PS512' };
    const { herald, census } = await createPeers(rsa, {
      herald: { signingKey: { privateKey: { ...jwk(rsa.privateKey), ...named } } },
      census: {
        trustedIssuers: [{ issuer: HERALD, publicKey: { ...jwk(rsa.publicKey), ...named } }],
      },
    });
    const token = await signed(herald, outgoing());
    expect(await census.verify(received(outgoing(), token))).toMatchObject({ keyId: 'named' });
  });

  it('several keys of one issuer, each by its own key id', async () => {
    const keys = [key.publicPem, { publicKey: other.publicKey, keyId: 'next' }];
    const verdict = async (privateKey: KeyObject, keyId?: string): Promise<string> => {
      const { herald, census } = await createPeers(key, {
        herald: { signingKey: { privateKey, keyId } },
        census: { trustedIssuers: [{ issuer: HERALD, keys }] },
      });
      const token = await signed(herald, outgoing());
      return await codeOf(async () => await census.verify(received(outgoing(), token)));
    };
    expect(await verdict(key.privateKey)).toBe('accepted');
    expect(await verdict(other.privateKey, 'next')).toBe('accepted');
    expect(await verdict(other.privateKey)).toBe('key_unknown');
    expect(await verdict(key.privateKey, 'next')).toBe('signature_invalid');
  });

  it('KL-04 one key id under two issuers, each with a key of its own', async () => {
    const scribe = 'https://scribe.service/';
    const census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [
        { issuer: HERALD, keys: [{ publicKey: key.publicPem, keyId: 'one' }] },
        { issuer: scribe, keys: [{ publicKey: other.publicPem, keyId: 'one' }] },
      ],
      now,
    });
    const verdict = async (issuer: string, { privateKey }: TestKey): Promise<string> => {
      const sender = await createServiceAuth({
        ...signing({ privateKey, keyId: 'one' }),
        issuer,
        now,
      });
      const token = await signed(sender, outgoing());
      return await codeOf(async () => await census.verify(received(outgoing(), token)));
    };
    expect(await verdict(HERALD, key)).toBe('accepted');
    expect(await verdict(scribe, other)).toBe('accepted');
    expect(await verdict(HERALD, other)).toBe('signature_invalid');
    expect(await verdict(scribe, key)).toBe('signature_invalid');
  });

  it('an RSA key is for RS256 alone where nothing else is said', async () => {
    const verdict = async (algorithm: 'RS256' | 'PS256' | 'RS512'): Promise<string> => {
      const { herald, census } = await createPeers(rsa, {
        herald: { signingKey: { privateKey: rsa.privateKey, algorithm } },
        census: { trustedIssuers: [{ issuer: HERALD, publicKey: rsa.publicPem }] },
      });
      const token = await signed(herald, outgoing());
      return await codeOf(async () => await census.verify(received(outgoing(), token)));
    };
    expect(await verdict('RS256')).toBe('accepted');
    expect(await verdict('PS256')).toBe('algorithm_refused');
    expect(await verdict('RS512')).toBe('algorithm_refused');
  });

  it('an original token without a kid, only where the issuer has one key', async () => {
    const verdict = async (keys: PublicKeyOptions[]): Promise<string> => {
      const { herald, census } = await createPeers(key, {
        profile: 'original',
        census: { trustedIssuers: [{ issuer: HERALD, profile: 'original', keys }] },
      });
      const token = await signed(herald, outgoing());
      return await codeOf(async () => await census.verify(received(outgoing(), token)));
    };
    expect(await verdict([{ publicKey: key.publicPem }])).toBe('accepted');
    expect(await verdict([{ publicKey: key.publicPem }, { publicKey: other.publicPem }])).toBe(
      'key_unknown',
    );
  });
});
