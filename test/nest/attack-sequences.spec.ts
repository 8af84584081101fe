import type { Server } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { MemoryReplayStore, type RefusalCode } from 'nestjs-service-auth';
import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import {
  type Attempt,
  type AttemptParts,
  editSegment,
  sendAs,
  strayBit,
  tokenFor,
  toCall,
  withParts,
  withPayload,
} from '../support/attacks/attempt.js';
import {
  BASELINE,
  NOW_SECONDS,
  ORIGINAL,
  POSTED,
  SCRIBE,
  scribeKey,
  startCensus,
  strangerKey,
} from '../support/services/census.js';
import { Clocks } from '../support/clocks/clocks.js';
import { encode } from '../support/tokens/forge.js';
import { type Answer, call, type Call, rawCall } from '../support/http/http.js';
import { jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { type Adapter, ADAPTERS, type TestService } from '../support/services/service.js';
import { expectVerdict, rawVerdict } from '../support/http/verdict.js';

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The other signature over the same bytes that an ECDSA key verifies. */
const otherSignature = (token: string): string =>
  editSegment(token, 2, (segment) => {
    const bytes = Buffer.from(segment, 'base64url');
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
    const mirrored = (P256_ORDER - s).toString(16).padStart(64, '0');
    return encode(Buffer.concat([bytes.subarray(0, 32), Buffer.from(mirrored, 'hex')]));
  });

describe.each(ADAPTERS)('on %s', (adapter: Adapter) => {
  let census: TestService;
  let nowMilliseconds = 0;

  beforeAll(async () => {
    census = await startCensus({ adapter, options: { now: () => nowMilliseconds } });
  });
  beforeEach(() => {
    nowMilliseconds = NOW_SECONDS * 1000;
  });
  afterAll(() => census.close());

  function prepare(parts: AttemptParts = {}): { attempt: Attempt; token: string; request: Call } {
    const attempt = withParts(BASELINE, parts);
    const token = tokenFor(attempt, NOW_SECONDS);
    return { attempt, token, request: toCall(attempt, token) };
  }

  const send = async (request: Call, service = census): Promise<Answer> =>
    await call(service.port, request);

  const resend = async (attempt: Attempt, token: string, parts: AttemptParts): Promise<Answer> =>
    await send(toCall(withParts(attempt, parts), token));

  describe('replay', () => {
    it('RP-02 lets exactly one of 100 identical requests through', async () => {
      const { request } = prepare();
      const answers = await Promise.all(
        Array.from({ length: 100 }, async () => await send(request)),
      );
      const codes = answers.map(({ status, code }) => (status === 200 ? 'accepted' : code));
      expect(codes.filter((code) => code === 'accepted')).toHaveLength(1);
      expect(codes.filter((code) => code === 'token_replayed')).toHaveLength(99);
    });

    it('RP-04 keeps the token ids of two issuers apart', async () => {
      const claims = { jti: 'the-same-id-twice' };
      expectAccepted(await send(prepare({ claims }).request));
      expectAccepted(await send(prepare({ claims, issuer: SCRIBE, key: scribeKey }).request));
    });

    it('RP-05 refuses a new token with a used id', async () => {
      const claims = { jti: 'an-id-for-two-tokens' };
      expectAccepted(await send(prepare({ claims }).request));
      const again = prepare({ claims, target: '/api/thing/2' }).request;
      expectRefused(await send(again), { code: 'token_replayed' });
    });

    it('SG-14 refuses the second signature of a used token, and accepts it on an unused one', async () => {
      const { attempt, token, request } = prepare();
      expectAccepted(await send(request));
      const respelled = otherSignature(token);
      expect(respelled).not.toBe(token);
      expectRefused(await resend(attempt, respelled, {}), { code: 'token_replayed' });

      const unused = prepare();
      expectAccepted(await resend(unused.attempt, otherSignature(unused.token), {}));
      expectRefused(await send(unused.request), { code: 'token_replayed' });
    });

    it.each<[string, (token: string) => string]>([
      ['a stray bit', (token) => editSegment(token, 2, strayBit)],
      ['padding', (token) => `${token}==`],
      ['a space', (token) => token.replace('.', ' .')],
      ['a no-break space', (token) => `${token}\u00a0`],
    ])('RP-06 refuses a used token with %s', async (_title, respell) => {
      const { attempt, token, request } = prepare();
      expectAccepted(await send(request));
      const answer = await resend(attempt, token, { send: sendAs(respell) });
      expectRefused(answer, { code: 'token_malformed' });
    });

    it('RP-08, RP-09 remembers a used token until its tolerance is over', async () => {
      const { request } = prepare();
      expectAccepted(await send(request));
      for (const [second, code] of [
        [59, 'token_replayed'],
        [60, 'token_replayed'],
        [64.999, 'token_replayed'],
        [65, 'token_expired'],
        [4000, 'token_expired'],
      ] satisfies [number, RefusalCode][]) {
        nowMilliseconds = (NOW_SECONDS + second) * 1000;
        expectRefused(await send(request), { code });
      }
    });

    it.each<[string, RefusalCode, AttemptParts, AttemptParts]>([
      [
        'RP-10 with a bad signature',
        'signature_invalid',
        {},
        { send: sendAs((t) => otherToken(t)) },
      ],
      ['RP-11 to another URL', 'request_mismatch', {}, { target: '/api/thing/2' }],
      ['RP-11 with another method', 'request_mismatch', {}, { method: 'DELETE' }],
      ['RP-11 with another body', 'body_mismatch', POSTED, { body: '{"name":"other"}' }],
      ['RP-11 with another type', 'header_mismatch', POSTED, { contentType: 'text/plain' }],
    ])('%s, a request does not use the token up', async (_title, code, common, change) => {
      const { attempt, token, request } = prepare(common);
      expectRefused(await resend(attempt, token, change), { code });
      expectAccepted(await send(request));
    });

    it('RP-10 does not use a token up that the policy of a route refuses', async () => {
      const claims = { jti: 'refused-by-policy-first' };
      const refused = prepare({ claims, target: '/api/thing/for-scribe' }).request;
      expectRefused(await send(refused), { code: 'issuer_not_allowed' });
      expectAccepted(await send(prepare({ claims }).request));
    });

    it('RP-12 cannot be made to forget by many other tokens', async () => {
      const replayStore = new MemoryReplayStore({ maxEntries: 20, issuerShare: 'all' });
      const service = await startCensus({
        adapter,
        options: { replayStore, now: () => nowMilliseconds },
      });
      const { request } = prepare();
      expectAccepted(await send(request, service));
      const others = Array.from({ length: 25 }, () => prepare().request);
      const answers = await Promise.all(others.map(async (other) => await send(other, service)));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(19);
      expect(answers.filter(({ status }) => status === 503)).toHaveLength(6);
      expectRefused(await send(request, service), { code: 'token_replayed' });
      await service.close();
    });

    it('RP-20 refuses an issuer that fills the store, and no other', async () => {
      const replayStore = new MemoryReplayStore({ maxEntries: 20 });
      const options = { replayStore, now: () => nowMilliseconds };
      const service = await startCensus({ adapter, options });
      for (let each = 0; each < 10; each++) expectAccepted(await send(prepare().request, service));
      expectRefused(await send(prepare().request, service), { code: 'replay_store_unavailable' });
      const byScribe = (): Call => prepare({ issuer: SCRIBE, key: scribeKey }).request;
      for (let each = 0; each < 5; each++) expectAccepted(await send(byScribe(), service));
      await service.close();
    });

    it.each([1, 59, 61, 3600, 10 * 365 * 86_400])(
      'RP-19 blames no caller for a clock that was %d s ahead and was put back',
      async (ahead) => {
        const clocks = new Clocks();
        const { monotonicNow } = clocks;
        const replayStore = new MemoryReplayStore({ monotonicNow });
        const options = { replayStore, now: () => clocks.wallSeconds * 1000 };
        const service = await startCensus({ adapter, options });
        const sign = (): Call => {
          const attempt = withParts(BASELINE);
          return toCall(attempt, tokenFor(attempt, clocks.wallSeconds));
        };
        expectAccepted(await send(sign(), service));
        clocks.step(ahead);
        const dated = sign();
        expectAccepted(await send(dated, service));
        clocks.step(-ahead);
        expectAccepted(await send(sign(), service));
        clocks.pass(70);
        expectAccepted(await send(sign(), service));
        clocks.step(ahead - 67);
        expectRefused(await send(dated, service), { code: 'replay_store_unavailable' });
        clocks.pass(70);
        expectAccepted(await send(sign(), service));
        await service.close();
      },
    );

    it('RP-14 verifies once where the guard is applied three times', async () => {
      const { request } = prepare({ target: '/api/twice' });
      expectAccepted(await send(request));
      expectRefused(await send(request), { code: 'token_replayed' });
    });

    it('RP-15, RP-16 burns a token whose use the store recorded and failed to confirm', async () => {
      const memory = new MemoryReplayStore();
      let losesReplies = true;
      const service = await startCensus({
        adapter,
        options: {
          now: () => nowMilliseconds,
          replayStore: {
            recordUse: (use) => {
              const verdict = memory.recordUse(use);
              if (losesReplies) throw new Error('the reply was lost');
              return verdict;
            },
          },
        },
      });
      const { request } = prepare();
      expectRefused(await send(request, service), { code: 'replay_store_unavailable' });
      losesReplies = false;
      expectRefused(await send(request, service), { code: 'token_replayed' });
      expectAccepted(await send(prepare().request, service));
      await service.close();
    });

    it('RP-18 refuses a used token at another service too', async () => {
      const { attempt, token, request } = prepare({ audience: 'https://orders.service/' });
      expectRefused(await send(request), { code: 'audience_mismatch' });
      expectRefused(await resend(attempt, token, {}), { code: 'audience_mismatch' });
    });

    it('AI-16 accepts an original token without a jti a hundred times, refusals in between', async () => {
      const { request } = prepare(ORIGINAL);
      for (let time = 0; time < 100; time++) {
        expectAccepted(await send(request));
        expectRefused(await send({ ...request, headers: {} }), { code: 'token_missing' });
      }
    });

    it('uses up an original token that has a jti', async () => {
      const claims = { ...ORIGINAL.claims, jti: 'an-id-of-an-original-token' };
      const { request } = prepare({ ...ORIGINAL, claims });
      expectAccepted(await send(request));
      expectRefused(await send(request), { code: 'token_replayed' });
    });

    it('uses up an original token that has jti and iat, however late it comes again', async () => {
      const monotonicNow = (): number => nowMilliseconds - NOW_SECONDS * 1000;
      const service = await startCensus({
        adapter,
        options: {
          now: () => nowMilliseconds,
          replayStore: new MemoryReplayStore({ monotonicNow }),
        },
      });
      const claims = { ...ORIGINAL.claims, iat: NOW_SECONDS, jti: 'an-id-with-a-time-of-issue' };
      const { request } = prepare({ ...ORIGINAL, claims });
      const statuses: number[] = [];
      for (const hours of [0, 0.5, 1, 2, 24]) {
        nowMilliseconds = (NOW_SECONDS + hours * 3600 + 30) * 1000;
        statuses.push((await send(request, service)).status);
      }
      await service.close();
      expect(statuses).toEqual([200, 401, 401, 401, 401]);
    });
  });

  describe('time', () => {
    it('TM-17 judges a token by the time of the decision, however slow the body', async () => {
      const parts = { ...POSTED, contentType: 'application/octet-stream', body: 'slowly' };
      expectAccepted(await send(prepare(parts).request));

      const { token } = prepare(parts);
      const head = [
        'POST /api/thing HTTP/1.1',
        'Host: x',
        'Connection: close',
        'Content-Type: application/octet-stream',
        'Content-Length: 6',
        `JWT: ${token}`,
        '',
        'slow',
      ].join('\r\n');
      const answer = await sendInTwo(head, 'ly', () => (nowMilliseconds += 66_000));
      expectVerdict(rawVerdict(answer), { status: 401, code: 'token_expired' });
    });

    it('TM-18 refuses a used token after the clock was put back', async () => {
      const { request } = prepare();
      expectAccepted(await send(request));
      nowMilliseconds += 7_200_000;
      expectRefused(await send(request), { code: 'token_expired' });
      const later = withParts(BASELINE);
      expectAccepted(await send(toCall(later, tokenFor(later, NOW_SECONDS + 7200))));
      nowMilliseconds -= 7_200_000 - 30_000;
      expectRefused(await send(request), { code: 'token_replayed' });
    });

    it('TM-19 refuses live tokens while the clock is ahead, and used ones for ever', async () => {
      const used = prepare();
      const live = prepare();
      expectAccepted(await send(used.request));
      nowMilliseconds += 3_600_000;
      expectRefused(await send(live.request), { code: 'token_expired' });
      nowMilliseconds -= 3_600_000;
      expectRefused(await send(used.request), { code: 'token_replayed' });
      expectAccepted(await send(live.request));
    });

    it.each([Number.NaN, Number.POSITIVE_INFINITY, undefined, 'now'])(
      'never takes a token while the clock says %s',
      async (nonsense) => {
        const { request } = prepare({ claims: { iat: NOW_SECONDS - 900, exp: NOW_SECONDS - 600 } });
        expectRefused(await send(request), { code: 'token_expired' });
        nowMilliseconds = nonsense as number;
        const answer = await send(request);
        expect(answer.status).toBeGreaterThanOrEqual(400);
      },
    );
  });

  describe('what only a socket sends', () => {
    const head = (lines: string[]): string =>
      ['GET /api/thing/1 HTTP/1.1', 'Host: x', 'Connection: close', ...lines, '', ''].join('\r\n');

    const sockets: [string, (token: string) => string[], number][] = [
      ['TS-20 a NUL after the token', (token) => [`JWT: ${token}\0`], 400],
      ['TS-20 a NUL in the token', (token) => [`JWT: ${token.replace('.', '.\0')}`], 400],
      ['TS-20 a control character', (token) => [`JWT: \u0001${token}`], 400],
      ['TS-20 a vertical tab', (token) => [`JWT: \u000b${token}`], 400],
      ['TS-20 a carriage return', (token) => [`JWT: ${token.replace('.', '.\r')}`], 400],
      ['TS-20 a DEL', (token) => [`JWT: ${token}\u007f`], 400],
      ['TS-21 a folded header', (token) => ['JWT:', ` ${token}`], 400],
      ['TS-21 a token on two lines', (token) => [`JWT: ${token.replace('.', '.\r\n ')}`], 400],
      ['TS-23 a header of 20 kB', () => [`JWT: ${'a'.repeat(20_000)}`], 431],
      [
        'TS-23 a token and a header of 20 kB',
        (t) => [`JWT: ${t}`, `X: ${'a'.repeat(20_000)}`],
        431,
      ],
      ['TS-31 lists nested 6000 deep', () => [`JWT: ${deepToken(6000)}`], 431],
      ['TF-06 two lengths', (t) => [`JWT: ${t}`, 'Content-Length: 0', 'Content-Length: 5'], 400],
      [
        'TF-06 length and transfer coding',
        (token) => [`JWT: ${token}`, 'Content-Length: 5', 'Transfer-Encoding: chunked'],
        400,
      ],
      [
        'RB-21 an upgrade without a token',
        () => ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAA'],
        401,
      ],
    ];

    it.each(sockets)('%s', async (_title, lines, status) => {
      const good = head([`JWT: ${prepare().token}`]);
      expectVerdict(rawVerdict(await rawCall(census.port, good)), { status: 200, code: undefined });
      const bad = head(lines(prepare().token));
      expectVerdict(rawVerdict(await rawCall(census.port, bad)), { status });
    });

    const deepToken = (depth: number): string =>
      prepare({
        build: withPayload(
          (json) => `{"deep":${'['.repeat(depth)}${']'.repeat(depth)},${json.slice(1)}`,
        ),
      }).token;

    it('TS-34 does not look for a token among trailers', async () => {
      const { token } = prepare({ ...POSTED });
      const lines = [
        'POST /api/thing HTTP/1.1',
        'Host: x',
        'Connection: close',
        'Content-Type: application/json',
        'Transfer-Encoding: chunked',
        'Trailer: JWT',
        '',
        `${POSTED.body.length.toString(16)}`,
        POSTED.body,
        '0',
        `JWT: ${token}`,
        '',
        '',
      ];
      const answer = await rawCall(census.port, lines.join('\r\n'));
      expectVerdict(rawVerdict(answer), { status: 401, code: 'token_missing' });
      const withHeader = lines.toSpliced(6, 0, `JWT: ${token}`).filter((_, at) => at !== 11);
      const twin = await rawCall(census.port, withHeader.join('\r\n'));
      expectVerdict(rawVerdict(twin), { status: 201 });
    });

    it('RB-15 takes no account of two Host headers', async () => {
      const { token } = prepare();
      const answer = await rawCall(census.port, head(['Host: orders.service', `JWT: ${token}`]));
      expect(answer).toMatch(/^HTTP\/1\.1 (?:200|400) /);
    });

    it('TF-07 keeps pipelined requests apart', async () => {
      const request = (target: string, token?: string, last?: boolean): string =>
        [
          `GET ${target} HTTP/1.1`,
          'Host: x',
          ...(last ? ['Connection: close'] : []),
          ...(token ? [`JWT: ${token}`] : []),
          '',
          '',
        ].join('\r\n');
      const one = prepare({ subject: 'urn:user:one' });
      const three = prepare({ subject: 'urn:user:three' });
      const four = prepare({ subject: 'urn:user:four' });
      const answer = await rawCall(
        census.port,
        request('/api/thing/1', one.token) +
          request('/api/thing/1') +
          request('/api/thing/1', three.token) +
          request('/api/thing/2', four.token, true),
      );
      expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
        '200',
        '401',
        '200',
        '401',
      ]);
      expect([...answer.matchAll(/urn:user:\w+/g)].map(([subject]) => subject)).toEqual([
        'urn:user:one',
        'urn:user:three',
      ]);
    });
  });

  describe('what the router decides', () => {
    it.each([
      'RB-10 //api/thing/1',
      'RB-10 //evil.example/api/thing/1',
      'RB-10 /\\evil.example/api/thing/1',
      'RB-11 /api/thing/../thing/1',
      'RB-11 /api/%2e%2e/api/thing/1',
      'RB-12 /api/thing/1//',
    ])('%s never runs a handler with the token of /api/thing/1', async (title) => {
      const [, target = ''] = title.split(' ');
      expectAccepted(await send(prepare().request));
      const { attempt, token } = prepare();
      const answer = await resend(attempt, token, { target });
      expect([400, 401, 404]).toContain(answer.status);
      expectAccepted(await send(toCall(attempt, token)));
    });

    it('RB-22 OPTIONS runs no handler', async () => {
      const { request } = prepare({ method: 'OPTIONS' });
      expect(await send(request)).toMatchObject({ status: 404 });
      expect(await send({ ...request, headers: {} })).toMatchObject({ status: 404 });
    });

    it('RB-22 OPTIONS runs no handler where CORS answers it', async () => {
      const service = await startCensus({ adapter, service: { nest: { cors: true } } });
      try {
        const preflight = { origin: 'https://page.test', 'access-control-request-method': 'GET' };
        const options = { method: 'OPTIONS', target: '/api/thing/1', headers: preflight };
        expect(await send(options, service)).toMatchObject({ status: 204, text: '' });
        const unsigned = { target: options.target, headers: preflight };
        expectRefused(await send(unsigned, service), { code: 'token_missing' });
        const signed = prepare({ headers: preflight }).request;
        expect(await send(signed, service)).toMatchObject({ status: 200 });
      } finally {
        await service.close();
      }
    });

    it('TS-06 finds no token in the query or in the body', async () => {
      const { token, request } = prepare();
      const inQuery = { target: `/api/thing/1?jwt=${token}&JWT=${token}&access_token=${token}` };
      expectRefused(await send(inQuery), { code: 'token_missing' });
      const headers = { 'content-type': 'application/json' };
      const inBody = { ...POSTED, headers, body: JSON.stringify({ jwt: token, JWT: token }) };
      expectRefused(await send(inBody), { code: 'token_missing' });
      expectAccepted(await send(request));
    });
  });

  it('AI-07 fetches nothing for an issuer nobody knows', async () => {
    const keys = await startKeyServer(serveKeys([jwkOf(BASELINE.key)]));
    const trustedIssuers = [{ issuer: BASELINE.issuer, jwksUri: keys.url }];
    const service = await startCensus({ adapter, options: { trustedIssuers } });
    try {
      expectAccepted(await send(prepare().request, service));
      const hits = keys.hits;
      for (const issuer of ['https://unknown.service/', keys.url]) {
        const header = { kid: 'unknown' };
        const answer = await send(prepare({ issuer, header }).request, service);
        expectRefused(answer, { code: 'issuer_unknown' });
      }
      expect(keys.hits).toBe(hits);
    } finally {
      await service.close();
      await keys.close();
    }
  });

  it('HP-08, HP-09 contacts nobody whom a token names', async () => {
    let connections = 0;
    const attacker = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve));
    const { port } = attacker.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/keys.json`;
    const names = { jku: url, x5u: url, iss: url };
    const signed = { key: { ...strangerKey, keyId: BASELINE.key.keyId } };
    for (const parts of [
      { header: names },
      { issuer: url },
      { header: { kid: url } },
      { ...signed, header: names },
      { ...ORIGINAL, ...signed, header: { ...ORIGINAL.header, ...names } },
      { claims: { jku: url, iss: url, jwks_uri: url } },
    ]) {
      expectVerdict(await send(prepare(parts).request), { status: 401 });
    }
    expectAccepted(await send(prepare().request));
    await new Promise((resolve) => attacker.close(resolve));
    expect(connections).toBe(0);
  });

  /** Sends the second part only after `between`, which runs once the server has the first. */
  async function sendInTwo(first: string, second: string, between: () => void): Promise<string> {
    return await new Promise<string>((resolve, reject) => {
      const received: Buffer[] = [];
      const server = census.app.getHttpServer() as Server;
      server.once('request', () => {
        between();
        socket.write(second);
      });
      const socket = connect(census.port, '127.0.0.1', () => socket.write(first));
      socket.on('data', (chunk) => received.push(chunk));
      socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
      socket.on('error', reject);
    });
  }
});

/** The same claims, signed by nobody. */
function otherToken(token: string): string {
  return editSegment(token, 2, (segment) =>
    encode(Buffer.alloc(Buffer.from(segment, 'base64url').length, 7)),
  );
}
