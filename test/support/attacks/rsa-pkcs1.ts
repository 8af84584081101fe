import { createHash } from 'node:crypto';
import type { AttackRow } from './attempt.js';
import { issuerFor, keyFor } from '../services/census.js';
import { type EncodeMessage, MODULUS_BYTES, signEncoded, withByte } from './rsa-signature.js';

/**
 * Signatures with the issuer's own key over malformed encodings of EMSA-PKCS1-v1_5 (RFC 8017 section
 * 9.2). A verifier that parses the encoding, instead of comparing it with the only right one, takes
 * some of them, and some of those can be made without the key (Bleichenbacher, 2006).
 */

type Bytes = Uint8Array;

const hex = (digits: string): Bytes => Buffer.from(digits, 'hex');
const join = (...parts: Bytes[]): Bytes => Buffer.concat(parts);
const hashOf = (algorithm: string, input: Bytes): Bytes =>
  createHash(algorithm).update(input).digest();

/** Tag, length in the short form, content. */
const tlv = (tag: number, content: Bytes): Bytes => join(Buffer.of(tag, content.length), content);

const OIDS = {
  sha256: '608648016503040201',
  sha384: '608648016503040202',
  sha512: '608648016503040203',
  sha224: '608648016503040204',
  'sha512-256': '608648016503040206',
  'sha3-256': '608648016503040208',
  sha1: '2b0e03021a',
  md5: '2a864886f70d0205',
} as const;
const NULL = hex('0500');

/** The parts of a DigestInfo, so that one of them can be written otherwise. */
const PARTS = ['DigestInfo', 'AlgorithmIdentifier', 'OID', 'NULL', 'digest'] as const;
type Part = (typeof PARTS)[number];
type WritePart = (tag: number, content: Bytes) => Bytes;

function digestInfo(oid: string, digest: Bytes, changed?: Part, write: WritePart = tlv): Bytes {
  const part = (name: Part, tag: number, content: Bytes): Bytes =>
    (name === changed ? write : tlv)(tag, content);
  const algorithm = join(part('OID', 6, hex(oid)), part('NULL', 5, hex('')));
  const identifier = part('AlgorithmIdentifier', 0x30, algorithm);
  return part('DigestInfo', 0x30, join(identifier, part('digest', 4, digest)));
}

/** `00 01 FF … 00` and what is signed. */
function pad(content: Bytes, before: Bytes = hex('0001'), separator: Bytes = hex('00')): Bytes {
  const fill = MODULUS_BYTES - before.length - separator.length - content.length;
  return join(before, Buffer.alloc(fill, 0xff), separator, content);
}

const right = (input: Bytes): Bytes => digestInfo(OIDS.sha256, hashOf('sha256', input));

const TAGS = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x30, 0x31, 0x80, 0xa0, 0xff];

/** One part of the DigestInfo in other bytes; what surrounds it counts them. */
const WRITINGS: [string, WritePart][] = [
  ['with its length in two bytes', (tag, c) => join(Buffer.of(tag, 0x81, c.length), c)],
  ['with its length in three bytes', (tag, c) => join(Buffer.of(tag, 0x82, 0, c.length), c)],
  ['with its length in five bytes', (t, c) => join(Buffer.of(t, 0x84, 0, 0, 0, c.length), c)],
  [
    'with its length in nine bytes',
    (t, c) => join(Buffer.of(t, 0x88), Buffer.alloc(7), Buffer.of(c.length), c),
  ],
  ['of indefinite length', (tag, c) => join(Buffer.of(tag, 0x80), c, hex('0000'))],
  ['of indefinite length without an end', (tag, c) => join(Buffer.of(tag, 0x80), c)],
  ['with a length one too great', (tag, c) => join(Buffer.of(tag, c.length + 1), c)],
  ['with a length one too small', (tag, c) => join(Buffer.of(tag, (c.length + 255) & 0x7f), c)],
  ['with a length of 127', (tag, c) => join(Buffer.of(tag, 127), c)],
  ['with a length of 2^32 - 1', (tag, c) => join(Buffer.of(tag), hex('84ffffffff'), c)],
  ['with a length of 2^64 - 1', (tag, c) => join(Buffer.of(tag), hex('88ffffffffffffffff'), c)],
  ['with the forbidden length FF', (tag, c) => join(Buffer.of(tag, 0xff), c)],
  ['without a length', (tag, c) => join(Buffer.of(tag), c)],
  ['without its content', (tag, c) => (c.length === 0 ? Buffer.of(tag) : tlv(tag, hex('')))],
  ['left out', () => hex('')],
  ['written twice', (tag, c) => join(tlv(tag, c), tlv(tag, c))],
  ['with zeros at its end', (tag, c) => tlv(tag, join(c, hex('0000')))],
  ['with zeros at its start', (tag, c) => tlv(tag, join(hex('0000'), c))],
  ['with zeros after it', (tag, c) => join(tlv(tag, c), hex('0000'))],
  ['with a NULL at its end', (tag, c) => tlv(tag, join(c, NULL))],
  ['with a NULL at its start', (tag, c) => tlv(tag, join(NULL, c))],
  ['with a NULL after it', (tag, c) => join(tlv(tag, c), NULL)],
  ['with garbage after it', (tag, c) => join(tlv(tag, c), hex('bb81994e5a'))],
  ['inside a SEQUENCE', (tag, c) => tlv(0x30, tlv(tag, c))],
  [
    'with a tag in its long form',
    (tag, c) => join(Buffer.of(tag | 0x1f, tag & 0x1f), tlv(0, c).subarray(1)),
  ],
];

