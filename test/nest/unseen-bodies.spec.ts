import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Controller, Get, type INestApplication, Post, Req, UseGuards } from '@nestjs/common';
import fc from 'fast-check';
import {
  MaxBodyBytes,
  OptionalServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { sha256 } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createInbox, type Inbox } from '../support/services/inbox.js';
import {
  acceptEverything,
  createLast,
  rawRequest,
  useFirst,
} from '../support/services/middleware.js';
import {
  listenerOf,
  type Manners,
  remade,
  startHost,
  untilBuffered,
} from '../support/services/odd-hosts.js';
import { itHolds } from '../support/properties/property.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import {
  bodyHeaders,
  type BodyRequest,
  bodyToken,
  sendBody,
} from '../support/tokens/signed-body.js';

/** Whether a request has a body is told by its stream alone, on whatever stands around the application. */

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);
const KIB = 1024;

const json = (text: string): BodyRequest => ({
  method: 'POST',
  contentType: 'application/json',
  body: Buffer.from(text),
});
const bytes = (length: number): BodyRequest => ({
  method: 'POST',
  contentType: 'application/octet-stream',
  body: Buffer.alloc(length, 'a'),
});
const BODIES: [string, BodyRequest][] = [
  ['JSON', json('{"name":"Ada"}')],
  ['a form', { ...json('name=Ada'), contentType: 'application/x-www-form-urlencoded' }],
  ['text', { ...json('Ada'), contentType: 'text/plain' }],
  ['bytes', bytes(9)],
  ['bytes that go to a file', bytes(300 * KIB)],
];

let requests = 0;
const nextTarget = (path = '/guarded'): string => `${path}?unseen=${requests++}`;

@Controller()
@UseGuards(ServiceJwtGuard)
class OddController {
  @Get('anonymous')
  @OptionalServiceAuth()
  anonymous(@ServiceSubject({ optional: true }) subject?: string) {
    return { subject: subject ?? 'nobody' };
  }

  @Post('forward')
  @MaxBodyBytes(400 * KIB)
  async forward(@Req() request: object) {
    const raw = rawRequest(request);
    const before = { didRead: raw.readableDidRead, disturbed: Readable.isDisturbed(raw) };
    const url = String(raw.headers['x-forward-to']);
    const answer = await fetch(url, { method: 'POST', body: raw, duplex: 'half' } as never);
    return { ...before, digest: await answer.text() };
  }

  @Post('large')
  @MaxBodyBytes(400 * KIB)
  async large(@Req() request: object) {
    return { digest: sha256(await buffer(rawRequest(request))) };
  }

  /** Never asks for more, as multer does not: the stream has to flow by itself. */
  @Post('flowing')
  @MaxBodyBytes(400 * KIB)
  async flowing(@Req() request: object) {
    const raw = rawRequest(request);
    const chunks: Buffer[] = [];
    raw.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(raw, 'end');
    return { digest: sha256(Buffer.concat(chunks)) };
  }
}

interface Started extends TestService {
  readonly inbox: Inbox;
  readonly serve: RequestListener;
}

async function start(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions> = {},
  last?: ReturnType<typeof createLast>,
  configure: (app: INestApplication) => unknown = () => undefined,
): Promise<Started> {
  const inbox = createInbox(adapter);
  const service = await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [herald.trusted],
        maxBufferedBodyBytes: 256 * KIB,
        ...options,
      }),
      ...(last?.imports ?? []),
    ],
    controllers: [...inbox.controllers, OddController],
    configure: (app) => {
      if (adapter === 'fastify') acceptEverything(app);
      last?.configure(app);
      configure(app);
    },
  });
  return { ...service, inbox, serve: listenerOf(service.app, adapter) };
}

/** The honest request passes; one with another body, and one with a token for none, are refused. */
async function expectBinds(port: number, inbox: Inbox, sent: BodyRequest, path = '/guarded') {
  const target = nextTarget(path);
  const none = bodyToken(herald, target, sent, { bdy: undefined });
  expect(await sendBody(port, target, sent, none)).toMatchObject({
    status: 401,
    code: 'claim_missing',
  });
  const token = bodyToken(herald, target, sent);
  const changed = { ...sent, body: Buffer.concat([sent.body, Buffer.from(' ')]) };
  expect(await sendBody(port, target, changed, token)).toMatchObject({
    status: 401,
    code: 'body_mismatch',
  });
  expect(inbox.take(target)).toBeUndefined();
  const answer = await sendBody(port, target, sent, token);
  expect(answer).toMatchObject({ code: undefined });
  expect(answer.status).toBeLessThan(300);
}

