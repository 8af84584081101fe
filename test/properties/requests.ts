import fc from 'fast-check';
import type { OutgoingRequest } from 'nestjs-service-auth/core';
import { CENSUS } from '../support/services/peers.js';

/** Random requests to the census: what a service may send, in every form the protocol carries. */

const SEGMENTS = [
  '%2F',
  '%2e%2e',
  'a%20b',
  ';v=1',
  '@evil',
  '..%5c',
  '\u00e9',
  '%',
  '',
  "!$&'()*+,",
];
const QUERIES = [
  '',
  '?',
  '?a',
  '?a=1&a=2',
  '?a[]=%5B&b=c+d',
  '?%',
  '?//x',
  '?q=\u20ac',
  '?a?b/c:@',
];
const TYPES = [undefined, 'application/json', 'text/plain; charset="x"', 'a/b', '\u00e9/\u00ff'];

/** The longest request line is 4096 characters. */
const LONGEST_TARGET = 4000;

const path = fc
  .array(fc.oneof(fc.webSegment(), fc.constantFrom(...SEGMENTS)), { maxLength: 4 })
  .map((segments) => segments.join('/'));

const query = fc.oneof(
  fc.constantFrom(...QUERIES),
  fc.webQueryParameters().map((text) => `?${text}`),
);

const longPath = fc.integer({ min: 1000, max: LONGEST_TARGET }).map((length) => 'a'.repeat(length));

const urnOrTag = fc.stringMatching(/^(?:urn|tag):[a-z]{2,8}:[A-Za-z0-9()+,.:=@;$_!*'%/?#-]{1,30}$/);
const safeUser = fc
  .string({ unit: 'grapheme-composite', minLength: 1, maxLength: 20 })
  .map((text) => `${CENSUS}user/${text.replace(/[\p{Cc}\p{Cf}\p{Z}\p{Cs}@]/gu, '_')}/`);

export const subjects: fc.Arbitrary<string | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  urnOrTag,
  safeUser,
);

const fieldValue = fc.stringMatching(/^[!-~]{1,12}(?: [!-~]{1,12})?$/);

const bodies = fc.oneof(
  { weight: 1, arbitrary: fc.constant(new Uint8Array()) },
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.json({ maxDepth: 2 }).map((text) => Buffer.from(text)) },
);

/** The header that both peers of these tests bind besides those that describe a body. */
export const ORDER = 'x-order';

/** A request whose body is bytes. */
export type RequestOfBytes = OutgoingRequest & { readonly body: Uint8Array };

/** A request of random shape. */
export const requests: fc.Arbitrary<RequestOfBytes> = fc
  .record({
    method: fc.oneof(
      fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'),
      fc.stringMatching(/^[A-Z][A-Z!#$%&'*+.^_`|~0-9-]{0,10}$/),
    ),
    path: fc.oneof({ weight: 19, arbitrary: path }, { weight: 1, arbitrary: longPath }),
    query,
    body: bodies,
    type: fc.constantFrom(...TYPES),
    coding: fc.constantFrom(undefined, undefined, 'gzip', 'br', 'GZIP', 'gzip, gzip', ''),
    range: fc.constantFrom(undefined, undefined, undefined, 'bytes 0-9/20'),
    order: fc.option(fieldValue, { nil: undefined }),
    subject: subjects,
  })
  .map(({ path: segments, query: search, type, coding, range, order, ...others }) => ({
    ...others,
    url: `${CENSUS}${segments}${search}`,
    headers: {
      ...(type === undefined ? {} : { 'content-TYPE': type }),
      ...(coding === undefined ? {} : { 'Content-encoding': coding }),
      ...(range === undefined ? {} : { 'CONTENT-RANGE': range }),
      ...(order === undefined ? {} : { 'X-Order': order }),
    },
  }));
