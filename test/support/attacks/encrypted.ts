import {
  createCipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { type AttackRow, type Attempt, honestly } from './attempt.js';
import { censusKey, keyFor } from '../services/census.js';
import { encode, type Json } from '../tokens/forge.js';

interface ContentKey {
  readonly cek: Uint8Array;
  /** Empty where the receiver is to know or to agree on the key. */
  readonly encrypted?: Uint8Array;
}

/** A compact JWE with A256GCM: RFC 7516 section 7.1. */
function encryptWith(header: Json, plaintext: string | Uint8Array, key: ContentKey): string {
  const encodedHeader = encode(JSON.stringify({ enc: 'A256GCM', ...header }));
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key.cek, iv).setAAD(Buffer.from(encodedHeader));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const parts = [key.encrypted ?? '', iv, ciphertext, cipher.getAuthTag()].map(encode);
  return [encodedHeader, ...parts].join('.');
}

/** ECDH-ES in direct key agreement: RFC 7518 section 4.6. */
function agreeWith(receiver: KeyObject): { epk: object; cek: Buffer } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const field = (bytes: string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, Buffer.from(bytes)]);
  };
  const cek = createHash('sha256')
    .update(Buffer.from([0, 0, 0, 1]))
    .update(diffieHellman({ privateKey, publicKey: receiver }))
    .update(Buffer.concat([field('A256GCM'), field(''), field('')]))
    .update(Buffer.from([0, 0, 1, 0]))
    .digest();
  return { epk: publicKey.export({ format: 'jwk' }), cek };
}

function wrapForReceiver(header: Json, inner: string): string {
  const { epk, cek } = agreeWith(createPublicKey(censusKey.publicPem));
  return encryptWith({ alg: 'ECDH-ES', cty: 'JWT', epk, ...header }, inner, { cek });
}

const unsigned: Attempt['build'] = (header, claims) =>
  `${encode(JSON.stringify({ ...header, alg: 'none' }))}.${encode(JSON.stringify(claims))}.`;

const cek = randomBytes(32);
const rsaKey = keyFor('RS256').publicKey;

/** An encrypted token is none here, whatever is in it: nothing is decrypted. */
export const ENCRYPTED: readonly AttackRow[] = (
  [
    [
      'HP-24 a JWE (dir) around a good token',
      (...parts) => encryptWith({ alg: 'dir', cty: 'JWT' }, honestly(...parts), { cek }),
    ],
    [
      'HP-24 a JWE (dir) around the claims alone',
      (_header, claims) => encryptWith({ alg: 'dir' }, JSON.stringify(claims), { cek }),
    ],
    [
      'HP-24 a JWE (RSA-OAEP) around a good token',
      (...parts) => {
        const encrypted = publicEncrypt(rsaKey, cek);
        return encryptWith({ alg: 'RSA-OAEP' }, honestly(...parts), { cek, encrypted });
      },
    ],
    [
      'HP-24 a JWE (PBES2) that asks for 2^31 rounds',
      (...parts) => {
        const header = { alg: 'PBES2-HS256+A128KW', p2s: encode(randomBytes(16)), p2c: 2 ** 31 };
        return encryptWith(header, honestly(...parts), { cek, encrypted: randomBytes(40) });
      },
    ],
    [
      'HP-24 a JWE (dir) of 4 kB that inflates to 4 MB',
      () => encryptWith({ alg: 'dir', zip: 'DEF' }, deflateRawSync(Buffer.alloc(4 << 20)), { cek }),
    ],
    [
      'HP-25 a JWE for the key of the receiver around an unsigned token',
      (...parts) => wrapForReceiver({ kid: censusKey.keyId }, unsigned(...parts)),
    ],
    [
      'HP-25 the same under the kid of the issuer',
      (header, ...parts) => wrapForReceiver({ kid: header['kid'] }, unsigned(header, ...parts)),
    ],
    [
      'HP-25 the same that says it is a token of this protocol',
      (header, ...parts) => wrapForReceiver({ typ: 'svc+jwt' }, unsigned(header, ...parts)),
    ],
  ] satisfies [string, Attempt['build']][]
).map(([title, build]) => ({ title, code: 'token_malformed', change: { build } }));
