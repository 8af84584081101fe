import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { encodePkcs1 } from '../support/attacks/rsa-pkcs1.js';
import { type Attempt, honestly } from '../support/attacks/attempt.js';
import { encode } from '../support/tokens/forge.js';
import { jwkOf } from '../support/keys/key-server.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { createRocaKey } from '../support/keys/roca-key.js';

/** A key as it is published, and how a token is signed that it would verify. */
export interface PublishedKey {
  readonly jwk: object;
  readonly key: TestKey;
  readonly build: Attempt['build'];
}

/** A key that must not be used, beside one that may be. */
export interface FlawedKey {
  readonly title: string;
  readonly flawed: PublishedKey;
  readonly sound: PublishedKey;
}

export const FLAWED_KEY_ID = 'the-key';

const named = (key: TestKey): TestKey => ({ ...key, keyId: FLAWED_KEY_ID });
const withPair = (base: TestKey, pair: Pick<TestKey, 'publicKey' | 'privateKey'>): TestKey => ({
  ...base,
  ...pair,
});

const ec = named(createKey());
const p384 = named(createKey('ES384'));
const rsa = named(createKey('RS256'));
const ed = named(createKey('Ed25519'));
const rsaWith = (modulusLength: number, publicExponent = 65537): TestKey =>
  withPair(rsa, generateKeyPairSync('rsa', { modulusLength, publicExponent }));

const publish = (
  key: TestKey,
  members: object = {},
  build: Attempt['build'] = honestly,
): PublishedKey => ({ jwk: jwkOf(key, members), key, build });

/** With a signature that is made of the input alone: what anybody can send. */
const signedByNobody =
  (signatureOf: (input: Buffer) => Uint8Array): Attempt['build'] =>
  (header, claims) => {
    const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
    return `${input}.${encode(signatureOf(Buffer.from(input)))}`;
  };

const member = (key: TestKey, name: 'x' | 'y'): string =>
  key.publicKey.export({ format: 'jwk' })[name] ?? '';

/** A point of its curve is this no longer. */
function bend(coordinate: string): string {
  const bytes = Buffer.from(coordinate, 'base64url');
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  return bytes.toString('base64url');
}

const zeros = encode(Buffer.alloc(32));
const secp256k1 = withPair(ec, generateKeyPairSync('ec', { namedCurve: 'secp256k1' }));
const p192 = withPair(ec, generateKeyPairSync('ec', { namedCurve: 'prime192v1' }));
const dsa = withPair(ec, generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }));

/** Node writes no JWK of this curve: its point is the end of the SPKI. */
function p192Jwk({ publicKey }: TestKey): object {
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-48);
  const [x, y] = [point.subarray(0, 24), point.subarray(24)].map(encode);
  return { ...jwkOf(ec), crv: 'P-192', x, y };
}

const dsaJwk = (publicKey: KeyObject): object => ({
  kty: 'DSA',
  kid: FLAWED_KEY_ID,
  alg: 'ES256',
  use: 'sig',
  y: encode(publicKey.export({ type: 'spki', format: 'der' }).subarray(-256)),
});

/** The neutral point for R and for the key, and 0 for s: verifies over every message. */
const neutral = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]);
const signedUnderNeutral = signedByNobody(() => Buffer.concat([neutral, Buffer.alloc(32)]));

export const FLAWED_KEYS: readonly FlawedKey[] = [
  {
    title: 'SG-15 an Ed25519 key of small order, under which anyone can sign',
    flawed: publish(ed, { x: encode(neutral) }, signedUnderNeutral),
    sound: publish(ed),
  },
  {
    title: 'SG-24 an RSA key of 1024 bits',
    flawed: publish(rsaWith(1024)),
    sound: publish(rsa),
  },
  {
    title: 'SG-24 an RSA key of 2040 bits',
    flawed: publish(rsaWith(2040)),
    sound: publish(rsaWith(2048)),
  },
  {
    title: 'SG-25 the exponent 1, under which anyone can sign',
    flawed: publish(
      rsa,
      { e: 'AQ' },
      signedByNobody((input) => encodePkcs1(input, rsa)),
    ),
    sound: publish(rsa),
  },
  {
    title: 'SG-25 the exponent 3',
    flawed: publish(rsaWith(2048, 3)),
    sound: publish(rsaWith(2048, 65537)),
  },
  {
    title: 'SG-26 a modulus of the generator of CVE-2017-15361',
    flawed: publish(createRocaKey(FLAWED_KEY_ID)),
    sound: publish(rsa),
  },
  {
    title: 'SG-27 a point off its curve',
    flawed: publish(ec, { x: bend(member(ec, 'x')) }),
    sound: publish(ec),
  },
  {
    title: 'SG-27 the y of another point',
    flawed: publish(ec, { y: member(createKey(), 'y') }),
    sound: publish(ec),
  },
  {
    title: 'SG-27 a point of zeros',
    flawed: publish(ec, { x: zeros, y: zeros }),
    sound: publish(ec),
  },
  {
    title: 'SG-27 a point of P-256 that says it is of P-384',
    flawed: publish(ec, { crv: 'P-384' }),
    sound: publish(ec),
  },
  {
    title: 'SG-27 a point of P-384 that says it is of P-256',
    flawed: publish(p384, { crv: 'P-256' }),
    sound: publish(p384),
  },
  {
    title: 'SG-28 a key for encryption',
    flawed: publish(ec, { use: 'enc' }),
    sound: publish(ec, { use: 'sig' }),
  },
  ...[['sign'], ['encrypt', 'wrapKey'], []].map((operations) => ({
    title: `SG-28 a key for the operations ${JSON.stringify(operations)}`,
    flawed: publish(ec, { key_ops: operations }),
    sound: publish(ec, { key_ops: ['verify'] }),
  })),
  {
    title: 'SG-29 a key on secp256k1',
    flawed: publish(secp256k1),
    sound: publish(ec),
  },
  {
    title: 'SG-29 a key on secp256k1 that says it is on P-256',
    flawed: publish(secp256k1, { crv: 'P-256' }),
    sound: publish(ec),
  },
  {
    title: 'SG-29 a key on P-192',
    flawed: { jwk: p192Jwk(p192), key: p192, build: honestly },
    sound: publish(ec),
  },
  {
    title: 'SG-29 a DSA key',
    flawed: { jwk: dsaJwk(dsa.publicKey), key: dsa, build: honestly },
    sound: publish(ec),
  },
];
