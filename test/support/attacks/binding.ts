import type { OutgoingHttpHeaders } from 'node:http';
import type { AttackRow, AttemptParts } from './attempt.js';
import { ORIGINAL, POSTED } from '../services/census.js';
import { digest, sha256 } from '../tokens/forge.js';

const line = (title: string, change: AttemptParts, common: AttemptParts = {}): AttackRow => ({
  title,
  code: 'request_mismatch',
  common,
  change,
});

/** The token stays as it is, the request that is sent is another one. */
const sentInstead = (title: string, madeFor: string, target: string): AttackRow => ({
  title: `${title}: ${target} with the token of ${madeFor}`,
  code: 'request_mismatch',
  common: { madeFor: { target: madeFor }, target: madeFor },
  change: { target },
});

const methods: AttackRow[] = [
  line(
    'RB-01 DELETE with the token of a GET',
    { method: 'DELETE' },
    { madeFor: { method: 'GET' } },
  ),
  line('RB-01 PUT with the token of a GET', { method: 'PUT' }, { madeFor: { method: 'GET' } }),
  line('RB-04 a method in lower case', { claims: { req: 'get /api/thing/1' } }),
  line('RB-04 another method', { claims: { req: 'POST /api/thing/1' } }),
];

const targets: AttackRow[] = [
  sentInstead('RB-05 another path', '/api/thing/1', '/api/thing/2'),
  sentInstead('RB-06 a changed query', '/api/thing/1?a=1', '/api/thing/1?a=2'),
  sentInstead('RB-06 an added query', '/api/thing/1', '/api/thing/1?a=1'),
  sentInstead('RB-06 a longer query', '/api/thing/1?a=1', '/api/thing/1?a=1&b=2'),
  sentInstead('RB-06 a removed query', '/api/thing/1?a=1', '/api/thing/1'),
  sentInstead('RB-06 a reordered query', '/api/thing/1?a=1&b=2', '/api/thing/1?b=2&a=1'),
  sentInstead('RB-07 duplicate names', '/api/thing/1?a=1&a=2', '/api/thing/1?a=2&a=1'),
  sentInstead('RB-07 an empty query', '/api/thing/1', '/api/thing/1?'),
  sentInstead('RB-07 + for %20', '/api/thing/1?a=b%20c', '/api/thing/1?a=b+c'),
  sentInstead('RB-08 an escaped letter', '/api/thing/get', '/api/thing/%67et'),
  sentInstead('RB-08 another case of an escape', '/api/thing/%c3%a9', '/api/thing/%C3%A9'),
  sentInstead('RB-09 %2F in another case', '/api/thing/a%2Fb', '/api/thing/a%2fb'),
  sentInstead('RB-09 a slash for %2F', '/api/thing/tree/a%2Fb', '/api/thing/tree/a/b'),
  sentInstead('RB-09 %2F for a slash', '/api/thing/tree/a/b', '/api/thing/tree/a%2Fb'),
  sentInstead('RB-14 a fragment', '/api/thing/1', '/api/thing/1#f'),
  sentInstead('RB-13 absolute form', '/api/thing/1', 'http://127.0.0.1/api/thing/1'),
  sentInstead(
    'RB-13 absolute form of another host',
    '/api/thing/1',
    'http://evil.example/api/thing/1',
  ),
];

const routedByExpress: AttackRow[] = [
  sentInstead('RB-12 a trailing slash', '/api/thing/1', '/api/thing/1/'),
  sentInstead('RB-12 another case', '/api/thing/1', '/api/THING/1'),
].map((row) => ({ ...row, only: 'express' }));

const { body, contentType } = POSTED;

