import { type AttackRow, type AttemptParts, withPayload } from './attempt.js';
import {
  BASELINE,
  CENSUS,
  CLERK,
  HERALD,
  heraldKey,
  ORIGINAL,
  POSTED,
  SCRIBE,
  scribeKey,
} from '../services/census.js';
import { md5, sha256 } from '../tokens/forge.js';

const show = (value: unknown): string =>
  value === undefined ? 'absent' : JSON.stringify(value).slice(0, 50);

const invalid = (
  title: string,
  claims: Record<string, unknown>,
  common: AttemptParts = {},
): AttackRow => ({
  title,
  code: 'claim_invalid',
  common,
  change: { claims },
});

const missing: AttackRow[] = [
  ...[
    ['CL-01', 'iss'],
    ['CL-02', 'aud'],
    ['CL-03', 'exp'],
    ['CL-04', 'iat'],
    ['CL-05', 'jti'],
    ['CL-06', 'req'],
  ].map(([id, name = '']): AttackRow => ({
    title: `${id} no ${name}`,
    code: 'claim_missing',
    change: { claims: { [name]: undefined } },
  })),
  ...[
    ['CL-01', 'iss'],
    ['CL-02', 'aud'],
    ['CL-07', 'sub'],
  ].map(([id, name = '']): AttackRow => ({
    title: `${id} no ${name} in an original token`,
    code: 'claim_missing',
    common: ORIGINAL,
    change: { claims: { [name]: undefined } },
  })),
  {
    title: 'CL-07 no bdy, and there is a body',
    code: 'claim_missing',
    common: POSTED,
    change: { claims: { bdy: undefined } },
  },
  {
    title: 'CL-07 no bdy in an original token, and there is a body',
    code: 'claim_missing',
    common: { ...ORIGINAL, ...POSTED },
    change: { claims: { bdy: undefined } },
  },
  {
    title: 'CL-07 no sub on a route that needs one',
    code: 'subject_missing',
    common: { target: '/api/thing/for-user' },
    change: { subject: undefined },
  },
  ...[
    ['iss', 'Iss'],
    ['aud', 'AUD'],
    ['exp', 'Exp'],
    ['iat', 'Iat'],
    ['jti', 'JTI'],
    ['req', 'Req'],
  ].map(([name = '', other = '']): AttackRow => ({
    title: `CL-24 ${other} instead of ${name}`,
    code: 'claim_missing',
    change: { build: withPayload((json) => json.replace(`"${name}":`, `"${other}":`)) },
  })),
];

const WRONG_TYPES = [5, true, false, null, ['https://herald.service/'], {}, [], ''];

const wrongTypes: AttackRow[] = [
  ...[
    ['CL-08', 'iss'],
    ['CL-09', 'sub'],
    ['CL-10', 'jti'],
    ['CL-12', 'req'],
    ['AI-01', 'aud'],
  ].flatMap(([id, name = '']) =>
    WRONG_TYPES.map((value) => invalid(`${id} ${name} ${show(value)}`, { [name]: value })),
  ),
  invalid('RB-04 req that is a list', { req: ['GET /api/thing/1'] }),
  invalid('RB-19 req that is a number', { req: 5 }),
  invalid('RP-07 an empty jti', { jti: '' }),
  invalid('RP-07 a jti that is a number', { jti: 1234567890123456 }),
  ...WRONG_TYPES.map((value) => invalid(`CL-11 bdy ${show(value)}`, { bdy: value }, POSTED)),
  ...[5, true, null, ['a'], 'content-type', ''].map((value) =>
    invalid(`CL-12 hdr ${show(value)}`, { hdr: value }, POSTED),
  ),
  ...[
    { 'content-type': 5 },
    { 'content-type': ['application/json'] },
    { 'content-type': null },
    { 'Content-Type': 'application/json' },
    { '': 'x' },
    { 'a b': 'x' },
    Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`h${at}`, 'x'])),
  ].map((hdr) => invalid(`CL-12 hdr ${show(hdr)}`, { hdr }, POSTED)),
];

