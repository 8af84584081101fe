import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller, Post, UseGuards } from '@nestjs/common';
import { Ajv } from 'ajv';
import type { OpenAPIObject } from '@nestjs/swagger';
import {
  MaxBodyBytes,
  REFUSALS,
  type RefusalCode,
  ServiceAuthModule,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { createServiceAuthDocument } from 'nestjs-service-auth/openapi';
import { expectAccepted } from '../support/attacks/answers.js';
import {
  type AttackRow,
  type AttemptParts,
  tokenFor,
  toCall,
  withParts,
} from '../support/attacks/attempt.js';
import { BINDING } from '../support/attacks/binding.js';
import { CLAIMS } from '../support/attacks/claims.js';
import { GRANTS } from '../support/attacks/grants.js';
import { JOSE_HEADER } from '../support/attacks/jose-header.js';
import { NAMES } from '../support/attacks/names.js';
import { SIGNATURES } from '../support/attacks/signatures.js';
import { TIMES } from '../support/attacks/times.js';
import { TOKEN_SYNTAX } from '../support/attacks/token-syntax.js';
import { Caller } from '../support/services/caller.js';
import { BASELINE, NOW_SECONDS, POSTED, startCensus } from '../support/services/census.js';
import { type Answer, call, type Call } from '../support/http/http.js';
import {
  acceptEverything,
  type Middleware,
  rawRequest,
  useFirst,
} from '../support/services/middleware.js';
import { builderFor, operationAt, responseOf } from '../support/http/openapi.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const ATTACKS: readonly AttackRow[] = [
  ...TOKEN_SYNTAX,
  ...JOSE_HEADER,
  ...SIGNATURES,
  ...CLAIMS,
  ...TIMES,
  ...NAMES,
  ...BINDING,
  ...GRANTS,
];

const KIB = 1024;
const herald = new Caller('https://herald.service/', 'https://census.service/');

/** Takes the bytes of a body away from everybody who comes later. */
const decodeWhereAsked: Middleware = (request, _response, next) => {
  const raw = rawRequest(request);
  if (raw.headers['x-decode'] !== undefined) raw.setEncoding('utf8');
  next();
};

/** One attack for each code and status. */
function firstOfEach(adapter: Adapter): AttackRow[] {
  const here = ATTACKS.filter(({ only }) => only === undefined || only === adapter);
  const rows = new Map<string, AttackRow>();
  for (const row of here) {
    const key = `${row.code} ${row.status ?? ''}`;
    if (!rows.has(key)) rows.set(key, row);
  }
  return [...rows.values()];
}

async function send(service: TestService, parts: AttemptParts): Promise<Answer> {
  const attempt = withParts(BASELINE, parts);
  return await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
}

/** Everything that is described for a status: must hold for an answer with it. */
function expectDescribed(document: OpenAPIObject, answer: Answer): void {
  const operation = operationAt(document, '/api/thing', 'post');
  const described = responseOf(document, operation, answer.status);
  const { schema, examples } = described?.content?.['application/json'] ?? {};
  expect(answer.headers['content-type']).toMatch(/^application\/json\b/);

  const validate = new Ajv({ strict: false }).compile({
    ...schema,
    components: document.components,
  });
  validate(answer.json);
  expect(validate.errors ?? []).toEqual([]);
  for (const change of [{ code: 'unheard_of' }, { statusCode: 200 }, { error: undefined }]) {
    const changed: unknown = JSON.parse(JSON.stringify({ ...answer.json, ...change }));
    expect({ change, valid: validate(changed) }).toEqual({ change, valid: false });
  }

  expect(examples).toHaveProperty(String(answer.code), { value: answer.json });
  for (const name of ['WWW-Authenticate', 'Retry-After']) {
    const isDescribed = described?.headers?.[name] !== undefined;
    expect({ name, isDescribed }).toEqual({
      name,
      isDescribed: name.toLowerCase() in answer.headers,
    });
  }
}