const headers: AttackRow[] = [
  {
    title: 'BB-18 the same bytes under another Content-Type',
    code: 'header_mismatch',
    common: { ...POSTED, madeFor: { contentType } },
    change: { contentType: 'text/plain' },
  },
  {
    title: 'BB-18 the same Content-Type with a parameter',
    code: 'header_mismatch',
    common: { ...POSTED, madeFor: { contentType } },
    change: { contentType: 'application/json; charset=utf-8' },
  },
  {
    title: 'BB-18 the same Content-Type in another case',
    code: 'header_mismatch',
    common: { ...POSTED, madeFor: { contentType } },
    change: { contentType: 'Application/JSON' },
  },
  {
    title: 'BB-18 hdr that does not list the Content-Type',
    code: 'header_mismatch',
    common: POSTED,
    change: { claims: { hdr: {} } },
  },
  {
    title: 'BB-18 no hdr',
    code: 'header_mismatch',
    common: POSTED,
    change: { claims: { hdr: undefined } },
  },
  {
    title: 'a bound header that was taken away',
    code: 'header_mismatch',
    common: {
      headers: { 'X-Order': '7' },
      claims: { hdr: { 'x-order': '7' } },
    },
    change: { headers: { 'X-Order': undefined } },
  },
  {
    title: 'a bound header that was changed',
    code: 'header_mismatch',
    common: { headers: { 'X-Order': '7' }, claims: { hdr: { 'x-order': '7' } } },
    change: { headers: { 'X-Order': '8' } },
  },
  {
    title: 'a bound header that was sent twice',
    code: 'header_mismatch',
    common: { headers: { 'X-Order': '7' }, claims: { hdr: { 'x-order': '7' } } },
    change: { headers: { 'X-Order': ['7', '7'] } },
  },
];

/** The token stays as it is, the body that is sent is another one. */
const bodySentInstead = (title: string, sent: string): AttackRow => ({
  title,
  code: 'body_mismatch',
  common: { ...POSTED, madeFor: { body, contentType } },
  change: { body: sent },
});

const bodies: AttackRow[] = [
  bodySentInstead('BB-01 one byte changed', body.replace('body', 'bodx')),
  bodySentInstead('BB-01 cut short', '{"name":"canary-bod"}'),
  bodySentInstead('BB-01 a byte more', `${body} `),
  bodySentInstead('BB-15 written with a space', body.replace(':', ': ')),
  bodySentInstead('BB-15 written with an escape', body.replace('n', '\\u006e')),
  {
    title: 'BB-02 the body dropped',
    code: 'body_mismatch',
    common: { ...POSTED, body: 'hello', contentType: 'text/plain', madeFor: { body: 'hello' } },
    change: { body: '' },
  },
  {
    title: 'BB-10 bdy of zero bytes, and there is a body',
    code: 'body_mismatch',
    common: POSTED,
    change: { claims: { bdy: sha256('') } },
  },
  {
    title: 'BB-10 bdy of other bytes, and there is no body',
    code: 'body_mismatch',
    common: {},
    change: { claims: { bdy: sha256('x') } },
  },
  {
    title: 'BB-01 another body in the original profile',
    code: 'body_mismatch',
    common: { ...ORIGINAL, ...POSTED, madeFor: { body } },
    change: { body: '{"name":"canary-bodx"}' },
  },
  {
    title: 'BB-03 a body added to a token for none',
    code: 'claim_missing',
    common: { ...POSTED, body: '', contentType: undefined },
    change: {
      body,
      contentType,
      madeFor: { body: '', contentType: undefined },
      claims: { hdr: { 'content-type': contentType } },
    },
  },
  {
    title: 'BB-04 a body of text/plain added to a token for none',
    code: 'claim_missing',
    common: { ...POSTED, body: '', contentType: undefined },
    change: {
      body: 'hello',
      contentType: 'text/plain',
      madeFor: { body: '', contentType: undefined },
      claims: { hdr: { 'content-type': 'text/plain' } },
    },
  },
  {
    title: 'BB-04 another body of text/plain',
    code: 'body_mismatch',
    common: { ...POSTED, body: 'hello', contentType: 'text/plain', madeFor: { body: 'hello' } },
    change: { body: 'hellO' },
  },
  ...[
    'application/octet-stream',
    'application/vnd.api+json',
    'multipart/form-data; boundary=x',
    undefined,
  ].map((type): AttackRow => ({
    title: `BB-05 another body of ${type ?? 'no type'}, which no parser reads`,
    code: 'body_mismatch',
    common: { ...POSTED, body: 'bytes', contentType: type, madeFor: { body: 'bytes' } },
    change: { body: 'Bytes' },
  })),
];

