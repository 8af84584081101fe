import { createHook } from 'node:async_hooks';
import type { IncomingMessage, Server } from 'node:http';
import { HttpService } from '@nestjs/axios';
import { Body, Controller, HttpCode, Inject, Post, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { firstValueFrom } from 'rxjs';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import {
  ALICE,
  DOMAIN,
  edge,
  grantFor,
  headersFor,
  HERALD,
  originators,
  USERS,
} from './granting-edge.js';

const HOPS = 5;
const MOST_CHARACTERS = 1300;
/** Names of one length, so that only what grows on the way differs. */
const nameOf = (hop: number) => `https://hop-${hop}.service/`;
const keys = Array.from({ length: HOPS + 1 }, () => createKey());
const publicPemOf = (hop: number) => keys[hop]?.publicPem ?? '';
const privatePemOf = (hop: number) => keys[hop]?.privatePem ?? '';

@Controller('things')
@UseGuards(ServiceJwtGuard)
class HopController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject('NEXT') private readonly next: string | undefined,
  ) {}

  @Post()
  @HttpCode(200)
  async forward(@ServiceCaller() caller: ServiceIdentity, @Body() body: object): Promise<unknown> {
    const { subject, grant } = caller;
    if (this.next === undefined) return [{ subject, transaction: grant?.transaction }];
    const sending = this.http.post<object[]>(`${this.next}/things`, body, onBehalfOf(caller));
    const { data } = await firstValueFrom(sending);
    return [{ subject, transaction: grant?.transaction }, ...data];
  }
}

/** The characters of the two fields that the library adds: name, colon, value, and the end of the line. */
function charactersOf({ rawHeaders }: IncomingMessage): number {
  return ['jwt', 'txn-token'].reduce((sum, name) => {
    const at = rawHeaders.findIndex((given) => given.toLowerCase() === name);
    return sum + `${name}: ${rawHeaders[at + 1]}\r\n`.length;
  }, 0);
}

describe.each(ADAPTERS)('on %s, a chain of five services that all require a proof', (adapter) => {
  const hops: TestService[] = [];
  const characters: number[] = [];
  let first: TestService;

  async function startHop(hop: number, next: string | undefined): Promise<TestService> {
    const service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: nameOf(hop),
          signingKey: { privateKey: privatePemOf(hop) },
          targets: [{ baseUrl: next ?? 'http://127.0.0.1:9', audience: nameOf(hop + 1) }],
          trustDomain: DOMAIN,
          originate: hop === 0 ? { subjects: [USERS] } : undefined,
          originators: [{ issuer: nameOf(0), publicKey: publicPemOf(0), subjects: [USERS] }],
          trustedIssuers: [
            {
              issuer: nameOf(Math.max(0, hop - 1)),
              publicKey: publicPemOf(Math.max(0, hop - 1)),
              subjectProof: { mode: 'required', withoutSubject: 'refused' },
            },
          ],
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [HopController],
      providers: [{ provide: 'NEXT', useValue: next }],
    });
    const server = service.app.getHttpServer() as Server;
    server.prependListener('request', (request: IncomingMessage) => {
      characters[hop] = charactersOf(request);
    });
    return service;
  }

  beforeAll(async () => {
    for (let hop = HOPS; hop > 0; hop--) hops.unshift(await startHop(hop, hops[0]?.url));
    first = await startHop(0, hops[0]?.url);
  });
  afterAll(async () => {
    for (const service of [first, ...hops]) await service.close();
  });

  it('has as many characters of headers at the fifth hop as at the first, and at most 1,300', async () => {
    const http = first.app.get(HttpService);
    const send = async () =>
      await firstValueFrom(http.post<object[]>(`${hops[0]?.url}/things`, { amount: 100 }));
    const { data } = await first.app
      .get(ServiceCallContext)
      .runOnBehalfOf(ALICE, send, { originate: true });
    expect(data).toHaveLength(HOPS);
    const [{ transaction } = { transaction: undefined }] = data as { transaction?: string }[];
    expect(transaction).toMatch(/./);
    expect(data).toEqual(Array(HOPS).fill({ subject: ALICE, transaction }));
    const counted = characters.slice(1);
    expect(new Set(counted).size).toBe(1);
    expect(counted[0]).toBeLessThanOrEqual(MOST_CHARACTERS);
    // With a grant and its hash: without them it is half.
    expect(counted[0]).toBeGreaterThan(1000);
  });
});

