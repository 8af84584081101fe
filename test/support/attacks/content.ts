import type { OutgoingHttpHeaders } from 'node:http';
import type { AttackRow, AttemptParts } from './attempt.js';
import { ORIGINAL, POSTED } from '../services/census.js';

const TYPE = 'application/octet-stream';

/** Bytes that no parser reads, so that the guard is the first to look at the headers. */
const BYTES = { ...POSTED, contentType: TYPE };

/** A good request with further headers, all of them signed. */
const signedWith = (headers: Readonly<Record<string, string>>): AttemptParts => {
  const bound = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  const hdr = { 'content-type': TYPE, ...(Object.fromEntries(bound) as Record<string, string>) };
  return { ...BYTES, headers, claims: { hdr } };
};

const mismatch = (title: string, common: AttemptParts, change: AttemptParts): AttackRow => ({
  title,
  code: 'header_mismatch',
  common,
  change,
});

const send = (headers: OutgoingHttpHeaders): AttemptParts => ({ headers });
const bindNothingElse: AttemptParts = { claims: { hdr: { 'content-type': TYPE } } };

const GZIP = signedWith({ 'Content-Encoding': 'gzip' });
const FIRST_PART = signedWith({ 'Content-Range': 'bytes 0-21/44' });

const codings: AttackRow[] = [
  ...['gzip', 'br', 'deflate', 'zstd', 'identity', 'gzip, gzip', ''].map((coding) =>
    mismatch(`CH-01 an added coding "${coding}"`, BYTES, send({ 'Content-Encoding': coding })),
  ),
  mismatch('CH-01 an added header in lower case', BYTES, send({ 'content-encoding': 'gzip' })),
  mismatch('CH-01 an added header in upper case', BYTES, send({ 'CONTENT-ENCODING': 'gzip' })),
  mismatch('CH-02 a removed coding', GZIP, send({ 'Content-Encoding': undefined })),
  ...['br', 'deflate', 'identity', 'x-gzip', 'GZIP', 'gzip, gzip', 'gzip,', ''].map((coding) =>
    mismatch(`CH-03 "${coding}" for gzip`, GZIP, send({ 'Content-Encoding': coding })),
  ),
  mismatch(
    'CH-03 one coding for two',
    signedWith({ 'Content-Encoding': 'gzip, gzip' }),
    send({ 'Content-Encoding': 'gzip' }),
  ),
  mismatch('CH-04 the coding twice', GZIP, send({ 'Content-Encoding': ['gzip', 'gzip'] })),
  mismatch('CH-04 a second coding', GZIP, send({ 'Content-Encoding': ['gzip', 'identity'] })),
  mismatch('CH-04 an empty line after it', GZIP, send({ 'Content-Encoding': ['gzip', ''] })),
  mismatch('CH-04 two codings added', BYTES, send({ 'Content-Encoding': ['gzip', 'gzip'] })),
  mismatch(
    'CH-04 two lines that were signed as one',
    signedWith({ 'Content-Encoding': 'gzip, gzip' }),
    send({ 'Content-Encoding': ['gzip', 'gzip'] }),
  ),
  mismatch('CH-05 hdr without the coding', GZIP, bindNothingElse),
  mismatch(
    'CH-05 hdr without an empty one',
    signedWith({ 'Content-Encoding': '' }),
    bindNothingElse,
  ),
  mismatch('CH-05 no hdr', GZIP, { claims: { hdr: undefined } }),
];

const ranges: AttackRow[] = [
  mismatch('CH-06 an added range', BYTES, send({ 'Content-Range': 'bytes 0-21/44' })),
  mismatch('CH-06 another range', FIRST_PART, send({ 'Content-Range': 'bytes 22-43/44' })),
  mismatch('CH-06 a removed range', FIRST_PART, send({ 'Content-Range': undefined })),
  mismatch('CH-06 hdr without the range', FIRST_PART, bindNothingElse),
];

const twice = (types: readonly [string, string]): AttackRow =>
  mismatch(
    `CH-07 the Content-Types ${types.join(' and ')}`,
    {
      ...BYTES,
      contentType: undefined,
      madeFor: { contentType: TYPE },
      headers: { 'Content-Type': TYPE },
    },
    send({ 'Content-Type': [...types] }),
  );

const transferCodings: AttackRow[] = [
  'gzip, chunked',
  'GZIP, chunked',
  'identity, chunked',
  ', chunked',
].map((coding) => ({
  title: `CH-08 the transfer coding "${coding}"`,
  code: 'body_unverifiable',
  common: { ...BYTES, headers: { 'Transfer-Encoding': 'chunked' } },
  change: send({ 'Transfer-Encoding': coding }),
}));

/** What changes how the same bytes are understood, each beside the request as it was signed. */
export const CONTENT: readonly AttackRow[] = [
  ...codings,
  ...ranges,
  twice([TYPE, TYPE]),
  twice([TYPE, 'text/plain']),
  twice(['text/plain', TYPE]),
  ...transferCodings,
];

/** Headers that describe content, signed as they are sent; and those that need not be signed. */
export const GOOD_CONTENT: readonly { title: string; change: AttemptParts }[] = [
  ...['gzip', 'br', 'identity', 'x-gzip', 'GZIP', 'gzip, gzip', ''].map((coding) => ({
    title: `CH-09 a signed coding "${coding}"`,
    change: signedWith({ 'Content-Encoding': coding }),
  })),
  {
    title: 'CH-09 a signed coding whose name is in upper case',
    change: signedWith({ 'CONTENT-ENCODING': 'gzip' }),
  },
  { title: 'CH-09 a signed range', change: FIRST_PART },
  {
    title: 'CH-09 chunks whose coding is written in upper case',
    change: { ...BYTES, headers: { 'Transfer-Encoding': 'CHUNKED' } },
  },
  { title: 'CH-10 a coding of no content', change: send({ 'Content-Encoding': 'gzip' }) },
  { title: 'CH-10 a range of no content', change: send({ 'Content-Range': 'bytes */44' }) },
  ...['Content-Language', 'Content-Location', 'Content-Disposition'].map((name) => ({
    title: `CH-11 ${name}, which nothing decodes by`,
    change: { ...BYTES, headers: { [name]: 'en' } },
  })),
  {
    title: 'CH-12 a coding from a peer of the original profile, which binds no header',
    change: {
      ...BYTES,
      ...ORIGINAL,
      headers: { 'Content-Encoding': 'gzip' },
      header: ORIGINAL.header,
      claims: ORIGINAL.claims,
    },
  },
];
