import { connect } from 'node:net';
import type { RefusalCode } from 'nestjs-service-auth';
import { type AttemptParts, tokenFor, withParts } from '../support/attacks/attempt.js';
import { BASELINE, NOW_SECONDS } from '../support/services/census.js';
import {
  CHANGED_HEADERS,
  MAX_HEADERS,
  type Mode,
  startTwins,
  type Twin,
} from '../support/services/report-twins.js';
import { ADAPTERS } from '../support/services/service.js';

/** What only a socket sends, to one application three times: without a guard, reporting, and enforcing. */

type Verdict = RefusalCode | 'accepted';

interface SocketRow {
  readonly title: string;
  /** What is written, with fresh tokens. */
  readonly bytes: () => string;
  /** What becomes of the requests that reach the guard. Those of one socket are verified at once. */
  readonly verdicts: readonly Verdict[];
  /** The client ends its side when it has written. */
  readonly ends?: true;
}

const GET = '/api/thing/1';
const POST = '/api/thing';
const BODY = '{"name":"canary-body"}';
const posted = { method: 'POST', target: POST, body: BODY, contentType: 'application/json' };

const tokenOf = (parts: AttemptParts = {}): string =>
  tokenFor(withParts(BASELINE, parts), NOW_SECONDS);
const jwt = (parts?: AttemptParts): string => `JWT: ${tokenOf(parts)}`;
/** Names the type, and no body. */
const bodiless = {
  ...posted,
  body: undefined,
  claims: { hdr: { 'content-type': posted.contentType } },
};
const late = { claims: { iat: NOW_SECONDS - 900, exp: NOW_SECONDS - 600 } };
const TYPE = 'Content-Type: application/json';
const LENGTH = `Content-Length: ${BODY.length}`;
const CHUNKED = 'Transfer-Encoding: chunked';
const CLOSE = 'Connection: close';
const CHUNKS = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;

/** One request as it is on the wire. */
const wire = (start: string, lines: readonly string[], content = ''): string =>
  [start, ...lines, '', content].join('\r\n');
const get = (...lines: string[]): string =>
  wire(`GET ${GET} HTTP/1.1`, ['Host: x', CLOSE, ...lines]);
const post = (lines: readonly string[], content = BODY): string =>
  wire(`POST ${POST} HTTP/1.1`, ['Host: x', CLOSE, ...lines], content);
const kept = (...lines: string[]): string => wire(`GET ${GET} HTTP/1.1`, ['Host: x', ...lines]);

/** So many headers that Node cuts the list before `last`. */
const behindTooMany = (first: readonly string[], last: readonly string[]): string[] => [
  ...first,
  ...Array.from({ length: 2 * MAX_HEADERS }, () => 'a:'),
  ...last,
];
const behindMany = (first: readonly string[], last: readonly string[]): string[] => [
  ...first,
  ...Array.from({ length: MAX_HEADERS / 2 }, () => 'a:'),
  ...last,
];

const LISTS: readonly SocketRow[] = [
  {
    title: 'a token behind too many headers',
    bytes: () => get(...behindTooMany([], [jwt()])),
    verdicts: ['headers_unverifiable'],
  },
  {
    title: 'a token behind many headers',
    bytes: () => get(...behindMany([], [jwt()])),
    verdicts: ['accepted'],
  },
  {
    title: 'a length behind too many headers',
    bytes: () => post(behindTooMany([jwt(posted), TYPE], [LENGTH])),
    verdicts: ['headers_unverifiable'],
  },
  {
    title: 'a length behind many headers',
    bytes: () => post(behindMany([jwt(posted), TYPE], [LENGTH])),
    verdicts: ['accepted'],
  },
  {
    title: 'a transfer coding behind too many headers',
    bytes: () => post(behindTooMany([jwt(posted), TYPE], [CHUNKED]), CHUNKS),
    verdicts: ['headers_unverifiable'],
  },
  {
    title: 'a transfer coding behind many headers',
    bytes: () => post(behindMany([jwt(posted), TYPE], [CHUNKED]), CHUNKS),
    verdicts: ['accepted'],
  },
  {
    title: 'a length behind too many headers, under a token for no body',
    bytes: () => post(behindTooMany([jwt(bodiless), TYPE], [LENGTH])),
    verdicts: ['headers_unverifiable'],
  },
];

