import {
  type AttackRow,
  type Attempt,
  editSegment,
  encodeWithStrayBit,
  sendAs,
  signSegments,
  strayBit,
  withHeaderText,
  withPayload,
} from './attempt.js';
import { encode, forge, type Json } from '../tokens/forge.js';
import { HERALD, ORIGINAL } from '../services/census.js';
import type { TestKey } from '../keys/keys.js';

const MAX_TOKEN_LENGTH = 8192;

/** A signed token of exactly `length` characters: claims grow until it fits. */
function tokenOfLength(length: number, header: Json, claims: Json, key: TestKey): string {
  for (const space of ['', ' ', '  ']) {
    const encodedHeader = encode(JSON.stringify(header) + space);
    const bare = signSegments(encodedHeader, encode(JSON.stringify({ ...claims, pad: '' })), key);
    const missing = Math.floor(((length - bare.length) * 3) / 4);
    for (const pad of [missing - 1, missing, missing + 1]) {
      const payload = JSON.stringify({ ...claims, pad: 'p'.repeat(pad) });
      const token = signSegments(encodedHeader, encode(payload), key);
      if (token.length === length) return token;
    }
  }
  throw new Error(`no token has ${length} characters`);
}

const respelled = (title: string, respell: (token: string) => string): AttackRow => ({
  title,
  code: 'token_malformed',
  change: { send: sendAs(respell) },
});

const missing: AttackRow[] = [
  { title: 'TS-01 no JWT header', code: 'token_missing', change: { send: () => ({}) } },
  { title: 'TS-02 an empty JWT header', code: 'token_missing', change: { send: sendAs(() => '') } },
  {
    title: 'TS-02 a JWT header of spaces',
    code: 'token_missing',
    change: { send: sendAs(() => '   ') },
  },
  {
    title: 'TS-06 the token only in Authorization',
    code: 'token_missing',
    change: { send: (token) => ({ Authorization: `Bearer ${token}` }) },
  },
  {
    title: 'TS-06 the token only in a cookie',
    code: 'token_missing',
    change: { send: (token) => ({ Cookie: `jwt=${token}; JWT=${token}` }) },
  },
  {
    title: 'TS-06 the token only in headers with similar names',
    code: 'token_missing',
    change: { send: (token) => ({ 'X-JWT': token, 'JWT-Token': token, 'x-access-token': token }) },
  },
];

const repeated: AttackRow[] = [
  ['TS-03 two headers, the second garbage', (token: string) => [token, 'garbage.garbage.garbage']],
  ['TS-03 two headers, the first empty', (token: string) => ['', token]],
  ['TS-04 two identical headers', (token: string) => [token, token]],
  ['TS-05 joined by comma and space', (token: string) => `${token}, ${token}`],
  ['TS-05 joined by a comma alone', (token: string) => `${token},${token}`],
].map(([title, respell]) => ({
  title: title as string,
  code: 'token_repeated',
  change: { send: sendAs(respell as (token: string) => string | string[]) },
}));

const insertInto = (token: string, at: 0 | 1 | 2, inserted: string): string =>
  editSegment(token, at, (segment) => `${segment.slice(0, 8)}${inserted}${segment.slice(8)}`);

/** As Node writes them: one byte for each character. */
const STRANGE_BYTES = [
  ['the byte FF', '\u00ff'],
  ['the two bytes of an ÿ in UTF-8', '\u00c3\u00bf'],
  ['a no-break space', '\u00a0'],
] as const;