@Controller()
@UseGuards(ServiceJwtGuard)
class SubjectController {
  constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

  @Post('here')
  @HttpCode(200)
  here(@ServiceSubject() subject: string) {
    return { subject };
  }

  /** Calls another service twenty times at once. */
  @Post('out')
  @HttpCode(200)
  async out(@ServiceCaller() caller: ServiceIdentity, @Body() { url }: { url: string }) {
    const options = onBehalfOf(caller, { method: 'POST' });
    const sending = Array.from({ length: FAN_OUT }, async () => await this.fetch(url, options));
    const answers = await Promise.all(sending);
    return { statuses: answers.map(({ status }) => status) };
  }
}

const FAN_OUT = 20;
const heraldKey = createKey();

describe.each(ADAPTERS)('on %s, a fan-out of 20 calls', (adapter) => {
  let signatures = 0;
  let elsewhere = 0;
  const ids = new Set<number>();
  /** Node tells of each signature that is made or verified, and of its way back from another thread. */
  const hook = createHook({
    init: (id, type) => {
      if (type !== 'SIGNREQUEST') return;
      signatures++;
      ids.add(id);
    },
    before: (id) => {
      if (ids.has(id)) elsewhere++;
    },
  });
  const subjectProof = { mode: 'required', withoutSubject: 'refused' } as const;
  const start = async (options: object, on: Adapter = adapter) =>
    await startService({
      adapter: on,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustDomain: DOMAIN,
          originators,
          targets: [{ baseUrl: 'http://127.0.0.1:9' }],
          trustedIssuers: [{ ...edge.trusted, subjectProof }],
          ...options,
        }),
        ServiceFetchModule,
      ],
      controllers: [SubjectController],
    });
  /** How many signatures are made or verified while these requests are served. */
  const countFor = async (port: number, grants: readonly string[]) => {
    const request = { method: 'POST', target: '/here', subject: ALICE };
    const calls = grants.map((grant) => ({ ...request, headers: headersFor(request, grant) }));
    signatures = 0;
    elsewhere = 0;
    hook.enable();
    const answers = await Promise.all(calls.map(async (each) => await call(port, each)));
    hook.disable();
    expect(answers.map(({ status }) => status)).toEqual(grants.map(() => 200));
    return signatures;
  };

  it('verifies its one grant once, and another fan-out not at all', async () => {
    const herald = await start({});
    try {
      const grant = grantFor(ALICE);
      const same = Array.from({ length: FAN_OUT }, () => grant);
      expect(await countFor(herald.port, same)).toBe(FAN_OUT + 1);
      expect(await countFor(herald.port, same)).toBe(FAN_OUT);
      const others = Array.from({ length: FAN_OUT }, () => grantFor(ALICE));
      expect(await countFor(herald.port, others)).toBe(2 * FAN_OUT);
    } finally {
      await herald.close();
    }
  });

  it('of a service that hands the grant on does so too', async () => {
    const census = await start({
      issuer: 'https://census.service/',
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem, subjectProof }],
    });
    const herald = await start({
      targets: [{ baseUrl: census.url, audience: 'https://census.service/' }],
    });
    try {
      const body = JSON.stringify({ url: `${census.url}/here` });
      const contentType = 'application/json';
      const request = { method: 'POST', target: '/out', subject: ALICE, body, contentType };
      const headers = headersFor(request, grantFor(ALICE));
      signatures = 0;
      hook.enable();
      const answer = await call(herald.port, { method: 'POST', target: '/out', headers, body });
      hook.disable();
      expect(answer.json).toEqual({ statuses: Array(FAN_OUT).fill(200) });
      // Herald verifies a token and a grant and signs twenty tokens; census verifies those, and the grant once.
      expect(signatures).toBe(2 + FAN_OUT + FAN_OUT + 1);
    } finally {
      await herald.close();
      await census.close();
    }
  });

  it('or one call that comes alone: no signature of it is left to another thread', async () => {
    const herald = await start({});
    try {
      expect(await countFor(herald.port, [grantFor(ALICE)])).toBe(2);
      expect(elsewhere).toBe(0);
    } finally {
      await herald.close();
    }
  });
});
