import { createHmac } from 'node:crypto';
import { type AttackRow, type Attempt, editSegment, honestly, sendAs } from '../attempt.js';
import {
  censusKey,
  HERALD,
  heraldKey,
  issuerFor,
  keyFor,
  SCRIBE,
  scribeKey,
  strangerKey,
} from '../census.js';
import { encode } from '../forge.js';
import type { TestKey } from '../keys.js';

const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const bytesOf = (segment: string): Buffer => Buffer.from(segment, 'base64url');

const editSignature =
  (edit: (signature: Buffer) => Uint8Array): Attempt['send'] =>
  (token) => ({ JWT: editSegment(token, 2, (segment) => encode(edit(bytesOf(segment)))) });

function flipBit(bytes: Buffer, at: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return flipped;
}

const unsigned: AttackRow[] = [
  {
    title: 'SG-01 alg none with an empty signature',
    code: 'token_malformed',
    change: {
      header: { alg: 'none' },
      build: (header, claims) =>
        `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}.`,
    },
  },
  ...['none', 'None', 'NONE', 'nOnE', 'none ', ' none', ''].map((alg): AttackRow => ({
    title: `SG-02 alg ${JSON.stringify(alg)} with a good signature`,
    code: 'algorithm_refused',
    change: { header: { alg } },
  })),
];

const secrets = ({ publicPem, publicKey }: TestKey): [string, string | Buffer][] => {
  const jwk = publicKey.export({ format: 'jwk' });
  return [
    ['the PEM', publicPem],
    ['the PEM with CRLF', publicPem.replaceAll('\n', '\r\n')],
    ['the PEM without its last line break', publicPem.trimEnd()],
    ['the PEM after a space', ` ${publicPem}`],
    ['the DER', publicKey.export({ type: 'spki', format: 'der' })],
    ['the raw point', Buffer.concat([Buffer.of(4), bytesOf(jwk.x ?? ''), bytesOf(jwk.y ?? '')])],
    ['the JWK', JSON.stringify(jwk)],
    ['the JWK Set', JSON.stringify({ keys: [jwk] })],
    ['nothing', ''],
    ['the word null', 'null'],
  ];
};

const confused: AttackRow[] = secrets(heraldKey).flatMap(([title, secret]) =>
  ['HS256', 'HS384', 'HS512'].map((alg): AttackRow => ({
    title: `SG-03 to SG-05 ${alg} keyed with ${title}`,
    code: 'algorithm_refused',
    change: {
      header: { alg },
      build: (header, claims) => {
        const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
        const mac = createHmac(`sha${alg.slice(2)}`, secret)
          .update(input)
          .digest();
        return `${input}.${encode(mac)}`;
      },
    },
  })),
);

const wrongAlgorithm: AttackRow[] = [
  ...[
    'RS256',
    'PS256',
    'ES384',
    'EdDSA',
    'es256',
    'ES257',
    'ES256K',
    'ES256 ',
    '__proto__',
    'toString',
    'ECDH-ES',
    'dir',
  ].map((alg): AttackRow => ({
    title: `SG-06/SG-08/SG-09 alg ${alg} with the key of an ES256 issuer`,
    code: 'algorithm_refused',
    change: { header: { alg } },
  })),
  {
    title: 'SG-09 EdDSA where only Ed25519 is configured',
    code: 'algorithm_refused',
    common: { issuer: SCRIBE, key: scribeKey },
    change: { header: { alg: 'EdDSA' } },
  },
  ...(
    [
      ['RS256', 'PS256'],
      ['PS256', 'RS256'],
      ['PS256', 'PS384'],
      ['PS384', 'PS256'],
      ['RS256', 'RS512'],
    ] as const
  ).map(([own, other]): AttackRow => {
    const common = { issuer: issuerFor(own), key: keyFor(own) };
    return {
      title: `SG-07/SG-18 a token signed with ${other}, and the key is for ${own}`,
      code: 'algorithm_refused',
      common,
      change: { key: { ...keyFor(other), keyId: common.key.keyId } },
    };
  }),
  ...(
    [
      ['RS256', 'PS256'],
      ['PS256', 'RS256'],
      ['PS256', 'PS384'],
      ['RS512', 'RS256'],
    ] as const
  ).map(([own, other]): AttackRow => ({
    title: `SG-18 a signature made with ${other} under a header that says ${own}`,
    code: 'signature_invalid',
    common: { issuer: issuerFor(own), key: keyFor(own) },
    change: {
      build: (header, claims) => honestly(header, claims, keyFor(other)),
    },
  })),
];

const signers = [
  { name: 'ES256', parts: { issuer: HERALD, key: heraldKey } },
  { name: 'Ed25519', parts: { issuer: SCRIBE, key: scribeKey } },
  ...(['ES512', 'PS256', 'RS256'] as const).map((name) => ({
    name,
    parts: { issuer: issuerFor(name), key: keyFor(name) },
  })),
];