const misspelled: AttackRow[] = [
  respelled('TS-07 Bearer before the token', (token) => `Bearer ${token}`),
  respelled('TS-08 in double quotes', (token) => `"${token}"`),
  respelled('TS-09 one segment', (token) => token.replaceAll('.', '')),
  respelled('TS-09 two segments', (token) => token.slice(0, token.lastIndexOf('.'))),
  respelled('TS-09 four segments', (token) => `${token}.${token.slice(-20)}`),
  respelled('TS-09 an empty segment before', (token) => `.${token}`),
  respelled('TS-09 an empty segment after', (token) => `${token}.`),
  respelled('TS-09 an empty segment between', (token) => token.replace('.', '..')),
  respelled('TS-10 an empty header', (token) => editSegment(token, 0, () => '')),
  respelled('TS-10 an empty payload', (token) => editSegment(token, 1, () => '')),
  respelled('TS-10 an empty signature', (token) => editSegment(token, 2, () => '')),
  respelled('TS-10 nothing but dots', () => '..'),
  respelled('TS-11 in the flattened JSON serialisation', (token) => {
    const [header, payload, signature] = token.split('.');
    return JSON.stringify({ protected: header, payload, signature });
  }),
  respelled('TS-11 in the general JSON serialisation', (token) => {
    const [header, payload, signature] = token.split('.');
    return JSON.stringify({ payload, signatures: [{ protected: header, signature }] });
  }),
  ...([0, 1, 2] as const).flatMap((at) => [
    respelled(`TS-12 a space in segment ${at}`, (token) => insertInto(token, at, ' ')),
    respelled(`TS-13 a tab in segment ${at}`, (token) => insertInto(token, at, '\t')),
    respelled(`TS-14 one = after segment ${at}`, (token) => editSegment(token, at, (s) => `${s}=`)),
    respelled(`TS-14 == after segment ${at}`, (token) => editSegment(token, at, (s) => `${s}==`)),
    respelled(`TS-15 + in segment ${at}`, (token) =>
      editSegment(token, at, (s) => `${s.slice(0, 8)}+${s.slice(9)}`),
    ),
    respelled(`TS-15 / in segment ${at}`, (token) =>
      editSegment(token, at, (s) => `${s.slice(0, 8)}/${s.slice(9)}`),
    ),
    ...['?', '!', '%2E'].map((stranger) =>
      respelled(`TS-18 ${stranger} in segment ${at}`, (token) => insertInto(token, at, stranger)),
    ),
    ...STRANGE_BYTES.map(([title, bytes]) =>
      respelled(`TS-19 ${title} in segment ${at}`, (token) => insertInto(token, at, bytes)),
    ),
  ]),
  respelled('TS-18 %2E for the dots', (token) => token.replaceAll('.', '%2E')),
  respelled('TS-16 a stray bit at the end of the signature', (token) =>
    editSegment(token, 2, strayBit),
  ),
  respelled('TS-19 the byte FF before the token', (token) => `\u00ff${token}`),
  respelled('TS-19 a no-break space before the token', (token) => `\u00a0${token}`),
  respelled('TS-19 a no-break space after the token', (token) => `${token}\u00a0`),
  respelled('TS-19 nothing but a no-break space', () => '\u00a0'),
  respelled('TS-24 8000 dots', () => '.'.repeat(8000)),
  ...['null', 'undefined', '[object Object]', 'true', '{}'].map((text) =>
    respelled(`TS-36 ${text}`, () => text),
  ),
  respelled('TS-09 five segments', (token) => `${token}.AAAA.AAAA`),
];

const stranglySigned: AttackRow[] = [
  {
    title: 'TS-17 a stray bit at the end of the header, signed so',
    code: 'token_malformed',
    change: {
      build: (header, claims, key) =>
        signSegments(encodeWithStrayBit(header), encode(JSON.stringify(claims)), key),
    },
  },
  {
    title: 'TS-17 a stray bit at the end of the payload, signed so',
    code: 'token_malformed',
    change: {
      build: (header, claims, key) =>
        signSegments(encode(JSON.stringify(header)), encodeWithStrayBit(claims), key),
    },
  },
  {
    title: 'TS-22 one character more than 8192',
    code: 'token_too_large',
    common: {
      build: (header, claims, key) => tokenOfLength(MAX_TOKEN_LENGTH, header, claims, key),
    },
    change: {
      build: (header, claims, key) => tokenOfLength(MAX_TOKEN_LENGTH + 1, header, claims, key),
    },
  },
];

type JsonText = readonly [title: string, edit: (json: string) => string | Uint8Array];

const NO_OBJECTS: readonly JsonText[] = [
  ['an array', (json) => `[${json}]`],
  ['a string', (json) => JSON.stringify(json)],
  ['a number', () => '5'],
  ['null', () => 'null'],
  ['no JSON', (json) => json.slice(0, -1)],
  ['followed by more', (json) => `${json}{}`],
  ['followed by a NUL', (json) => `${json}\0`],
  ['with a trailing comma', (json) => `${json.slice(0, -1)},}`],
  ['with a comment', (json) => `${json}//`],
];

const BYTE_ORDER_MARK: readonly JsonText[] = [
  ['after a byte order mark', (json) => `\ufeff${json}`],
];

const ILL_FORMED: readonly JsonText[] = [
  [
    'ill-formed UTF-8',
    (json) =>
      Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from(',"x":"\u00ff"}', 'latin1')]),
  ],
  [
    'overlong UTF-8',
    (json) =>
      Buffer.concat([
        Buffer.from(`${json.slice(0, -1)},"x":"`),
        Buffer.from([0xc0, 0xaf]),
        Buffer.from('"}'),
      ]),
  ],
  ['UTF-16', (json) => Buffer.from(json, 'utf16le')],
  ['UTF-16 the other way round', (json) => Buffer.from(json, 'utf16le').swap16()],
  ['with a lone surrogate', (json) => `${json.slice(0, -1)},"x":"\\ud800"}`],
];

