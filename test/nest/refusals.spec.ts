import type { INestApplication } from '@nestjs/common';
import { MemoryReplayStore, REFUSALS, type RefusalCode } from 'nestjs-service-auth';
import {
  expectAccepted,
  expectNoSecrets,
  expectRefused,
  secretsOf,
} from '../support/attacks/answers.js';
import {
  type AttackRow,
  type AttemptParts,
  tokenFor,
  toCall,
  withParts,
} from '../support/attacks/attempt.js';
import { TABLES } from '../support/attacks/tables.js';
import { GOOD_BINDING } from '../support/attacks/binding.js';
import { GOOD_CLAIMS } from '../support/attacks/claims.js';
import { GOOD_CONTENT } from '../support/attacks/content.js';
import { GOOD_GRANTS } from '../support/attacks/grants.js';
import { GOOD_HEADERS } from '../support/attacks/jose-header.js';
import { GOOD_NAMES } from '../support/attacks/names.js';
import { GOOD_SIGNATURES } from '../support/attacks/signatures.js';
import { GOOD_TIMES, SKEWS } from '../support/attacks/times.js';
import {
  accentedKey,
  BASELINE,
  CANARY,
  edgeKey,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  POSTED,
  provingTrust,
  startCensus,
  startCensusBehind,
  USER,
  twinKey,
} from '../support/services/census.js';
import { type Answer, call } from '../support/http/http.js';
import { jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { type Adapter, ADAPTERS, type TestService } from '../support/services/service.js';
import { expectVerdict } from '../support/http/verdict.js';
import { decodeClaims, decodeHeader } from '../support/tokens/forge.js';

const GOOD: readonly { title: string; change: AttemptParts }[] = [
  ...['jwt', 'JwT', 'JWT'].map((name) => ({
    title: `TS-35 in a header written ${name}`,
    change: { send: (token: string) => ({ [name]: token }) },
  })),
  {
    title: 'TS-35 between white space',
    change: { send: (token: string) => ({ JWT: ` \t${token}\t ` }) },
  },
  ...GOOD_SIGNATURES,
  ...GOOD_HEADERS,
  ...GOOD_NAMES,
  ...GOOD_CLAIMS,
  ...GOOD_TIMES,
  ...GOOD_BINDING,
  ...GOOD_CONTENT,
  ...GOOD_GRANTS,
];

interface OverridableRequest {
  method: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

describe.each(ADAPTERS)('on %s', (adapter: Adapter) => {
  const provoked = new Set<RefusalCode>();
  const logs = new LogRecorder();
  const secretsSent = new Set<string>();
  /** What lines name on purpose: the key ids that are known, and for whom a verified issuer has made a token. */
  const namedInLog = new Set([heraldKey, accentedKey, twinKey, edgeKey].map(({ keyId }) => keyId));
  let census: TestService;

  let loggedAtStart = 0;
  beforeAll(async () => {
    census = await startCensus({ adapter, service: { logger: logs } });
    loggedAtStart = logs.entries.length;
  });
  afterAll(() => census.close());

  async function send(parts: AttemptParts, service = census): Promise<Answer> {
    const attempt = withParts(BASELINE, parts);
    return await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
  }

  /** Sends the twin, which must pass, then the attack, which must be refused as the row says. */
  async function sendRow(row: AttackRow, service = census): Promise<void> {
    const good = withParts(BASELINE, row.common);
    expectAccepted(await send(good, service));
    const attack = withParts(good, row.change);
    const token = tokenFor(attack, NOW_SECONDS);
    const answer = await call(service.port, toCall(attack, token));
    expectRefused(answer, row);
    const secrets = secretsOf(attack, token);
    expectNoSecrets(answer.text + JSON.stringify(answer.headers), secrets);
    for (const secret of secrets) secretsSent.add(secret);
    if (row.code === 'audience_mismatch') namedInLog.add(String(decodeClaims(token)['aud']));
    // The id of a key that this service knows.
    if (row.code === 'signature_invalid') namedInLog.add(String(decodeHeader(token)['kid']));
    provoked.add(row.code);
  }

  describe.each(TABLES)('%s', (_name, rows) => {
    const here = rows.filter(({ only }) => only === undefined || only === adapter);
    it.each(here)('$title: $code', async (row) => {
      await sendRow(row);
    });
  });

  describe('accepted', () => {
    it.each(GOOD)('$title', async ({ change }) => {
      expectAccepted(await send(change));
    });

    const unusual = GOOD_CLAIMS.filter(({ title }) => /^CL-1[69]/.test(title));
    it.each(unusual)('$title, and arrives byte for byte', async ({ change }) => {
      const answer = await send(change);
      expectAccepted(answer);
      expect(answer.json?.['subject']).toBe(change.subject);
    });

    it('CL-17, CL-18 nothing above has put a member on every object', () => {
      expect(({} as { admin?: unknown }).admin).toBeUndefined();
    });
  });

  describe('in services set up otherwise', () => {
    async function withCensus(
      options: Omit<Parameters<typeof startCensus>[0], 'adapter'>,
      run: (service: TestService) => Promise<void>,
    ): Promise<void> {
      const service = await startCensus({ ...options, adapter });
      try {
        await run(service);
      } finally {
        await service.close();
      }
    }

    it('RP-01 a token that was used: token_replayed', async () => {
      const attempt = withParts(BASELINE);
      const request = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
      expectAccepted(await call(census.port, request));
      expectRefused(await call(census.port, request), { code: 'token_replayed' });
      provoked.add('token_replayed');
    });

    const undecidable: [string, () => unknown][] = [
      [
        'throws',
        () => {
          throw new Error('canary-store');
        },
      ],
      [
        'throws no error',
        () => {
          throw 'canary-store';
        },
      ],
      ['rejects', async () => await Promise.reject(new Error('canary-store'))],
      ['answers undefined', () => undefined],
      ['answers null', async () => await Promise.resolve(null)],
      ['answers true', () => true],
      ['answers OK', () => 'OK'],
      ['answers 1', () => 1],
      ['answers an error', () => new Error('canary-store')],
      ['answers a list', () => ['first']],
      ['answers a String object', () => Object('first') as unknown],
    ];

    it.each(undecidable)(
      'RP-17 a store that %s: replay_store_unavailable',
      async (_title, fail) => {
        let answer: () => unknown = () => 'first';
        const replayStore = { recordUse: () => answer() as 'first' };
        await withCensus({ options: { replayStore } }, async (service) => {
          expectAccepted(await send({}, service));
          answer = fail;
          const refusal = await send({}, service);
          expectRefused(refusal, { code: 'replay_store_unavailable' });
          expectNoSecrets(refusal.text, ['canary', CANARY, USER]);
        });
        provoked.add('replay_store_unavailable');
      },
    );

    it('RP-12 a full memory store: replay_store_unavailable, and the used token stays used', async () => {
      const replayStore = new MemoryReplayStore({ maxEntries: 1 });
      await withCensus({ options: { replayStore } }, async (service) => {
        const attempt = withParts(BASELINE);
        const first = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
        expectAccepted(await call(service.port, first));
        expectRefused(await send({}, service), { code: 'replay_store_unavailable' });
        expectRefused(await call(service.port, first), { code: 'token_replayed' });
      });
    });

    it('JF-01 a key server that is down: key_unavailable', async () => {
      const keys = await startKeyServer(serveKeys([jwkOf(heraldKey)]));
      const trustedIssuers = [{ issuer: HERALD, jwksUri: keys.url }];
      try {
        await withCensus({ options: { trustedIssuers } }, async (service) =>
          expectAccepted(await send({}, service)),
        );
        await keys.down();
        await withCensus({ options: { trustedIssuers } }, async (service) =>
          expectRefused(await send({}, service), { code: 'key_unavailable' }),
        );
      } finally {
        await keys.close();
      }
      provoked.add('key_unavailable');
    });

    it.each([null, undefined])(
      'a user resolver that answers %s: subject_unknown',
      async (nobody) => {
        const known = 'https://census.service/user/21/';
        const userResolver = {
          resolveUser: (subject: string) => (subject === known ? { name: 'x' } : nobody),
        };
        await withCensus({ options: { userResolver } }, async (service) => {
          expectAccepted(await send({ subject: known }, service));
          expectRefused(await send({}, service), { code: 'subject_unknown' });
        });
        provoked.add('subject_unknown');
      },
    );

    it('a handler that runs outside of HTTP: context_unsupported', async () => {
      await sendRow({
        title: '',
        code: 'context_unsupported',
        common: { target: '/api/outcome/http' },
        change: { target: '/api/outcome/graphql' },
      });
    });

    it.each(['rpc', 'ws', 'custom'])(
      'a handler that runs as %s is never let through',
      async (type) => {
        expectAccepted(await send({ target: '/api/outcome/http' }));
        const answer = await send({ target: `/api/outcome/${type}` });
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.text).not.toContain('resolved');
      },
    );

    it('a required header that the token does not bind: header_mismatch', async () => {
      const options = { requiredHeaders: ['X-Order'] };
      const bound = { claims: { hdr: { 'x-order': '7' } } };
      await withCensus({ options }, async (service) => {
        expectAccepted(await send({}, service));
        await sendRow(
          {
            title: '',
            code: 'header_mismatch',
            common: { headers: { 'x-order': '7' }, ...bound },
            change: { claims: { hdr: undefined } },
          },
          service,
        );
      });
    });

    it('RB-18 TLS and a path prefix end in front: named by the audience and publicPathPrefix', async () => {
      const audience = 'https://public.service/';
      const options = { audience: [audience], publicPathPrefix: '/census' };
      const common = {
        audience,
        madeFor: { target: '/census/api/thing/1' },
        headers: { Host: 'census.internal', 'X-Forwarded-Proto': 'https' },
      };
      await withCensus({ options }, async (service) => {
        for (const [code, change] of [
          ['request_mismatch', { madeFor: { target: '/api/thing/1' } }],
          ['audience_mismatch', { audience: 'http://public.service/' }],
          ['audience_mismatch', { audience: 'https://census.internal/' }],
        ] satisfies [RefusalCode, AttemptParts][]) {
          await sendRow({ title: '', code, common, change }, service);
        }
      });
    });

    it.each([
      ['a version in the path', '/api/v1/versioned', '/api/versioned'],
      ['no version', '/api/versioned/neutral', '/api/v1/versioned/neutral'],
      ['a path of several modules', '/api/outer/inner/nested', '/api/nested'],
    ])('RB-17 %s is bound as it is on the wire', async (_title, target, other) => {
      const configure = (app: INestApplication) => app.enableVersioning();
      await withCensus({ service: { configure } }, async (service) => {
        const change = { madeFor: { target: other } };
        await sendRow({ title: '', code: 'request_mismatch', common: { target }, change }, service);
      });
    });

    it('RB-17 an application mounted below a path sees what was on the wire', async () => {
      const mounted = '/mounted';
      const configure = (app: INestApplication) => {
        if (adapter === 'fastify') return;
        app.use((request: { url: string }, _response: object, next: () => void) => {
          request.url = request.url.replace(mounted, '');
          next();
        });
      };
      // Fastify forgets what it rewrote: whoever rewrites keeps it, as Express does.
      const fastify = {
        rewriteUrl: (request: { url?: string; originalUrl?: string }) => {
          request.originalUrl = request.url;
          return (request.url ?? '').replace(mounted, '');
        },
      };
      await withCensus({ service: { configure, fastify } }, async (service) => {
        const common = { target: `${mounted}/api/thing/1` };
        const change = { madeFor: { target: '/api/thing/1' } };
        await sendRow({ title: '', code: 'request_mismatch', common, change }, service);
      });
    });

    it('RB-03 middleware that lets a header replace the method: request_mismatch', async () => {
      const configure = (app: INestApplication) => {
        app.use((request: OverridableRequest, _response: object, next: () => void) => {
          request.method = request.headers['x-http-method-override'] ?? request.method;
          next();
        });
      };
      await withCensus({ service: { configure } }, async (service) => {
        const change = { headers: { 'X-HTTP-Method-Override': 'DELETE' } };
        await sendRow({ title: '', code: 'request_mismatch', change }, service);
      });
    });

    it.each(SKEWS)(
      'TM-16 clocks %s seconds apart pass with a tolerance of 60: %s',
      async (seconds, passes) => {
        await withCensus({ options: { clockToleranceSeconds: 60 } }, async (service) => {
          const claims =
            seconds < 0
              ? { iat: NOW_SECONDS + seconds - 60, exp: NOW_SECONDS + seconds }
              : { iat: NOW_SECONDS + seconds, exp: NOW_SECONDS + seconds + 60 };
          const answer = await send({ claims }, service);
          if (passes) expectAccepted(answer);
          else
            expectRefused(answer, { code: seconds < 0 ? 'token_expired' : 'token_not_yet_valid' });
        });
      },
    );
  });

  describe('what answers tell caches', () => {
    it("keeps a handler's own Cache-Control, but not on a refusal", async () => {
      const answer = await send({ target: '/api/thing/cached' });
      expect(answer).toMatchObject({
        status: 200,
        headers: { 'cache-control': 'public, max-age=60', vary: 'JWT' },
      });
      const refusal = await send({ target: '/api/thing/cached', send: () => ({}) });
      expectRefused(refusal, { code: 'token_missing' });
    });

    it("keeps JWT in Vary beside a handler's own", async () => {
      const answer = await send({ target: '/api/thing/translated' });
      expect(answer.status).toBe(200);
      expect(answer.headers.vary?.split(/\s*,\s*/).toSorted()).toEqual(['Accept-Language', 'JWT']);
    });

    it('says so on a failing handler and on an anonymous one too', async () => {
      const failing = await send({ target: '/api/thing/failing' });
      expect(failing).toMatchObject({
        status: 500,
        headers: { vary: 'JWT', 'cache-control': 'private' },
      });
      expectNoSecrets(failing.text, ['canary']);
      const anonymous = await send({ target: '/api/thing/anonymous', send: () => ({}) });
      expectAccepted(anonymous);
      expect(anonymous.json).toEqual({ subject: 'anonymous' });
      expectAccepted(await send({ target: '/api/thing/anonymous' }));
    });

    it('keeps the Vary of CORS', async () => {
      const service = await startCensus({
        adapter,
        service: { configure: (app) => app.enableCors({ origin: ['https://a.example'] }) },
      });
      const headers = { Origin: 'https://a.example' };
      const accepted = await send({ headers }, service);
      const refused = await send({ headers, send: () => ({}) }, service);
      await service.close();
      for (const answer of [accepted, refused]) {
        expect(answer.headers.vary?.split(/\s*,\s*/).toSorted()).toEqual(['JWT', 'Origin']);
      }
    });
  });

  it('RB-02 HEAD with the token of a GET, which both frameworks route to it', async () => {
    expectAccepted(await send({ method: 'HEAD', madeFor: { method: 'HEAD' } }));
    const answer = await send({ method: 'HEAD', madeFor: { method: 'GET' } });
    expectVerdict(answer, { status: 401 });
    expect(answer.text).toBe('');
    expect(answer.headers['www-authenticate']).toContain('error="request_mismatch"');
  });

  it('CL-21 hands out claims that nobody can change', async () => {
    for (let time = 0; time < 2; time++) {
      const answer = await send({ target: '/api/thing/greedy' });
      expectAccepted(answer);
      expect(answer.json).toEqual({ admin: 'none', inherited: false });
    }
  });

  it('HL-01 a list of headers that Node may have cut off', async () => {
    const padding = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, 'a']));
    expectAccepted(await send({ headers: padding(900) }));
    const answer = await send({ headers: padding(998) });
    expect(answer.status).toBe(431);
    // From 22.23 and 24.21 on Node answers by itself, without a body.
    if (answer.text !== '') expectRefused(answer, { code: 'headers_unverifiable' });
    provoked.add('headers_unverifiable');
  });

  it('provokes every code of the table', () => {
    // A body that was consumed needs a server of the application's own: see below. Messages: test/nest/messages.
    const all = (Object.keys(REFUSALS) as RefusalCode[]).filter(
      (code) => code !== 'body_consumed' && !REFUSALS[code].isOfMessages,
    );
    expect(all.filter((code) => !provoked.has(code))).toEqual([]);
  });

  it('HP-17, CL-14 writes each refusal to one line of the log', () => {
    const logged = logs.entries.slice(loggedAtStart).map(({ text }) => text);
    expect(logged.length).toBeGreaterThan(100);
    expect(logged.filter((text) => /\p{Cc}/u.test(text))).toEqual([]);
  });

  it('TF-18 logs nothing that was secret', () => {
    const logged = logs.entries.slice(loggedAtStart).filter(({ level }) => level === 'debug');
    expect(logged.length).toBeGreaterThan(100);
    // Who is trusted stands in the configuration: that is no secret, and the lines name them.
    const { originators, trustedIssuers } = provingTrust;
    const trusted = [...originators, ...trustedIssuers].map(({ issuer }) => issuer);
    const isTrusted = (text: string) => trusted.some((issuer) => issuer.includes(text.trim()));
    const isNamed = (text: string) => [...namedInLog].some((name) => name.includes(text));
    const secrets = [...secretsSent].filter((text) => !isTrusted(text) && !isNamed(text));
    expect(secrets.length).toBeGreaterThan(1000);
    expectNoSecrets(logged.map(({ text }) => text).join('\n'), secrets);
  });
});

it('BB-04 a body that was consumed before the library could see it: body_consumed', async () => {
  let eats = false;
  const service = await startCensusBehind((request, handOn) => {
    if (eats) request.on('end', handOn).resume();
    else handOn();
  });
  try {
    const attempt = withParts(BASELINE, POSTED);
    expectAccepted(await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS))));
    eats = true;
    const answer = await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
    expectRefused(answer, { code: 'body_consumed', status: 415 });
  } finally {
    await service.close();
  }
});
