import { createHmac } from 'node:crypto';
import {
  type AttackRow,
  type Attempt,
  type AttemptParts,
  editSegment,
  honestly,
  sendAs,
} from './attempt.js';
import {
  ALL_ALGORITHMS,
  censusKey,
  HERALD,
  heraldKey,
  issuerFor,
  keyFor,
  SCRIBE,
  scribeKey,
  strangerKey,
  twinKey,
  TWINS,
} from '../services/census.js';
import { encode, type Json } from '../tokens/forge.js';
import type { TestKey } from '../keys/keys.js';
import { GOOD_PKCS1 } from './rsa-pkcs1.js';
import { GOOD_PSS } from './rsa-pss.js';

const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const ED25519_PRIME = 2n ** 255n - 19n;
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

type Secret = readonly [title: string, secret: string | Uint8Array];

/** Everything public that a confused verifier could take for the secret of an HMAC. */
const secrets = ({ publicPem, publicKey }: TestKey): Secret[] => {
  const jwk = publicKey.export({ format: 'jwk' });
  return [
    ['SG-03 the PEM', publicPem],
    ['SG-03 the PEM with CRLF', publicPem.replaceAll('\n', '\r\n')],
    ['SG-03 the PEM without its last line break', publicPem.trimEnd()],
    ['SG-03 the PEM after a space', ` ${publicPem}`],
    ['SG-04 the DER', publicKey.export({ type: 'spki', format: 'der' })],
    ['SG-04 the JWK', JSON.stringify(jwk)],
    ['SG-04 the JWK Set', JSON.stringify({ keys: [jwk] })],
  ];
};

const ecSecrets = (key: TestKey): Secret[] => {
  const { x = '', y = '' } = key.publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), bytesOf(x), bytesOf(y)]);
  const sshKey = sshString('ecdsa-sha2-nistp256', 'nistp256', point);
  return [
    ...secrets(key),
    ['SG-04 the raw point', point],
    ['SG-04 the SSH key', sshKey],
    ['SG-04 the SSH line', `ecdsa-sha2-nistp256 ${sshKey.toString('base64')}`],
    ['SG-05 nothing', ''],
    ['SG-05 two quotes', '""'],
    ['SG-05 the word null', 'null'],
  ];
};

const rsaSecrets = (key: TestKey): Secret[] => {
  const { n = '', e = '' } = key.publicKey.export({ format: 'jwk' });
  const sshKey = sshString('ssh-rsa', bytesOf(e), Buffer.concat([Buffer.of(0), bytesOf(n)]));
  return [
    ...secrets(key),
    ['SG-03 the PEM of PKCS#1', key.publicKey.export({ type: 'pkcs1', format: 'pem' })],
    ['SG-04 the DER of PKCS#1', key.publicKey.export({ type: 'pkcs1', format: 'der' })],
    ['SG-04 n', bytesOf(n)],
    ['SG-04 n as the JWK has it', n],
    ['SG-04 the SSH key', sshKey],
    ['SG-04 the SSH line', `ssh-rsa ${sshKey.toString('base64')}`],
  ];
};

/** RFC 4253 section 6.6: strings after their lengths. */
function sshString(...parts: (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, Buffer.from(part)];
    }),
  );
}

const macWith =
  (alg: string, secret: string | Uint8Array): Attempt['build'] =>
  (header, claims) => {
    const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
    const mac = createHmac(`sha${alg.slice(2)}`, secret);
    return `${input}.${encode(mac.update(input).digest())}`;
  };

const confused: AttackRow[] = [
  { name: 'an ES256', issuer: HERALD, key: heraldKey, keyed: ecSecrets(heraldKey) },
  {
    name: 'an RS256',
    issuer: issuerFor('RS256'),
    key: keyFor('RS256'),
    keyed: rsaSecrets(keyFor('RS256')),
  },
].flatMap(({ name, issuer, key, keyed }) =>
  keyed.flatMap(([title, secret]) =>
    ['HS256', 'HS384', 'HS512'].map((alg): AttackRow => ({
      title: `${title} of ${name} key as the secret of ${alg}`,
      code: 'algorithm_refused',
      common: { issuer, key },
      change: { header: { alg }, build: macWith(alg, secret) },
    })),
  ),
);