const rewritten: [string, EncodeMessage][] = PARTS.flatMap((part) => [
  ...WRITINGS.map(([title, write]): [string, EncodeMessage] => [
    `the ${part} ${title}`,
    (input) => pad(digestInfo(OIDS.sha256, hashOf('sha256', input), part, write)),
  ]),
  ...TAGS.map((tag): [string, EncodeMessage] => [
    `the ${part} under the tag ${tag.toString(16).padStart(2, '0')}`,
    (input) =>
      pad(digestInfo(OIDS.sha256, hashOf('sha256', input), part, (_own, c) => tlv(tag, c))),
  ]),
]);

const hashes: [string, EncodeMessage][] = [
  ...Object.entries(OIDS).flatMap(([name, oid]): [string, EncodeMessage][] => [
    [
      `a SHA-256 digest that says it is ${name}`,
      (input) => pad(digestInfo(oid, hashOf('sha256', input))),
    ],
    [`a digest of ${name}`, (input) => pad(digestInfo(oid, hashOf(name, input)))],
    [
      `a digest of ${name} that says it is SHA-256`,
      (input) => pad(digestInfo(OIDS.sha256, hashOf(name, input))),
    ],
  ]),
  ['the digest of something else', () => pad(right(Buffer.from('something else')))],
  ['a digest of zeros', () => pad(digestInfo(OIDS.sha256, Buffer.alloc(32)))],
  [
    'a digest cut short',
    (input) => pad(digestInfo(OIDS.sha256, hashOf('sha256', input).subarray(0, 31))),
  ],
  ['a digest that is the DigestInfo', (input) => pad(digestInfo(OIDS.sha256, right(input)))],
  ['the digest alone', (input) => pad(hashOf('sha256', input))],
  ['the start of the message itself', (input) => pad(input.subarray(0, 32))],
  ['nothing at all', () => pad(hex(''))],
  ...[0, 15, 31].map((at): [string, EncodeMessage] => [
    `a digest with a bit flipped in byte ${at}`,
    (input) =>
      pad(
        digestInfo(
          OIDS.sha256,
          withByte(hashOf('sha256', input), at, (b) => b ^ 1),
        ),
      ),
  ]),
];

/** What comes before the DigestInfo, and the room that is left after it. */
const paddings: [string, EncodeMessage][] = [
  ...[0x00, 0x02, 0x03, 0x81, 0xff].map((type): [string, EncodeMessage] => [
    `block type ${type.toString(16).padStart(2, '0')}`,
    (input) => pad(right(input), Buffer.of(0, type)),
  ]),
  ['a first byte of 01', (input) => pad(right(input), hex('0101'))],
  ['no first byte', (input) => pad(right(input), hex('01'))],
  ['two first bytes', (input) => pad(right(input), hex('000001'))],
  ['no block type', (input) => pad(right(input), hex('00'))],
  ['no separator', (input) => pad(right(input), hex('0001'), hex(''))],
  ['two separators', (input) => pad(right(input), hex('0001'), hex('0000'))],
  ...[0x01, 0x80, 0xff].map((separator): [string, EncodeMessage] => [
    `the separator ${separator.toString(16).padStart(2, '0')}`,
    (input) => pad(right(input), hex('0001'), Buffer.of(separator)),
  ]),
  ...[2, 100, 203].flatMap((at) =>
    [0x00, 0x01, 0x7f, 0xfe].map((byte): [string, EncodeMessage] => [
      `${byte.toString(16).padStart(2, '0')} in place ${at} of the padding`,
      (input) => withByte(pad(right(input)), at, () => byte),
    ]),
  ),
  [
    'padding of zeros',
    (input) => pad(right(input)).map((byte, at) => (at > 1 && at < 204 ? 0 : byte)),
  ],
  ...[0, 1, 7, 8, 100, 201].flatMap((length) =>
    [0x00, 0xff, 0x5a].map((garbage): [string, EncodeMessage] => [
      `${length} bytes of padding, and ${garbage.toString(16).padStart(2, '0')} after the digest`,
      (input) => leftAligned(length, right(input), garbage),
    ]),
  ),
];

/** Short padding, and garbage where the padding would have been: what Bleichenbacher's forgery leaves. */
function leftAligned(length: number, content: Bytes, garbage: number): Bytes {
  const start = join(hex('0001'), Buffer.alloc(length, 0xff), hex('00'), content);
  return join(start, Buffer.alloc(MODULUS_BYTES - start.length, garbage));
}

/** The one right encoding, for RS256. */
export const encodePkcs1: EncodeMessage = (input) => pad(right(input));

/** Every encoding is another one than the right one, and none is here twice. */
function distinct(encodings: readonly [string, EncodeMessage][]): [string, EncodeMessage][] {
  const encoded = (encodeMessage: EncodeMessage): string =>
    Buffer.from(encodeMessage(Buffer.from('any.input'), keyFor('RS256'))).toString('hex');
  const seen = new Set([encoded(encodePkcs1)]);
  return encodings.filter(([, encodeMessage]) => {
    const isNew = !seen.has(encoded(encodeMessage));
    seen.add(encoded(encodeMessage));
    return isNew;
  });
}

const signer = { issuer: issuerFor('RS256'), key: keyFor('RS256') };

/** That the encoder above is right where nothing is changed. */
export const GOOD_PKCS1 = {
  title: 'SG-16 a PKCS#1 v1.5 signature encoded step by step',
  change: { ...signer, build: signEncoded(encodePkcs1) },
};

export const PKCS1: readonly AttackRow[] = distinct([...rewritten, ...hashes, ...paddings]).map(
  ([title, encodeMessage]) => ({
    title: `SG-16 ${title}`,
    code: 'signature_invalid',
    common: GOOD_PKCS1.change,
    change: { build: signEncoded(encodeMessage) },
  }),
);