const DUPLICATED: readonly SocketRow[] = [
  { title: 'one token', bytes: () => get(jwt()), verdicts: ['accepted'] },
  { title: 'two tokens', bytes: () => get(jwt(), jwt()), verdicts: ['token_repeated'] },
  {
    title: 'an empty header and a token',
    bytes: () => get('JWT:', jwt()),
    verdicts: ['token_repeated'],
  },
  {
    title: 'a bad token and a good one',
    bytes: () => get(jwt(late), jwt()),
    verdicts: ['token_repeated'],
  },
  {
    title: 'two content types',
    bytes: () => post([jwt(posted), TYPE, 'Content-Type: text/plain', LENGTH]),
    verdicts: ['header_mismatch'],
  },
  {
    title: 'one content type',
    bytes: () => post([jwt(posted), TYPE, LENGTH]),
    verdicts: ['accepted'],
  },
  {
    title: 'two Host headers, and an old token',
    bytes: () => get('Host: y', jwt(late)),
    verdicts: ['token_expired'],
  },
];

const SMUGGLED: readonly SocketRow[] = [
  {
    title: 'a body under a token for none',
    bytes: () => post([jwt(bodiless), TYPE, LENGTH]),
    verdicts: ['claim_missing'],
  },
  {
    title: 'chunks under a token for no body',
    bytes: () => post([jwt(bodiless), TYPE, CHUNKED], CHUNKS),
    verdicts: ['claim_missing'],
  },
  {
    title: 'chunks',
    bytes: () => post([jwt(posted), TYPE, CHUNKED], CHUNKS),
    verdicts: ['accepted'],
  },
  {
    title: 'a request behind the body, which is one more',
    bytes: () =>
      wire(`POST ${POST} HTTP/1.1`, ['Host: x', jwt(posted), TYPE, LENGTH], BODY + get()),
    verdicts: ['accepted', 'token_missing'],
  },
  {
    title: 'a token among the trailers',
    bytes: () =>
      post(
        [TYPE, CHUNKED, 'Trailer: JWT'],
        `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n${jwt(posted)}\r\n\r\n`,
      ),
    verdicts: ['token_missing'],
  },
  {
    title: 'good and bad ones on one socket',
    bytes: () => kept(jwt()) + kept() + kept(jwt(late)) + get(jwt()),
    verdicts: ['accepted', 'token_missing', 'token_expired', 'accepted'],
  },
  {
    title: 'length and transfer coding, which Node refuses',
    bytes: () => post([jwt(posted), TYPE, LENGTH, CHUNKED], CHUNKS),
    verdicts: [],
  },
  {
    title: 'two lengths, which Node refuses',
    bytes: () => post([jwt(posted), TYPE, LENGTH, 'Content-Length: 1']),
    verdicts: [],
  },
  { title: 'a NUL in the token, which Node refuses', bytes: () => get(`${jwt()}\0`), verdicts: [] },
  {
    title: 'a folded token, which Node refuses',
    bytes: () => get(`JWT:\r\n ${tokenOf()}`),
    verdicts: [],
  },
  {
    title: 'an upgrade without a token',
    bytes: () => get('Upgrade: websocket', 'Sec-WebSocket-Version: 13'),
    verdicts: ['token_missing'],
  },
  {
    title: 'an announced body that waits to be asked for, under an old token',
    bytes: () => post([jwt({ ...posted, ...late }), TYPE, LENGTH, 'Expect: 100-continue']),
    verdicts: ['token_expired'],
  },
  {
    title: 'an absolute target of another host, and an old token',
    bytes: () => wire(`GET http://y${GET} HTTP/1.1`, ['Host: x', CLOSE, jwt(late)]),
    verdicts: ['token_expired'],
  },
];

const OLD: readonly SocketRow[] = [
  {
    title: 'a good token without Host',
    bytes: () => wire(`GET ${GET} HTTP/1.0`, [jwt()]),
    verdicts: ['accepted'],
  },
  {
    title: 'an old token',
    bytes: () => wire(`GET ${GET} HTTP/1.0`, [jwt(late)]),
    verdicts: ['token_expired'],
  },
  { title: 'no token', bytes: () => wire(`GET ${GET} HTTP/1.0`, []), verdicts: ['token_missing'] },
  {
    title: 'a body',
    bytes: () => wire(`POST ${POST} HTTP/1.0`, [jwt(posted), TYPE, LENGTH], BODY),
    verdicts: ['accepted'],
  },
  {
    title: 'another body',
    bytes: () =>
      wire(`POST ${POST} HTTP/1.0`, [jwt({ ...posted, body: '{}' }), TYPE, LENGTH], BODY),
    verdicts: ['body_mismatch'],
  },
  {
    title: 'a connection that is kept',
    bytes: () =>
      wire(`GET ${GET} HTTP/1.0`, ['Connection: keep-alive', jwt(late)]) +
      wire(`GET ${GET} HTTP/1.0`, [jwt()]),
    verdicts: ['token_expired', 'accepted'],
  },
];

