import type { Server } from 'node:http';
import {
  Body,
  Controller,
  Get,
  Headers as RequestHeader,
  HttpCode,
  Inject,
  Post,
  UseGuards,
} from '@nestjs/common';
import { OptionalServiceAuth, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { hasToken } from '../../lib/nest/http/header-list.js';
import { decodeClaims, strictToken } from '../support/tokens/forge.js';
import { rawCall } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { expectVerdict, rawVerdict } from '../support/http/verdict.js';

// Node keeps a part of a header list that is longer than its server's limit, while its parser obeys all of it.
// `node scripts/test-header-lists.mjs` runs the whole matrix, on several versions of Node and over HTTP/2.

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const SCRIBE = 'https://scribe.service/';
const USER = `${CENSUS}user/21/`;
const BODY = '{"amount":100}';
const JSON_TYPE = 'application/json';
const heraldKey = createKey();
const censusKey = createKey();

@Controller()
@UseGuards(ServiceJwtGuard)
class ThingController {
  constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

  @Post('thing')
  @HttpCode(200)
  create(@Body() body: unknown, @RequestHeader('content-type') type: unknown) {
    return { body, type };
  }

  @Get('thing')
  find(@RequestHeader('x-order') order: unknown) {
    return { order };
  }

  /** For whom this service calls another one. */
  @Get('optional')
  @OptionalServiceAuth()
  async calledFor() {
    const response = await this.fetch(SCRIBE);
    return { calledFor: await response.text() };
  }
}

/** Answers for whom a call was signed, instead of sending it. */
async function answerSubject(_url: unknown, { headers }: RequestInit): Promise<Response> {
  const { sub } = decodeClaims(new Headers(headers).get('jwt') ?? '');
  return await Promise.resolve(new Response(typeof sub === 'string' ? sub : 'itself'));
}

/** @param maxHeadersCount undefined: Node's own limit, 1,000 */
async function start(adapter: Adapter, maxHeadersCount?: number): Promise<TestService> {
  return await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        signingKey: { privateKey: censusKey.privatePem },
        targets: [{ baseUrl: SCRIBE }],
        subjectOutsideRequest: 'act-as-itself',
        subjectPropagation: 'ambient',
        requiredHeaders: ['x-order'],
        trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
      }),
      ServiceFetchModule.register({ fetch: answerSubject }),
    ],
    controllers: [ThingController],
    configure: (app) => {
      if (maxHeadersCount === undefined) return;
      (app.getHttpServer() as Server).maxHeadersCount = maxHeadersCount;
    },
  });
}

interface Scenario {
  readonly title: string;
  readonly method?: 'POST';
  readonly target?: string;
  /** What is behind the padding. */
  readonly last: (token: string) => string[];
  /** What is in front of it. */
  readonly first: (token: string) => string[];
  /** The body that is signed, where there is one on the wire. */
  readonly signed?: string;
  /** What the handler has to see. */
  readonly sees: object;
}

const jwt = (token: string) => [`JWT: ${token}`];
const order = 'X-Order: 1';
const type = `Content-Type: ${JSON_TYPE}`;
const length = `Content-Length: ${BODY.length}`;
const chunked = 'Transfer-Encoding: chunked';
const posted = {
  method: 'POST',
  sees: { body: JSON.parse(BODY) as unknown, type: JSON_TYPE },
} as const;
const withLength = {
  ...posted,
  first: (token: string) => [...jwt(token), order, type],
  last: () => [length],
};
const withChunks = { ...withLength, last: () => [chunked] };

/** Honest requests: accepted if the whole list was seen. */
const SIGNED: readonly Scenario[] = [
  { ...withLength, title: 'HL-01 Content-Length', signed: BODY },
  { ...withChunks, title: 'HL-02 Transfer-Encoding', signed: BODY },
  {
    ...posted,
    title: 'HL-03 Content-Type',
    first: (token) => [...jwt(token), order, length],
    last: () => [type],
    signed: BODY,
  },
  { title: 'HL-04 a bound header', first: jwt, last: () => [order], sees: { order: '1' } },
  { title: 'HL-05 JWT', first: () => [order], last: jwt, sees: { order: '1' } },
  {
    title: 'HL-06 JWT, to an optional route',
    target: '/optional',
    first: () => [order],
    last: jwt,
    sees: { calledFor: USER },
  },
];

/** The first two with a token for no body: accepted never. */
const SMUGGLED: readonly Scenario[] = [
  { ...withLength, title: 'HL-01 Content-Length', signed: '' },
  { ...withChunks, title: 'HL-02 Transfer-Encoding', signed: '' },
];