/** Neither part of a token may be written so. */
const unreadableAs = (
  headerId: string,
  payloadId: string,
  texts: readonly JsonText[],
): AttackRow[] =>
  texts.flatMap(([title, edit]): AttackRow[] => [
    {
      title: `${headerId} a header that is ${title}`,
      code: 'token_malformed',
      change: { build: withHeaderText(edit) },
    },
    {
      title: `${payloadId} a payload that is ${title}`,
      code: 'token_malformed',
      change: { build: withPayload(edit) },
    },
  ]);

const unreadable: AttackRow[] = [
  ...unreadableAs('TS-25', 'TS-26', NO_OBJECTS),
  ...unreadableAs('TS-27', 'TS-27', BYTE_ORDER_MARK),
  ...unreadableAs('TS-28', 'TS-28', ILL_FORMED),
];

const inObject = (member: string) => (json: string) => `{${member},${json.slice(1)}`;

function nested(
  title: string,
  code: AttackRow['code'],
  depth: number,
  open: string,
  close: string,
): AttackRow {
  const to = (levels: number): Attempt['build'] =>
    withPayload(inObject(`"deep":${open.repeat(levels)}1${close.repeat(levels)}`));
  return { title, code, common: { build: to(12) }, change: { build: to(depth) } };
}

/** How many members and items a JSON value has, at every depth. */
function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const values: unknown[] = Object.values(value);
  return values.reduce<number>((sum, one) => sum + countValues(one), values.length);
}

/** A member of the sender's own, with as many values as make `total` of all; empty ones count for nothing more. */
const withValues = (total: number, item: string) => (json: string) => {
  const others = countValues(JSON.parse(json)) + 1;
  const each = countValues(JSON.parse(`[${item}]`));
  const items = Array.from({ length: Math.floor((total - others) / each) }, () => item);
  const rest = Array.from({ length: (total - others) % each }, () => '{ }');
  return inObject(`"own":[ ${[...items, ...rest].join(' , ')} ]`)(json);
};

const crowded: AttackRow[] = ['0', '[]', '{"a,[{":",[{"}', '[ [ ] ]', '"\\",[\\""', '{}'].flatMap(
  (item): AttackRow[] => [
    {
      title: `TS-61 a payload with 65 values, most of them ${item}`,
      code: 'claim_invalid',
      common: { build: withPayload(withValues(64, item)) },
      change: { build: withPayload(withValues(65, item)) },
    },
    {
      title: `TS-61 a header with 17 values, most of them ${item}`,
      code: 'header_invalid',
      common: { ...ORIGINAL, build: withHeaderText(withValues(16, item)) },
      change: { build: withHeaderText(withValues(17, item)) },
    },
  ],
);

const ambiguous: AttackRow[] = [
  ...['"alg":"none"', '"alg":"ES256"', '"\\u0061lg":"none"', '"typ":"JWT"', '"kid":"x"'].map(
    (member): AttackRow => ({
      title: `TS-29 a header that also has ${member}`,
      code: 'header_invalid',
      change: { build: withHeaderText(inObject(member)) },
    }),
  ),
  ...[
    '"aud":"https://other.service/"',
    '"\\u0061ud":"https://other.service/"',
    `"iss":"${HERALD}"`,
    '"canary":1',
    '"exp":1',
  ].map((member): AttackRow => ({
    title: `TS-30 a payload that also has ${member}`,
    code: 'claim_invalid',
    change: { build: withPayload(inObject(member)) },
  })),
  {
    title: 'TS-30 a duplicate member inside a claim',
    code: 'claim_invalid',
    common: { build: withPayload(inObject('"extra":{"a":1,"b":{"a":2}}')) },
    change: { build: withPayload(inObject('"extra":{"a":1,"b":{"a":2,"\\u0061":3}}')) },
  },
  nested('TS-31 lists nested 2500 deep', 'claim_invalid', 2500, '[', ']'),
  nested('TS-31 objects nested 900 deep', 'claim_invalid', 900, '{"a":', '}'),
  nested('TS-31 lists nested 5000 deep', 'token_too_large', 5000, '[', ']'),
];

export const TOKEN_SYNTAX: readonly AttackRow[] = [
  ...missing,
  ...repeated,
  ...misspelled,
  ...stranglySigned,
  ...unreadable,
  ...ambiguous,
  ...crowded,
  {
    title: 'TS-32 an empty payload, signed so',
    code: 'token_malformed',
    change: {
      build: (header, _claims, key) => forge(header, '', key),
    },
  },
];