const unverifiable: AttackRow[] = [
  {
    title: 'BB-05 a body over maxBufferedBodyBytes that no parser reads',
    code: 'body_unverifiable',
    status: 413,
    common: { ...POSTED, contentType: 'application/octet-stream', body: 'x'.repeat(1024) },
    change: { body: 'x'.repeat(200_000) },
  },
  {
    title: 'BB-05 a body a byte over maxBufferedBodyBytes, which is there as soon as its header',
    code: 'body_unverifiable',
    status: 413,
    common: { ...POSTED, contentType: 'application/octet-stream', body: 'x'.repeat(1024) },
    change: { body: 'x'.repeat(1025) },
  },
  {
    title: 'BB-26 a multipart body over maxBufferedBodyBytes',
    code: 'body_unverifiable',
    status: 413,
    common: { ...POSTED, contentType: 'multipart/form-data; boundary=x', body: 'x'.repeat(1024) },
    change: { body: 'x'.repeat(200_000) },
  },
];

export const BINDING: readonly AttackRow[] = [
  ...methods,
  ...targets,
  ...routedByExpress,
  ...headers,
  ...bodies,
  ...unverifiable,
];

const sent = (target: string): { title: string; change: AttemptParts } => ({
  title: `RB-20 ${target}`,
  change: { target },
});

/** Requests whose unusual form is signed as it is sent. */
export const GOOD_BINDING: readonly { title: string; change: AttemptParts }[] = [
  ...[
    '/api/thing/%C3%A9?q=%E2%82%AC',
    '/api/thing/1;v=2,3',
    '/api/thing/1?a[]=1&a[]=2',
    '/api/thing/1?',
    '/api/thing/1?a=b+c%20d',
    '/api/thing/%67et',
    '/api/thing/a%2Fb',
    `/api/thing/1?q=${'x'.repeat(4000)}`,
  ].map(sent),
  ...[
    ['RB-15', { Host: 'orders.service' }],
    ['RB-16', { 'X-Forwarded-Host': 'orders.service' }],
    ['RB-16', { 'X-Forwarded-Proto': 'https' }],
    ['RB-16', { 'X-Forwarded-Prefix': '/x' }],
    ['RB-16', { 'X-Original-URL': '/api/thing/2' }],
    ['RB-16', { 'X-Rewrite-URL': '/api/thing/2' }],
    ['RB-16', { 'x-envoy-original-path': '/api/thing/2' }],
    ['RB-03', { 'X-HTTP-Method-Override': 'DELETE' }],
    ['TF-11', { user: 'https://census.service/user/99/', 'X-User': 'admin' }],
  ].map(([id, more]) => ({
    title: `${id as string} ${String(Object.keys(more ?? {})[0])} plays no part`,
    change: { headers: more as OutgoingHttpHeaders },
  })),
  {
    title: 'RB-03 _method in the query plays no part',
    change: { target: '/api/thing/1?_method=DELETE' },
  },
  {
    title: 'RB-03 _method in the body plays no part',
    change: { ...POSTED, body: '{"_method":"DELETE"}' },
  },
  {
    title: 'BB-08 a DELETE with a body',
    change: { ...POSTED, method: 'DELETE', target: '/api/thing/1' },
  },
  { title: 'BB-16 duplicate names in a body', change: { ...POSTED, body: '{"a":1,"a":2}' } },
  ...(['sha384', 'sha512'] as const).map((algorithm) => ({
    title: `a bdy of ${algorithm}`,
    change: { ...POSTED, claims: { bdy: digest(algorithm, body) } },
  })),
];