const subjects: AttackRow[] = [
  ['CL-13 empty', ''],
  ['CL-13 blank', ' '],
  ['CL-13 longer than 1024 characters', `https://census.service/${'u'.repeat(1002)}`],
  ['CL-14 with a line break', 'https://census.service/user/\r\nSet-Cookie: a=b'],
  ['CL-14 with a carriage return', 'https://census.service/user/\r'],
  ['CL-14 with a line feed', 'https://census.service/user/\n'],
  ['CL-14 with a NUL', 'https://census.service/user/\u0000'],
  ['CL-14 with a bidi override', 'https://census.service/user/\u202e12'],
  ['CL-14 with a zero-width space', 'https://census.service/user/\u200b12'],
  ['CL-14 with a line separator', 'https://census.service/user/\u2028'],
  ['CL-14 with a C1 control', 'https://census.service/user/\u0085'],
  ['CL-15 not absolute', '/user/12/'],
  ['CL-15 without a scheme', '//census.service/user/12/'],
  ['CL-15 a scheme alone', 'https:'],
  ['CL-15 without a host', 'https:///user/12/'],
  ['CL-15 without slashes', 'https:census.service/user/12/'],
  ['CL-15 javascript:', 'javascript:alert(1)'],
  ['CL-15 JavaScript: in another case', 'JaVaScRiPt:alert(1)'],
  ['CL-15 file:', 'file:///etc/passwd'],
  ['CL-15 data:', 'data:text/html,x'],
  ['CL-15 with credentials', 'https://user:pass@census.service/user/12/'],
  ['CL-15 with a name before @', 'https://census.service@evil.example/user/12/'],
  ['CL-15 with a backslash before @', 'https://census.service\\@evil.example/'],
  ['CL-19 __proto__', '__proto__'],
  ['CL-19 constructor', 'constructor'],
  ['CL-19 toString', 'toString'],
].map(([title, sub]) => invalid(`${title}: sub`, { sub }));

const merged: AttackRow[] = [
  ['CL-17', '"__proto__":{"admin":true}'],
  ['CL-17', '"\\u005f_proto__":{"admin":true}'],
  ['CL-17', '"extra":{"__proto__":{"admin":true}}'],
  ['CL-18', '"constructor":{"prototype":{"admin":true}}'],
  ['CL-18', '"extra":[{"constructor":{"prototype":{"admin":true}}}]'],
].map(([id, member = '']) => ({
  title: `${id} a claim ${member}`,
  code: 'claim_invalid',
  change: { build: withPayload((json) => `{${member},${json.slice(1)}`) },
}));

/** What somebody may read as `../admin/1/`, or as `./`. */
const DOT_SEGMENTS = [
  '..;/admin/1/',
  '..;x=1/admin/1/',
  '.;/1/',
  '..;',
  '%2e%2e;/admin/1/',
  '..%3b/admin/1/',
  '..%3B',
  '..%2fadmin/1/',
  '..%5cadmin/1/',
  'x%2f..%2f..%2fadmin',
  'x%5C..%5Cadmin',
  '\\..\\admin',
  '..%3fx',
  '..%23x',
  '..%00/admin',
  '..%20/admin',
  '.%09./admin',
  '.../admin',
  '%252e%252e/admin/1/',
  '%25252e%25252e/admin/1/',
  '%2525252525252e%2e/admin/1/',
  '..%252fadmin',
  '%c0%ae%c0%ae/admin',
  '..%c0%afadmin',
  '%e0%80%ae%e0%80%ae/admin',
  '%u002e%u002e/admin',
  'x%ff%2f..%2fadmin',
  '%ef%bc%8e%ef%bc%8e%2f%ff',
  '\uff0e\uff0e/admin/1/',
  '.\uff0e/admin/1/',
  '\u2024\u2024/admin/1/',
  '\u2025/admin/1/',
  '\ufe52\ufe52/admin/1/',
  '\u3002\u3002/admin/1/',
  '\uff61\uff61/admin/1/',
  '%ef%bc%8e%ef%bc%8e/admin/1/',
  '%25ef%25bc%258e./admin/1/',
  '%e2%80%a4%e2%80%a4/admin/1/',
  '%ef%b9%92%ef%b9%92/admin/1/',
  '.%e2%80%8b./admin/1/',
  '..\uff1bx/admin/1/',
  '..\u037ex/admin/1/',
  '..\uff0fadmin/1/',
  '..\uff3cadmin/1/',
  '..\u2215admin/1/',
  '..\u2044admin/1/',
  '\u2216..\u2216admin/1/',
  '..%ef%bc%8fadmin/1/',
];