const FRAMING = ['content-length', 'transfer-encoding', 'content-type'] as const;
const VALUES = ['0', '', '14', '00', 'chunked', 'identity', 'gzip, chunked', 'x'] as const;
const STAGES = ['server', 'first', 'last'] as const;

/** One change of a framing header, by whom, in which of the two lists that Node gives. */
interface Meddling {
  readonly stage: (typeof STAGES)[number];
  readonly name: (typeof FRAMING)[number];
  readonly value: (typeof VALUES)[number] | undefined;
  readonly inRawHeaders: boolean;
}

function meddle(raw: IncomingMessage, stage: Meddling['stage']): void {
  const asked = JSON.parse(String(raw.headers['x-meddle'] ?? '[]')) as Meddling[];
  for (const { name, value, inRawHeaders } of asked.filter((one) => one.stage === stage)) {
    if (value === undefined) delete raw.headers[name];
    else raw.headers[name] = value;
    if (!inRawHeaders) continue;
    const at = raw.rawHeaders.findIndex((text) => text.toLowerCase() === name);
    if (at >= 0) raw.rawHeaders.splice(at, 2);
    if (value !== undefined) raw.rawHeaders.push(name, value);
  }
}

describe.each(ADAPTERS)('where framing headers are changed on the way in, on %s', (adapter) => {
  let service: Started;
  beforeAll(async () => {
    const last = createLast(adapter, (request, _response, next) => {
      meddle(rawRequest(request), 'last');
      next();
    });
    service = await start(adapter, {}, last, (app) => {
      useFirst(adapter, app, (request, _response, next) => {
        meddle(rawRequest(request), 'first');
        next();
      });
      const server = app.getHttpServer() as Server;
      server.on('request', (raw) => meddle(raw, 'server'));
    });
  });
  afterAll(() => service.close());

  const meddlings = fc.array(
    fc.record({
      stage: fc.constantFrom(...STAGES),
      name: fc.constantFrom(...FRAMING),
      value: fc.constantFrom(undefined, undefined, ...VALUES),
      inRawHeaders: fc.boolean(),
    }),
    { maxLength: 4 },
  );
  const requestsWithBytes = fc.record({
    method: fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'OPTIONS'),
    contentType: fc.constantFrom(
      undefined,
      'application/json',
      'text/plain',
      'application/octet-stream',
    ),
    body: fc
      .constantFrom('{}', '"x"', 'x', ' ', 'x'.repeat(70_000))
      .map((text) => Buffer.from(text)),
    pieces: fc.constantFrom(undefined, 1, 3),
  });

  itHolds(
    'BB-31 a body never passes under a token for none',
    [requestsWithBytes, meddlings],
    async (sent, asked) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent, { bdy: undefined });
      const headers = { 'x-meddle': JSON.stringify(asked) };
      const { status } = await sendBody(service.port, target, { ...sent, headers }, token);
      expect(service.inbox.take(target)).toBeUndefined();
      expect(status).toBeGreaterThanOrEqual(400);
    },
  );

  it.each(BODIES.slice(0, 4))('BB-31 %s passes with its own token', async (_title, sent) => {
    await expectBinds(service.port, service.inbox, sent);
  });

  it.each(['GET', 'DELETE', 'POST', 'PUT'])('BB-31 a %s without a body passes', async (method) => {
    const target = nextTarget();
    const empty: BodyRequest = { method, body: Buffer.alloc(0) };
    const token = bodyToken(herald, target, empty);
    expect(await sendBody(service.port, target, empty, token)).toMatchObject({ status: 200 });
  });
});

const ALL_MANNERS: Manners = {
  withoutRawHeaders: true,
  pushesAgain: true,
  plainSocket: true,
  numericLength: true,
};