/** Sends a request whose header list has so many pairs. */
async function send({ port }: TestService, scenario: Scenario, pairs: number): Promise<string> {
  const { method = 'GET', target = '/thing', signed } = scenario;
  const token = strictToken({
    key: heraldKey,
    issuer: HERALD,
    audience: CENSUS,
    subject: USER,
    method,
    target,
    body: signed,
    claims: {
      hdr: { 'x-order': '1', ...(signed === undefined ? {} : { 'content-type': JSON_TYPE }) },
    },
  });
  const first = ['Host: census', 'Connection: close', ...scenario.first(token)];
  const last = scenario.last(token);
  const padding = Array.from({ length: pairs - first.length - last.length }, () => 'a:');
  const head = [`${method} ${target} HTTP/1.1`, ...first, ...padding, ...last].join('\r\n');
  const isChunked = last.includes(chunked);
  const chunks = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
  const content = signed === undefined ? '' : isChunked ? chunks : BODY;
  return await rawCall(port, `${head}\r\n\r\n${content}`);
}

/** By this library, or by Node: later releases (24.22 and 26.12 do) answer 431 before the application. */
function expectCut(answer: string, { title }: Scenario, adapter: Adapter): void {
  const verdict = rawVerdict(answer);
  // Fastify sees a body without a type, and answers before a guard runs.
  if (adapter === 'fastify' && title.includes('Content-Type') && verdict.status === 415) return;
  const code = verdict.code === undefined ? undefined : 'headers_unverifiable';
  expectVerdict(verdict, { status: 431, code });
}

function expectWhole(answer: string, { sees }: Scenario): void {
  expectVerdict(rawVerdict(answer), { status: 200 });
  expect(JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? '')).toEqual(sees);
}

/**
 * Around a limit: 32 pairs at a time are handed over by Node's parser, so that after 1,000 it keeps up to 1,023, and a list
 * that is cut at 64 is as long as one that is not.
 */
const LIMITS: readonly [limit: number, maxHeadersCount: number | undefined, tooMany: number[]][] = [
  [1000, undefined, [1001, 1015, 1023, 1024, 1025, 1100, 1200]],
  [2000, 2000, [2001, 2015, 2016, 2017, 2100]],
  [50, 50, [51, 63, 64, 65, 97, 1200]],
  [64, 64, [65, 95, 96, 97, 1200]],
];

describe.each(ADAPTERS)('on %s', (adapter: Adapter) => {
  describe.each(LIMITS)('with at most %i headers', (limit, maxHeadersCount, tooMany) => {
    let census: TestService;
    beforeAll(async () => void (census = await start(adapter, maxHeadersCount)));
    afterAll(async () => await census.close());

    const cut = (scenarios: readonly Scenario[]) =>
      scenarios.flatMap((scenario) => tooMany.map((pairs) => ({ ...scenario, scenario, pairs })));
    const within = [limit - 1, limit - 10, 20];

    it.each(cut(SIGNED))('$title after too many others, $pairs pairs', async (row) => {
      expectCut(await send(census, row.scenario, row.pairs), row.scenario, adapter);
    });

    it.each(cut(SMUGGLED))('$title with a token for no body, $pairs pairs', async (row) => {
      expectCut(await send(census, row.scenario, row.pairs), row.scenario, adapter);
    });

    it.each(SIGNED)('$title is seen in a whole list', async (scenario) => {
      for (const pairs of within) expectWhole(await send(census, scenario, pairs), scenario);
    });

    it.each(SMUGGLED)('$title with a token for no body, in a whole list', async (scenario) => {
      for (const pairs of within) {
        const verdict = rawVerdict(await send(census, scenario, pairs));
        expectVerdict(verdict, { status: 401, code: 'claim_missing' });
      }
    });
  });

  describe('with any number of headers', () => {
    let census: TestService;
    beforeAll(async () => void (census = await start(adapter, 0)));
    afterAll(async () => await census.close());

    it.each(SIGNED)('$title is seen', async (scenario) => {
      for (const pairs of [999, 1000, 1024, 2000, 2500]) {
        expectWhole(await send(census, scenario, pairs), scenario);
      }
    });

    it.each(SMUGGLED)('$title with a token for no body', async (scenario) => {
      for (const pairs of [999, 1000, 1024, 2000, 2500]) {
        const verdict = rawVerdict(await send(census, scenario, pairs));
        expectVerdict(verdict, { status: 401, code: 'claim_missing' });
      }
    });
  });
});

describe('hasToken()', () => {
  it.each([
    ['a token', ['JWT', 'e30.e30.c2ln'], true],
    ['an empty header before a token', ['JWT', '', 'X', 'y', 'jwt', 'e30.e30.c2ln'], true],
    ['two empty headers', ['JWT', '', 'JWT', ''], true],
    ['one empty header', ['JWT', ''], false],
    ['no header', ['X', 'y'], false],
  ])('AI-14 with %s', (_name, rawHeaders, expected) => {
    expect(hasToken(rawHeaders)).toBe(expected);
  });
});