const policies: AttackRow[] = [
  ...[
    'https://census.service/admin/1/',
    'https://census.service/users/1/',
    'https://census.service/User/1/',
    'https://census.service.evil.example/user/1/',
    'http://census.service/user/1/',
    'https://census.service:8443/user/1/',
    'https://census.service/user/../admin/1/',
    'https://census.service/user/%2e%2e/admin/1/',
    'https://census.service/user/.%2E/admin/1/',
    'https://census.service/user/..\\admin/1/',
    'https://census.service/user/..',
    'https://census.service/user/..?x',
    ...DOT_SEGMENTS.map((dots) => `https://census.service/user/${dots}`),
    'https://census.service/user',
    'urn:other:1',
  ].map((subject): AttackRow => ({
    title: `CL-22 ${subject} by an issuer that may not speak for it`,
    code: 'subject_not_allowed',
    common: { issuer: CLERK, subject: 'https://census.service/user/1/' },
    change: { subject },
  })),
  {
    title: 'AI-11 an issuer that may not call this route',
    code: 'issuer_not_allowed',
    common: { target: '/api/thing/for-scribe', issuer: SCRIBE, key: scribeKey },
    change: { issuer: HERALD, key: heraldKey },
  },
];

const tokenIds: AttackRow[] = [
  ['of 15 characters', 'a'.repeat(15)],
  ['of 257 characters', 'a'.repeat(257)],
  ['with a line break', `${'a'.repeat(20)}\r\n`],
  ['with a NUL', `${'a'.repeat(20)}\u0000`],
  ['with a space', `${'a'.repeat(20)} b`],
].map(([title, jti]) => invalid(`RP-07 a jti ${title}`, { jti }));

const { body } = POSTED;
const right = sha256(body);

const digests: AttackRow[] = [
  ['BB-11 in upper case', right.toUpperCase()],
  ['BB-11 in base64', Buffer.from(right, 'hex').toString('base64')],
  ['BB-11 in base64url', Buffer.from(right, 'hex').toString('base64url')],
  ['BB-11 after a space', ` ${right}`],
  ['BB-11 before a line break', `${right}\n`],
  ['BB-11 after a prefix', `sha256:${right}`],
  ['BB-11 after 0x', `0x${right.slice(2)}`],
  ['BB-12 cut short by a character', right.slice(0, -1)],
  ['BB-12 of one character', right.slice(0, 1)],
  ['BB-12 of 5000 characters', 'a'.repeat(5000)],
  ['BB-13 of SHA-1', 'a'.repeat(40)],
  ['BB-13 of MD5 in a strict token', md5(body)],
].map(([title, bdy]) => invalid(`${title}: bdy`, { bdy }, POSTED));

const requestLines: AttackRow[] = [
  ['RB-19', 'GET'],
  ['RB-04', 'GET '],
  ['RB-19', ' GET /api/thing/1'],
  ['RB-19', 'GET  /api/thing/1'],
  ['RB-19', 'GET /api/thing/1 HTTP/1.1'],
  ['RB-19', 'GET /api/thing/1 '],
  ['RB-19', '/api/thing/1'],
  ['RB-04', 'G(T /api/thing/1'],
].map(([id, req]) => invalid(`${id} req ${show(req)}`, { req }));