describe.each(ADAPTERS)('on a host that is no plain Node server, on %s', (adapter) => {
  let service: Started;
  beforeAll(async () => {
    service = await start(adapter);
  });
  afterAll(() => service.close());

  async function withHost(
    serve: (raw: IncomingMessage, response: ServerResponse) => unknown,
    use: (port: number) => Promise<void>,
  ): Promise<void> {
    const host = await startHost((raw, response) => void serve(raw, response));
    try {
      await use(host.port);
    } finally {
      await host.close();
    }
  }

  it.each(BODIES.slice(0, 4))(
    'BB-32 %s that lies in the buffer before anybody watches',
    async (_title, sent) => {
      await withHost(
        async (raw, response) => {
          await untilBuffered(raw, sent.body.length);
          service.serve(raw, response);
        },
        async (port) => {
          await expectBinds(port, service.inbox, sent);
          await expectBinds(port, service.inbox, { ...sent, pieces: 2 });
        },
      );
    },
  );

  it('BB-32 a part of a body lies in the buffer, the rest comes later', async () => {
    const sent = { ...bytes(200 * KIB), pieces: 8 };
    await withHost(
      async (raw, response) => {
        await untilBuffered(raw, 1);
        service.serve(raw, response);
      },
      async (port) => await expectBinds(port, service.inbox, sent),
    );
  });

  it('BB-32 a route without a guard leaves the connection in use for the next request', async () => {
    await withHost(
      async (raw, response) => {
        await untilBuffered(raw, 1);
        service.serve(raw, response);
      },
      async (port) => {
        for (let time = 0; time < 2; time++) {
          const sent = bytes(200 * KIB);
          const target = nextTarget('/nowhere');
          const token = bodyToken(herald, target, sent);
          expect(await sendBody(port, target, sent, token)).toMatchObject({ status: 404 });
        }
      },
    );
  });

  const MANNERS: [string, Manners][] = [
    ['gives headers alone', { withoutRawHeaders: true }],
    ['pushes the body whenever it is asked', { pushesAgain: true }],
    ['has no socket', { plainSocket: true }],
    ['gives the length as a number', { numericLength: true }],
    ['pushes the end a turn late', { lateEnd: true }],
    ['does all of that', ALL_MANNERS],
  ];

  describe.each(MANNERS)('that %s', (_host, manners) => {
    const serve = async (raw: IncomingMessage, response: ServerResponse): Promise<void> =>
      service.serve(await remade(raw, manners), response);

    it.each(BODIES.slice(0, 4))('BB-33, TF-26 %s', async (_title, sent) => {
      await withHost(serve, async (port) => await expectBinds(port, service.inbox, sent));
    });

    it.each(['/large', '/flowing'])('BB-33 an upload that goes to a file, at %s', async (path) => {
      await withHost(
        serve,
        async (port) => await expectBinds(port, service.inbox, bytes(300 * KIB), path),
      );
    });

    it('TF-26 a request without a body', async () => {
      await withHost(serve, async (port) => {
        const target = nextTarget();
        const answer = await herald.get(port, target, USER);
        expect(answer.status).toBe(200);
        expect(await herald.get(port, nextTarget('/anonymous'), USER)).toMatchObject({
          json: { subject: USER },
        });
      });
    });

    it.each([
      ['garbage', { jwt: 'garbage' }, 401, 'token_malformed'],
      ['two tokens in one', { jwt: 'a.b.c, a.b.c' }, 401, 'token_repeated'],
      ['no token', {}, 200, undefined],
    ])(
      'TF-26 a route that admits anonymous callers, with %s',
      async (_t, headers, status, code) => {
        await withHost(serve, async (port) => {
          const answer = await call(port, { target: nextTarget('/anonymous'), headers });
          expect(answer).toMatchObject({ status, code });
        });
      },
    );
  });

  it('BB-31 a length of 0 on a body that the host brings along', async () => {
    const sent = bytes(9);
    let hides = false;
    await withHost(
      async (raw, response) => {
        const made = await remade(raw, {}, ({ headers }) => {
          if (hides) headers['content-length'] = '0';
        });
        service.serve(made, response);
      },
      async (port) => {
        const target = nextTarget();
        await expectBinds(port, service.inbox, sent);
        hides = true;
        const token = bodyToken(herald, target, sent, { bdy: undefined });
        expect(await sendBody(port, target, sent, token)).toMatchObject({ code: 'claim_missing' });
      },
    );
  });

  it.each([
    ['names the token', { jwt: 'garbage' }, 401, 'token_missing'],
    ['names none', {}, 200, undefined],
  ])('TF-26 a host whose other list of headers %s', async (_title, headers, status, code) => {
    await withHost(
      async (raw, response) => {
        const made = await remade(raw, {});
        made.rawHeaders = ['host', 'census.service'];
        service.serve(made, response);
      },
      async (port) => {
        const answer = await call(port, { target: nextTarget('/anonymous'), headers });
        expect(answer).toMatchObject({ status, code });
      },
    );
  });

  it('BB-33 a host whose stream never ends is refused, and not waited for', async () => {
    await withHost(
      async (raw, response) => {
        const made = await remade(raw, {});
        made._read = () => undefined;
        service.serve(made, response);
      },
      async (port) => {
        const answer = await herald.get(port, nextTarget());
        expect(answer).toMatchObject({ status: 415, code: 'body_unverifiable' });
      },
    );
  });
});