const wrongAlgorithm: AttackRow[] = [
  ...ALL_ALGORITHMS.filter((name) => name !== 'ES256').map((name): AttackRow => ({
    title: `SG-06 a token signed with ${name}, whose issuer has a key for ES256`,
    code: 'algorithm_refused',
    change: { key: { ...keyFor(name), keyId: heraldKey.keyId } },
  })),
  ...(['ES384', 'ES512'] as const).map((name): AttackRow => ({
    title: `SG-08 a token signed with ${name} and a key on P-256`,
    code: 'algorithm_refused',
    change: { key: { ...heraldKey, algorithm: name } },
  })),
  {
    title: 'SG-08 a token signed with ES256 and a key on P-384',
    code: 'algorithm_refused',
    common: { issuer: issuerFor('ES384'), key: keyFor('ES384') },
    change: { key: { ...keyFor('ES384'), algorithm: 'ES256' } },
  },
  ...['es256', 'ES257', 'ES256K', 'ES256 ', '__proto__', 'toString', 'ECDH-ES', 'dir'].map(
    (alg): AttackRow => ({
      title: `SG-09 alg ${alg}`,
      code: 'algorithm_refused',
      change: { header: { alg } },
    }),
  ),
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
      title: `SG-07 a token signed with ${other}, and the key is for ${own}`,
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
  ['n+1', P256_ORDER + 1n],
  ['2^256-1', 2n ** 256n - 1n],
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

const edgeOfOne: AttackRow[] = EDGES.flatMap(([name, value]): AttackRow[] => [
  {
    title: `SG-13 r = ${name}, s as signed`,
    code: 'signature_invalid',
    change: {
      send: editSignature((signed) => Buffer.concat([to32Bytes(value), signed.subarray(32)])),
    },
  },
  {
    title: `SG-13 r as signed, s = ${name}`,
    code: 'signature_invalid',
    change: {
      send: editSignature((signed) => Buffer.concat([signed.subarray(0, 32), to32Bytes(value)])),
    },
  },
]);

function addOrder(signature: Buffer): Buffer {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`);
  const raised = (s + ED25519_ORDER).toString(16).padStart(64, '0');
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(raised, 'hex').reverse()]);
}

const littleEndian = (value: bigint): Buffer =>
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();

/** Encodings of points of order 1, 2 and 4 of edwards25519, two of them not canonical. */
const SMALL_POINTS: [string, Buffer][] = [
  ['the neutral point', littleEndian(1n)],
  ['the point of order 2', littleEndian(ED25519_PRIME - 1n)],
  ['a point of order 4', littleEndian(0n)],
  ['the other point of order 4', littleEndian(2n ** 255n)],
  ['the neutral point written as p + 1', littleEndian(ED25519_PRIME + 1n)],
  ['a point of order 4 written as p', littleEndian(ED25519_PRIME)],
];

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
  ...SMALL_POINTS.flatMap(([title, point]): AttackRow[] => [
    {
      title: `SG-15 an Ed25519 signature with ${title} for R and s = 0`,
      code: 'signature_invalid',
      common: { issuer: SCRIBE, key: scribeKey },
      change: { send: editSignature(() => Buffer.concat([point, Buffer.alloc(32)])) },
    },
    {
      title: `SG-15 an Ed25519 signature with ${title} for R, s as signed`,
      code: 'signature_invalid',
      common: { issuer: SCRIBE, key: scribeKey },
      change: { send: editSignature((signed) => Buffer.concat([point, signed.subarray(32)])) },
    },
  ]),
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
    ['SG-10 the payload with a bit flipped in a claim', 1, (json) => json.replace('y-c', 'y-b')],
    ['SG-10 the header with a bit flipped in typ', 0, (json) => json.replace('svc+jwt', 'Svc+jwt')],
    ['SG-10 another subject', 1, (json) => json.replace('/user/canary', '/user/danary')],
  ] satisfies [string, 0 | 1, (json: string) => string][]
).map(([title, at, edit]) => ({
  title: `${title}, the old signature`,
  code: 'signature_invalid',
  change: { send: respellJson(at, edit) },
}));

const flippedEnds: AttackRow[] = (['header', 'payload'] as const).flatMap((part, at) =>
  (['first', 'last'] as const).map((place): AttackRow => ({
    title: `SG-10 the ${part} with a bit flipped in its ${place} byte`,
    code: 'token_malformed',
    change: {
      send: (token) => ({
        JWT: editSegment(token, at === 0 ? 0 : 1, (segment) => {
          const bytes = bytesOf(segment);
          return encode(flipBit(bytes, place === 'first' ? 0 : bytes.length - 1));
        }),
      }),
    },
  })),
);

/** The parts of two good tokens of one issuer, whose headers differ in a way that plays no part. */
function splice(header: Json, claims: Json, key: TestKey): [string, string, string][] {
  const other = { ...claims, jti: 'the-other-of-two-tokens', sub: OTHER_USER };
  return [honestly(header, claims, key), honestly({ ...header, typ: 'SVC+JWT' }, other, key)].map(
    (token) => token.split('.') as [string, string, string],
  );
}

const OTHER_USER = 'https://census.service/user/another/';

/** Which of the two tokens each part is from. */
const spliced: AttackRow[] = (
  [
    [0, 1, 0],
    [0, 1, 1],
    [1, 0, 0],
    [1, 0, 1],
    [0, 0, 1],
    [1, 1, 0],
  ] as const
).map((from) => ({
  title: `SG-20 ${['header', 'payload', 'signature'].map((part, at) => `${part} of ${'AB'[from[at] ?? 0]}`).join(', ')}`,
  code: 'signature_invalid',
  change: {
    build: (...parts) => {
      const tokens = splice(...parts);
      return from.map((token, at) => tokens[token]?.[at]).join('.');
    },
  },
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
    change: { key: { ...twinKey, keyId: heraldKey.keyId } },
  },
  {
    title: "SG-22 another issuer's key, its kid and its name in the subject alone",
    code: 'key_unknown',
    common: { subject: `${TWINS}user/1/` },
    change: { key: twinKey },
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
  ...edgeOfOne,
  ...encodings,
  ...reserialised,
  ...flippedEnds,
  ...spliced,
  ...otherKeys,
  truncated,
];

/** Good twins of what is spliced, and of what is signed step by step. */
export const GOOD_SIGNATURES: readonly { title: string; change: AttemptParts }[] = [
  {
    title: 'SG-20 header, payload and signature of B',
    change: { build: (...parts) => splice(...parts)[1]?.join('.') ?? '' },
  },
  ...ALL_ALGORITHMS.map((algorithm) => ({
    title: `SG-30 signed with ${algorithm}`,
    change: { issuer: issuerFor(algorithm), key: keyFor(algorithm) },
  })),
  GOOD_PKCS1,
  GOOD_PSS,
];