/** No type that a parser of both takes: a parser fails on half a body before any guard runs. */
const streamed = {
  method: 'POST',
  target: POST,
  body: BODY,
  contentType: 'application/octet-stream',
};
const STREAM = 'Content-Type: application/octet-stream';

const HALVES: readonly SocketRow[] = [
  {
    title: 'half of what was announced',
    bytes: () => post([jwt(streamed), STREAM, LENGTH], BODY.slice(0, 9)),
    verdicts: ['body_unverifiable'],
    ends: true,
  },
  {
    title: 'half a chunk',
    bytes: () =>
      post([jwt(streamed), STREAM, CHUNKED], `${BODY.length.toString(16)}\r\n${BODY.slice(0, 9)}`),
    verdicts: ['body_unverifiable'],
    ends: true,
  },
  {
    title: 'chunks without the last one',
    bytes: () => post([jwt(streamed), STREAM, CHUNKED], CHUNKS.slice(0, -5)),
    verdicts: ['body_unverifiable'],
    ends: true,
  },
  {
    title: 'all of it',
    bytes: () => post([jwt(streamed), STREAM, LENGTH]),
    verdicts: ['accepted'],
  },
  {
    title: 'half of what was announced, under an old token',
    bytes: () => post([jwt({ ...streamed, ...late }), STREAM, LENGTH], BODY.slice(0, 9)),
    verdicts: ['token_expired'],
    ends: true,
  },
  {
    title: 'half of JSON, which fails before the guard',
    bytes: () => post([jwt(posted), TYPE, LENGTH], BODY.slice(0, 9)),
    verdicts: [],
    ends: true,
  },
];

const SOCKETS: [string, readonly SocketRow[]][] = [
  ['header lists', LISTS],
  ['headers that come twice', DUPLICATED],
  ['framing', SMUGGLED],
  ['HTTP/1.0', OLD],
  ['half bodies', HALVES],
];

/** All that comes back until the server closes. */
async function answersOf(port: number, bytes: string, ends = false): Promise<string> {
  return await new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () =>
      ends ? socket.end(bytes) : socket.write(bytes),
    );
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
    socket.on('error', reject);
  });
}

/** The answers, line by line, without what the guard may change. */
function unchanged(answers: string): string[] {
  return answers
    .split('\r\n')
    .filter((line) => !CHANGED_HEADERS.has(line.slice(0, line.indexOf(':')).toLowerCase()));
}

const verdictsOf = ({ events }: Twin): string[] =>
  events.decisions
    .map((event) => ('code' in event ? event.code : event.type.slice('request_'.length)))
    .toSorted();
const typesOf = ({ events }: Twin): string[] => events.decisions.map(({ type }) => type);

/** Later releases of Node answer 431 to a list that is too long, before the application. */
const isAnsweredByNode = (answers: string): boolean => answers.startsWith('HTTP/1.1 431 ');

describe.each(ADAPTERS)('enforcement on %s', (adapter) => {
  let twins: Record<Mode, Twin>;
  beforeAll(async () => {
    twins = await startTwins(adapter);
  });
  afterAll(async () => {
    for (const twin of Object.values(twins)) await twin.close();
  });

  describe.each(SOCKETS)('%s', (_name, rows) => {
    it.each(rows)('RO-10 report changes no byte: $title, $verdicts', async (row) => {
      const bytes = row.bytes();
      const send = async (mode: Mode): Promise<string> => {
        const { events, port } = twins[mode];
        events.decisions.splice(0);
        return await answersOf(port, bytes, row.ends);
      };
      const plain = await send('unguarded');
      const expected = isAnsweredByNode(plain) ? [] : row.verdicts.toSorted();
      expect(unchanged(await send('report'))).toEqual(unchanged(plain));
      await send('enforce');
      for (const mode of ['report', 'enforce'] as const) {
        const { events } = twins[mode];
        await events.reach(expected.length);
      }
      expect([verdictsOf(twins.report), verdictsOf(twins.enforce)]).toEqual([expected, expected]);
      const refusals = expected.filter((verdict) => verdict !== 'accepted').length;
      const count = (mode: Mode, type: string): number =>
        typesOf(twins[mode]).filter((each) => each === type).length;
      expect(count('report', 'request_would_be_refused')).toBe(refusals);
      expect(count('enforce', 'request_refused')).toBe(refusals);
    });
  });
});