describe.each(ADAPTERS)('BB-34 where the platform has read the body, on %s', (adapter) => {
  type Kept = IncomingMessage & { rawBody?: unknown; body?: unknown };
  const services = new Map<string, Started>();
  const OPTIONS: [string, Partial<ServiceAuthModuleOptions>][] = [
    ['given', { rawBody: (request) => (request as Kept).rawBody as Uint8Array | undefined }],
    ['missing', {}],
  ];
  beforeAll(async () => {
    for (const [name, options] of OPTIONS) services.set(name, await start(adapter, options));
  });
  afterAll(async () => {
    for (const service of services.values()) await service.close();
  });

  const sent = bytes(200);

  async function answerOf(
    option: string,
    keep: (body: Buffer) => unknown,
    claims = {},
    request = sent,
  ) {
    const service = services.get(option);
    if (!service) throw new Error(`no service with the option ${option}`);
    const host = await startHost((raw: Kept, response) => {
      void buffer(raw).then((body) => {
        raw.rawBody = keep(body);
        service.serve(raw, response);
      });
    });
    try {
      const target = nextTarget();
      const token = bodyToken(herald, target, request, claims);
      return await sendBody(host.port, target, request, token);
    } finally {
      await host.close();
    }
  }

  const same = (body: Buffer): Buffer => body;

  it.each([
    ['its bytes pass', 'given', same, {}, 200, undefined],
    ['without the option they are refused', 'missing', same, {}, 415, 'body_consumed'],
    [
      'without the option, under a token for none',
      'missing',
      same,
      { bdy: undefined },
      415,
      'body_consumed',
    ],
    ['nothing was kept', 'given', () => undefined, {}, 415, 'body_consumed'],
    [
      'nothing was kept, under a token for none',
      'given',
      () => undefined,
      { bdy: undefined },
      415,
      'body_consumed',
    ],
    [
      'other bytes were kept',
      'given',
      (body: Buffer) => body.subarray(1),
      {},
      401,
      'body_mismatch',
    ],
    ['under a token for none', 'given', same, { bdy: undefined }, 401, 'claim_missing'],
    ['text was kept', 'given', (body: Buffer) => body.toString(), {}, 500, undefined],
    ['a parsed body was kept', 'given', () => ({ name: 'Ada' }), {}, 500, undefined],
  ])('%s', async (_title, option, keep, claims, status, code) => {
    expect(await answerOf(option, keep, claims)).toMatchObject({ status, code });
  });

  it.each(['given', 'missing'])('an empty body needs nothing kept (option %s)', async (option) => {
    const empty: BodyRequest = { method: 'GET', body: Buffer.alloc(0) };
    const forNone = { headers: {} };
    const request = { ...empty, ...forNone };
    expect(await answerOf(option, () => undefined, {}, request)).toMatchObject({ status: 200 });
  });

  it('is asked only when the stream was read before', async () => {
    const asked: string[] = [];
    const service = await start(adapter, {
      rawBody: (request) => {
        asked.push(request.url ?? '');
        return Buffer.alloc(0);
      },
    });
    try {
      for (const [, one] of BODIES.slice(0, 4)) await expectBinds(service.port, service.inbox, one);
      expect(asked).toEqual([]);
    } finally {
      await service.close();
    }
  });
});

describe.each(ADAPTERS)('BB-35 a verified stream as the body of a fetch, on %s', (adapter) => {
  let service: Started;
  beforeAll(async () => {
    service = await start(adapter);
  });
  afterAll(() => service.close());

  it.each([
    ['from memory', bytes(100 * KIB)],
    ['from a file', bytes(300 * KIB)],
    ['of one byte', bytes(1)],
  ])('passes %s', async (_title, sent) => {
    const upstream = await startHost((raw, response) => {
      void buffer(raw).then((body) => response.end(sha256(body)));
    });
    try {
      const target = nextTarget('/forward');
      const forward = { 'x-forward-to': `http://127.0.0.1:${upstream.port}/` };
      const answer = await call(service.port, {
        method: 'POST',
        target,
        body: sent.body,
        headers: {
          ...bodyHeaders({ ...sent, headers: forward }),
          jwt: bodyToken(herald, target, sent),
        },
      });
      expect(answer.json).toEqual({
        didRead: false,
        disturbed: false,
        digest: sha256(sent.body),
      });
    } finally {
      await upstream.close();
    }
  });
});