describe.each(ADAPTERS)('the answers described on %s', (adapter) => {
  const seen = new Map<RefusalCode, Set<number>>();
  let census: TestService;
  let document: OpenAPIObject;
  beforeAll(async () => {
    census = await startCensus({ adapter });
    document = createServiceAuthDocument(census.app, builderFor().build());
  });
  afterAll(() => census.close());

  function expectAnswer(answer: Answer, code: RefusalCode, status: number): void {
    expect(answer).toMatchObject({ status, code });
    expectDescribed(document, answer);
    seen.set(code, (seen.get(code) ?? new Set()).add(status));
  }

  it.each(firstOfEach(adapter))('are those to $title: $code', async (row) => {
    const good = withParts(BASELINE, row.common);
    expectAccepted(await send(census, good));
    const { code, status = REFUSALS[code].status } = row;
    expectAnswer(await send(census, withParts(good, row.change)), code, status);
  });

  it('are those to a token that was used', async () => {
    const attempt = withParts(BASELINE);
    const request = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
    expectAccepted(await call(census.port, request));
    expectAnswer(await call(census.port, request), 'token_replayed', 401);
  });

  it('are those to a handler that runs outside of HTTP', async () => {
    expectAccepted(await send(census, { target: '/api/outcome/http' }));
    const answer = await send(census, { target: '/api/outcome/graphql' });
    expectAnswer(answer, 'context_unsupported', 403);
  });

  it.each([
    ['subject_unknown', 403, { userResolver: { resolveUser: () => null } }],
    [
      'replay_store_unavailable',
      503,
      { replayStore: { recordUse: async () => await Promise.reject(new Error('down')) } },
    ],
    [
      'key_unavailable',
      503,
      { trustedIssuers: [{ issuer: BASELINE.issuer, jwksUri: 'http://127.0.0.1:9/' }] },
    ],
  ] as const)('are those of a service that answers %s', async (code, status, options) => {
    expectAccepted(await send(census, POSTED));
    const other = await startCensus({ adapter, options: { ...options } });
    try {
      expectAnswer(await send(other, POSTED), code, status);
    } finally {
      await other.close();
    }
  });

  it('are those to bodies that cannot be had, whatever the reason', async () => {
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class UploadController {
      @Post('upload')
      @MaxBodyBytes(400 * KIB)
      upload() {
        return 'taken';
      }
    }
    const spoolDirectory = mkdtempSync(join(tmpdir(), 'openapi-spool-'));
    const service = await startService({
      adapter,
      controllers: [UploadController],
      imports: [
        ServiceAuthModule.forRoot({
          issuer: 'https://census.service/',
          trustedIssuers: [herald.trusted],
          maxBufferedBodyBytes: 64 * KIB,
          spoolDirectory,
        }),
      ],
      configure: (app) => {
        useFirst(adapter, app, decodeWhereAsked);
        if (adapter === 'fastify') acceptEverything(app);
      },
    });
    const upload = async (size: number, headers?: Call['headers']) =>
      await herald.send(service.port, {
        method: 'POST',
        target: '/upload',
        body: Buffer.alloc(size),
        contentType: 'application/octet-stream',
        headers,
      });
    try {
      expectAccepted(await upload(300 * KIB));
      expectAnswer(await upload(401 * KIB), 'body_unverifiable', 413);
      expectAnswer(await upload(300 * KIB, { 'x-decode': 'yes' }), 'body_consumed', 415);
      rmSync(spoolDirectory, { recursive: true });
      expectAnswer(await upload(300 * KIB), 'body_unverifiable', 503);
    } finally {
      await service.close();
    }
  });

  it('are those to a request with too many headers', async () => {
    const padding: Record<string, string> = {};
    for (let n = 0; n < 998; n++) padding[`x-${n}`] = 'a';
    const answer = await send(census, { headers: padding });
    expect(answer.status).toBe(431);
    // From 22.23 and 24.21 on Node answers by itself, without a body.
    if (answer.text !== '') expectAnswer(answer, 'headers_unverifiable', 431);
    else seen.set('headers_unverifiable', new Set([431]));
  });

  it('leave out no code, and no status of one', () => {
    // Without an MD5 in the process: see test/keys/missing-algorithms.spec.ts.
    seen.get('body_unverifiable')?.add(415);
    const operation = operationAt(document, '/api/thing', 'post');
    const described = [401, 403, 413, 415, 431, 503].flatMap((status) => {
      const { examples = {} } =
        responseOf(document, operation, status)?.content?.['application/json'] ?? {};
      return Object.keys(examples).map((code) => `${code} ${status}`);
    });
    const answered = [...seen].flatMap(([code, statuses]) =>
      [...statuses].map((status) => `${code} ${status}`),
    );
    expect(answered.toSorted()).toEqual(described.toSorted());
    const ofRequests = (Object.keys(REFUSALS) as RefusalCode[]).filter(
      (code) => !REFUSALS[code].isOfMessages,
    );
    expect(new Set(seen.keys())).toEqual(new Set(ofRequests));
  });
});