const bent: AttackRow[] = signers.flatMap(({ name, parts }) =>
  (
    [
      ['SG-10 with a bit flipped in its first byte', (s) => flipBit(s, 0)],
      ['SG-10 with a bit flipped in the middle', (s) => flipBit(s, s.length >> 1)],
      ['SG-10 with a bit flipped in its last byte', (s) => flipBit(s, s.length - 1)],
      ['SG-11 one byte short', (s) => s.subarray(0, -1)],
      ['SG-11 one byte long', (s) => Buffer.concat([s, Buffer.of(0)])],
      ['SG-11 after a zero byte', (s) => Buffer.concat([Buffer.of(0), s])],
      ['SG-11 of one byte', () => Buffer.of(0)],
      ['SG-11 of zeros', (s) => Buffer.alloc(s.length)],
      ['SG-11 of ones', (s) => Buffer.alloc(s.length, 0xff)],
      ['SG-11 twice', (s) => Buffer.concat([s, s])],
    ] satisfies [string, (signature: Buffer) => Uint8Array][]
  ).map(([title, edit]): AttackRow => ({
    title: `${title}: a signature of ${name}`,
    code: 'signature_invalid',
    common: parts,
    change: { send: editSignature(edit) },
  })),
);

const to32Bytes = (value: bigint): Buffer =>
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
const EDGES: [string, bigint][] = [
  ['0', 0n],
  ['1', 1n],
  ['n-1', P256_ORDER - 1n],
  ['n', P256_ORDER],
];

const edgeValues: AttackRow[] = EDGES.flatMap(([rName, r]) =>
  EDGES.map(([sName, s]): AttackRow => ({
    title: `SG-13 r = ${rName}, s = ${sName}`,
    code: 'signature_invalid',
    change: { send: editSignature(() => Buffer.concat([to32Bytes(r), to32Bytes(s)])) },
  })),
);

/** ASN.1 INTEGERs of r and s in a SEQUENCE. */
function toDer(signature: Buffer): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const value = bytes.subarray(start);
    const body = (value[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), value]) : value;
    return Buffer.concat([Buffer.of(2, body.length), body]);
  };
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]);
}

function addOrder(signature: Buffer): Buffer {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`);
  const raised = (s + ED25519_ORDER).toString(16).padStart(64, '0');
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(raised, 'hex').reverse()]);
}

const encodings: AttackRow[] = [
  {
    title: 'SG-12 an ECDSA signature in DER',
    code: 'signature_invalid',
    change: { send: editSignature(toDer) },
  },
  {
    title: 'SG-15 an Ed25519 signature with s + L',
    code: 'signature_invalid',
    common: { issuer: SCRIBE, key: scribeKey },
    change: { send: editSignature(addOrder) },
  },
  {
    title: 'SG-15 an Ed25519 signature with a small-order R and s = 0',
    code: 'signature_invalid',
    common: { issuer: SCRIBE, key: scribeKey },
    change: {
      send: editSignature(() => Buffer.concat([Buffer.of(1), Buffer.alloc(63)])),
    },
  },
];

const respellJson =
  (at: 0 | 1, edit: (json: string) => string): Attempt['send'] =>
  (token) => ({
    JWT: editSegment(token, at, (segment) => encode(edit(bytesOf(segment).toString()))),
  });

const reserialised: AttackRow[] = (
  [
    ['SG-19 the payload with a space', 1, (json) => json.replace(':', ': ')],
    ['SG-19 the payload with an escape', 1, (json) => json.replace('"iss"', '"\\u0069ss"')],
    [
      'SG-19 the payload in another order',
      1,
      (json) =>
        JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(json) as object).toReversed())),
    ],
    ['SG-19 the header with a space', 0, (json) => json.replace(':', ': ')],
    [
      'SG-10 the payload with a bit flipped in a claim',
      1,
      (json) => json.replace('canary-c', 'canary-b'),
    ],
    ['SG-10 another subject', 1, (json) => json.replace('/user/canary', '/user/danary')],
  ] satisfies [string, 0 | 1, (json: string) => string][]
).map(([title, at, edit]) => ({
  title: `${title}, the old signature`,
  code: 'signature_invalid',
  change: { send: respellJson(at, edit) },
}));

const otherKeys: AttackRow[] = [
  {
    title: 'SG-21 everything right but the key',
    code: 'signature_invalid',
    change: { key: { ...strangerKey, keyId: heraldKey.keyId } },
  },
  {
    title: "SG-22 another issuer's key under its own kid",
    code: 'key_unknown',
    change: { key: scribeKey },
  },
  {
    title: "SG-22 another issuer's key under the kid of this one",
    code: 'signature_invalid',
    common: { issuer: issuerFor('ES256'), key: { ...keyFor('ES256') } },
    change: { key: { ...strangerKey, keyId: keyFor('ES256').keyId } },
  },
  {
    title: 'SG-23 signed by the receiver itself, under its own kid',
    code: 'key_unknown',
    change: { key: censusKey },
  },
  {
    title: 'SG-23 signed by the receiver itself, under the kid of the issuer',
    code: 'signature_invalid',
    change: { key: { ...censusKey, keyId: heraldKey.keyId } },
  },
  {
    title: 'HP-07 signed by an attacker who sends along the key',
    code: 'signature_invalid',
    change: { key: { ...strangerKey, keyId: heraldKey.keyId } },
  },
];

const truncated: AttackRow = {
  title: 'SG-11 the last character of the signature is cut off, by whoever passes it on',
  code: 'token_malformed',
  change: { send: sendAs((token) => token.slice(0, -1)) },
};

export const SIGNATURES: readonly AttackRow[] = [
  ...unsigned,
  ...confused,
  ...wrongAlgorithm,
  ...bent,
  ...edgeValues,
  ...encodings,
  ...reserialised,
  ...otherKeys,
  truncated,
];