/** With the method and the space it is of 4096 characters. */
const LONGEST_TARGET = '/api/thing/1?q='.padEnd(4092, 'a');

export const CLAIMS: readonly AttackRow[] = [
  ...missing,
  ...wrongTypes,
  ...subjects,
  ...merged,
  ...policies,
  ...tokenIds,
  ...digests,
  ...requestLines,
  {
    title: 'RB-19 no req',
    code: 'claim_missing',
    change: { claims: { req: undefined } },
  },
  {
    title: 'RB-19 a req of 4097 characters',
    code: 'claim_invalid',
    common: { target: LONGEST_TARGET },
    change: { target: `${LONGEST_TARGET}a` },
  },
];

/** Claims that are accepted. */
export const GOOD_CLAIMS: readonly { title: string; change: AttemptParts }[] = [
  ...[
    ['look-alike letters', '\u0430\u0301'],
    ['a letter and its accent', 'e\u0301'],
    ['an accented letter', '\u00e9'],
    ['upper case escapes', '%C3%A9'],
    ['lower case escapes', '%c3%a9'],
    ['a dot segment', 'a/../b'],
  ].map(([title, name]) => ({
    title: `CL-16 a subject with ${title}`,
    change: { subject: `${CENSUS}user/${name}/` },
  })),
  ...['__proto__', 'constructor'].map((name) => ({
    title: `CL-19 a subject that ends in ${name}`,
    change: { subject: `${CENSUS}user/${name}` },
  })),
  { title: 'CL-13 a subject of 1024 characters', change: { subject: CENSUS.padEnd(1024, 'u') } },
  { title: 'CL-15 a subject that is a URN', change: { subject: 'urn:census:12' } },
  { title: 'CL-15 a subject that is an address', change: { subject: 'mailto:a@census.service' } },
  { title: 'no subject where none is asked for', change: { subject: undefined } },
  {
    title: 'CL-20 unknown claims',
    change: { claims: { scope: ['a'], act: { sub: 'x' }, Iss: 5 } },
  },
  {
    title: 'CL-23 50 extra claims',
    change: { claims: Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`c${at}`, at])) },
  },
  {
    title: 'CL-22 a subject under the prefix',
    change: { issuer: CLERK, subject: `${CENSUS}user/1/` },
  },
  {
    title: 'CL-22 a subject under the other prefix',
    change: { issuer: CLERK, subject: 'urn:census:1' },
  },
  { title: 'CL-22 no subject, so no prefix', change: { issuer: CLERK, subject: undefined } },
  ...['{tag}', '*', '../', "';--"].map((start) => ({
    title: `RP-07 a jti that begins with ${start}`,
    change: { build: withPayload((json) => json.replace('"jti":"', `"jti":"${start}`)) },
  })),
  { title: 'BB-09 no bdy, and no body', change: { claims: { bdy: undefined } } },
  { title: 'BB-09 bdy of zero bytes, and no body', change: { claims: { bdy: sha256('') } } },
  {
    title: 'BB-09 an original bdy of zero bytes, and no body',
    change: { ...ORIGINAL, claims: { ...ORIGINAL.claims, bdy: md5('') } },
  },
  {
    title: 'an original token with bdy in MD5',
    change: { ...ORIGINAL, ...POSTED, claims: { ...ORIGINAL.claims, bdy: md5(body) } },
  },
  { title: 'an original token with bdy in SHA-256', change: { ...ORIGINAL, ...POSTED } },
  {
    title: 'an original token of the bare published form',
    change: { ...ORIGINAL, claims: { ...ORIGINAL.claims, canary: undefined } },
  },
  {
    title: 'AI-04 the second name of the service',
    change: { audience: 'https://people.service/' },
  },
  {
    title: 'hdr that binds more than it must',
    change: {
      ...POSTED,
      claims: { hdr: { 'content-type': POSTED.contentType, 'x-order': '7' } },
      headers: { 'X-Order': '7' },
    },
  },
  { title: 'a bare baseline', change: { claims: BASELINE.claims } },
];
