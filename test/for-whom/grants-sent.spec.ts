import type { OutgoingHttpHeaders } from 'node:http';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Headers, Inject, Param, Query, UseGuards } from '@nestjs/common';
import {
  ServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  type ServiceUserResolver,
  type SubjectProofOptions,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { createSignedDispatcher } from 'nestjs-service-auth/undici';
import { defer, firstValueFrom, from } from 'rxjs';
import { Agent, type Dispatcher, interceptors } from 'undici';
import { RecordingServer } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  ALICE,
  ask,
  BOB,
  CENSUS,
  DOMAIN,
  edge,
  grantFor,
  hashOf,
  headersFor,
  HERALD,
  originators,
  saidBy,
} from './granting-edge.js';
import { call } from '../support/http/http.js';

const CLIENTS = ['HttpService', 'axiosRef', 'fetch', 'undici'] as const;
type Client = (typeof CLIENTS)[number];
type Mode = 'explicit' | 'ambient';
/** What is said to a client, besides where to: its headers, and for whom. */
type Said = Readonly<Record<string, unknown>>;
type Send = (said?: Said) => Promise<unknown>;

/** Stands for a path that cannot be signed. */
const TOO_LONG = 'too-long';

const heraldKey = createKey();
const agent = new Agent();
const wire = new RecordingServer();
const other = new RecordingServer((_request, response) => response.end('{}'));
beforeAll(async () => {
  await wire.start();
  await other.start();
});
afterAll(async () => {
  await Promise.all([wire.close(), other.close(), agent.close()]);
});

interface Work {
  readonly context: ServiceCallContext;
  readonly caller: ServiceIdentity;
  readonly send: Send;
}

/** The ways to a call in a request of Alice's, and the user and the grant it then has: hers, or none. */
type Way = readonly [
  name: string,
  mode: Mode | 'both',
  user: string,
  has: 'grant' | 'no grant',
  run: (work: Work) => Promise<unknown>,
];
const WAYS: readonly Way[] = [
  [
    'onBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, caller }) => await send(onBehalfOf(caller)),
  ],
  [
    'runOnBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) =>
      await context.runOnBehalfOf(caller, async () => await send()),
  ],
  [
    'onBehalfOf(her URI) in runOnBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) =>
      await context.runOnBehalfOf(caller, async () => await send(onBehalfOf(ALICE))),
  ],
  [
    'runOnBehalfOf(her URI) in runOnBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) =>
      await context.runOnBehalfOf(
        caller,
        async () => await context.runOnBehalfOf(ALICE, async () => await send()),
      ),
  ],
  [
    'onBehalfOf(caller) in runShared()',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) =>
      await context.runShared(async () => await send(onBehalfOf(caller))),
  ],
  [
    'onBehalfOf(her URI) in runShared()',
    'both',
    ALICE,
    'no grant',
    async ({ send, context }) => await context.runShared(async () => await send(onBehalfOf(ALICE))),
  ],
  [
    'onBehalfOf(her URI)',
    'explicit',
    ALICE,
    'no grant',
    async ({ send }) => await send(onBehalfOf(ALICE)),
  ],
  [
    'onBehalfOf(her URI)',
    'ambient',
    ALICE,
    'grant',
    async ({ send }) => await send(onBehalfOf(ALICE)),
  ],
  [
    'runOnBehalfOf(her URI)',
    'explicit',
    ALICE,
    'no grant',
    async ({ send, context }) => await context.runOnBehalfOf(ALICE, async () => await send()),
  ],
  [
    'runOnBehalfOf(her URI)',
    'ambient',
    ALICE,
    'grant',
    async ({ send, context }) => await context.runOnBehalfOf(ALICE, async () => await send()),
  ],
  ['nothing said', 'ambient', ALICE, 'grant', async ({ send }) => await send()],
  [
    'nothing said, after a timer',
    'ambient',
    ALICE,
    'grant',
    async ({ send }) => await new Promise((resolve) => setTimeout(() => resolve(send()), 0)),
  ],
  [
    'nothing said, bound to the request',
    'ambient',
    ALICE,
    'grant',
    async ({ send, context }) => await context.bind(async () => await send())(),
  ],
  [
    'onBehalfOf(another URI)',
    'both',
    BOB,
    'no grant',
    async ({ send }) => await send(onBehalfOf(BOB)),
  ],
  [
    'runOnBehalfOf(another URI)',
    'both',
    BOB,
    'no grant',
    async ({ send, context }) => await context.runOnBehalfOf(BOB, async () => await send()),
  ],
  [
    'onBehalfOf(another URI) in runOnBehalfOf(caller)',
    'both',
    BOB,
    'no grant',
    async ({ send, context, caller }) =>
      await context.runOnBehalfOf(caller, async () => await send(onBehalfOf(BOB))),
  ],
  [
    'a URI that differs in its last character',
    'ambient',
    ALICE.slice(0, -1),
    'no grant',
    async ({ send }) => await send(onBehalfOf(ALICE.slice(0, -1))),
  ],
  [
    'actingAsItself()',
    'both',
    'nobody',
    'no grant',
    async ({ send }) => await send(actingAsItself()),
  ],
  [
    'runActingAsItself() in runOnBehalfOf(caller)',
    'both',
    'nobody',
    'no grant',
    async ({ send, context, caller }) =>
      await context.runOnBehalfOf(
        caller,
        async () => await context.runActingAsItself(async () => await send()),
      ),
  ],
  [
    'an Observable of runOnBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) =>
      await firstValueFrom(context.runOnBehalfOf(caller, () => defer(() => from(send())))),
  ],
  [
    'a generator of runOnBehalfOf(caller)',
    'both',
    ALICE,
    'grant',
    async ({ send, context, caller }) => {
      const steps = context.runOnBehalfOf(caller, async function* () {
        yield await send();
      });
      for await (const _step of steps) continue;
    },
  ],
];

/** What the application works on in the request that comes next. */
let work: (work: Work) => Promise<unknown>;
/** A clock of herald's own, in seconds ahead of that of the machine. */
let ahead = 0;
const events = new ObservedEvents();

@Controller()
@UseGuards(ServiceJwtGuard)
class HeraldController {
  private readonly dispatcher: Dispatcher;
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
    @Inject(ServiceCallContext) private readonly context: ServiceCallContext,
    @Inject(ServiceAuth) auth: ServiceAuth,
  ) {
    this.dispatcher = createSignedDispatcher(auth, agent, {
      callContext: context,
      interceptors: [interceptors.redirect({ maxRedirections: 1 })],
    });
  }

  @Get('by/:client')
  async run(
    @ServiceCaller() caller: ServiceIdentity,
    @Param('client') client: Client,
    @Query('url') url: string,
    @Headers() headers: Readonly<Record<string, string>>,
  ) {
    expect(Object.keys(headers)).not.toContain('txn-token');
    try {
      await work({
        context: this.context,
        caller,
        send: async (said) => await this.send(client, url, said),
      });
      return { done: true };
    } catch (error) {
      if (error instanceof ServiceSigningError) return { refused: error.code };
      throw error;
    }
  }

  private async send(client: Client, given: string, said: Said = {}): Promise<unknown> {
    const url = given.replace(TOO_LONG, 'x'.repeat(5000));
    if (client === 'HttpService') return (await firstValueFrom(this.http.get(url, said))).status;
    if (client === 'axiosRef') return (await this.http.axiosRef.get(url, said)).status;
    if (client === 'fetch') {
      const answer = await this.fetch(url, said);
      return await answer.text();
    }
    const { origin, pathname, search } = new URL(url);
    const options = { ...said, origin, path: pathname + search, method: 'GET' } as const;
    const { body } = await this.dispatcher.request(options as Dispatcher.RequestOptions);
    return await body.text();
  }
}

const userResolver: ServiceUserResolver = {
  resolveUser: async (subject) => await resolve(subject),
};
let resolve: (subject: string) => Promise<unknown> = async (subject) =>
  await Promise.resolve({ subject });

const REQUIRED: SubjectProofOptions = { mode: 'required', withoutSubject: 'allowed' };

/** The five targets differ in what they take. */
const targets = () => [
  { baseUrl: wire.url, audience: CENSUS },
  { baseUrl: `${wire.url}/required/`, audience: CENSUS, grants: 'required' as const },
  { baseUrl: `${wire.url}/never/`, audience: CENSUS, grants: 'never' as const },
  { baseUrl: `${wire.url}/partner/`, audience: CENSUS, trustDomain: 'https://partner.example/' },
  { baseUrl: `${wire.url}/original/`, audience: CENSUS, profile: 'original' as const },
  { baseUrl: `${wire.url}/loose/`, audience: CENSUS, signing: 'best-effort' as const },
];

const TARGETS: readonly (readonly [name: string, path: string, has: 'grant' | 'no grant'])[] = [
  ['a target in the trust domain', '/', 'grant'],
  ['a target that requires grants', '/required/', 'grant'],
  ['a target that takes none', '/never/', 'no grant'],
  ['a target in another trust domain', '/partner/', 'no grant'],
  ['a target of the original profile', '/original/', 'no grant'],
  ['a target whose signing is best-effort', '/loose/', 'grant'],
];

const whose = (has: 'grant' | 'no grant', grant: string) => (has === 'grant' ? grant : undefined);

describe.each(ADAPTERS)('on %s', (adapter) => {
  const start = async (
    options: Partial<ServiceAuthModuleOptions> = {},
    proof: SubjectProofOptions = REQUIRED,
  ): Promise<TestService> =>
    await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustDomain: DOMAIN,
          originators,
          trustedIssuers: [{ ...edge.trusted, subjectProof: proof }],
          targets: targets(),
          unknownTargets: 'send-unsigned',
          userResolver,
          observer: events,
          now: () => Date.now() + ahead * 1000,
          ...options,
        }),
        ServiceHttpModule.register(),
        ServiceFetchModule,
      ],
      controllers: [HeraldController],
    });

  /** What herald sends by each client while it serves a request of Alice's. */
  const sentBy = async (
    herald: TestService,
    { to = '/', grant }: { to?: string; grant?: string },
  ) => {
    const sent = new Map<Client, unknown>();
    for (const client of CLIENTS) {
      const url = to.startsWith('http') ? to : `${wire.url}${to}`;
      const target = `/by/${client}?url=${encodeURIComponent(url)}`;
      const answer = await ask(herald.port, { target, subject: ALICE }, grant);
      if (answer.status !== 200) throw new Error(answer.text);
      const recorded = [...wire.takeAll(), ...other.takeAll()];
      sent.set(client, answer.json?.['refused'] ?? recorded.map(saidBy));
    }
    return sent;
  };
  const byAll = (expected: unknown) => new Map(CLIENTS.map((client) => [client, expected]));

  describe.each(['explicit', 'ambient'] as const)('with subjectPropagation: %s', (mode) => {
    let herald: TestService;
    beforeAll(async () => void (herald = await start({ subjectPropagation: mode })));
    afterEach(() => {
      ahead = 0;
    });
    afterAll(async () => await herald.close());

    const ways = WAYS.filter(([, where]) => where === mode || where === 'both');
    it.each(ways)('%s', async (_name, _mode, user, has, run) => {
      work = run;
      const grant = grantFor(ALICE);
      const expected = [{ user, grant: whose(has, grant) }];
      expect(await sentBy(herald, { grant })).toEqual(byAll(expected));
    });

    it.each(TARGETS)('%s', async (_name, to, has) => {
      work = async ({ send, caller }) => await send(onBehalfOf(caller));
      const grant = grantFor(ALICE);
      const expected = [{ user: ALICE, grant: whose(has, grant) }];
      expect(await sentBy(herald, { to, grant })).toEqual(byAll(expected));
    });

    it('a call that is sent unsigned has none, whatever the application put there', async () => {
      const headers = { 'Txn-Token': grantFor(ALICE), JWT: 'theirs' };
      const long = `/loose/${TOO_LONG}`;
      work = async ({ send, context, caller }) =>
        await context.runOnBehalfOf(caller, async () => await send({ headers }));
      const unsigned = byAll([{ user: 'unsigned', grant: undefined }]);
      const grant = grantFor(ALICE);
      expect(await sentBy(herald, { to: `${other.url}/`, grant })).toEqual(unsigned);
      expect(await sentBy(herald, { to: long, grant })).toEqual(unsigned);
    });

    it.each(['Txn-Token', 'txn-token', 'TXN-TOKEN'])(
      'what the application writes into %s is replaced, or removed',
      async (name) => {
        const headers = { [name]: grantFor(BOB) };
        const grant = grantFor(ALICE);
        work = async ({ send, caller }) => await send(onBehalfOf(caller, { headers }));
        expect(await sentBy(herald, { grant })).toEqual(byAll([{ user: ALICE, grant }]));
        work = async ({ send }) => await send(onBehalfOf(BOB, { headers }));
        expect(await sentBy(herald, { grant })).toEqual(byAll([{ user: BOB, grant: undefined }]));
      },
    );

    it('one that is over is not sent, and a target that requires one is not called', async () => {
      work = async ({ send, caller }) => {
        ahead = 301;
        await send(onBehalfOf(caller)).finally(() => (ahead = 0));
      };
      const grant = grantFor(ALICE);
      expect(await sentBy(herald, { grant })).toEqual(byAll([{ user: ALICE, grant: undefined }]));
      expect(await sentBy(herald, { to: '/required/', grant })).toEqual(byAll('grant_unusable'));
    });

    it('a target that requires one is not called for a user without', async () => {
      work = async ({ send }) => await send(onBehalfOf(BOB));
      const grant = grantFor(ALICE);
      expect(await sentBy(herald, { to: '/required/', grant })).toEqual(byAll('grant_unusable'));
      work = async ({ send }) => await send(actingAsItself());
      const expected = byAll([{ user: 'nobody', grant: undefined }]);
      expect(await sentBy(herald, { to: '/required/', grant })).toEqual(expected);
    });

    it('the calls of the userResolver take the grant of the request', async () => {
      const { fetch } = { fetch: herald.app.get(ServiceFetch) };
      resolve = async (subject) => {
        await (await fetch(`${wire.url}/profile`, onBehalfOf(subject))).text();
        return { subject };
      };
      work = async () => await Promise.resolve();
      const grant = grantFor(ALICE);
      try {
        expect(await sentBy(herald, { grant })).toEqual(byAll([{ user: ALICE, grant }]));
      } finally {
        resolve = async (subject) => await Promise.resolve({ subject });
      }
    });
  });

  it('a redirect of undici takes none along', async () => {
    const redirecting = new RecordingServer((_request, response) => {
      response.writeHead(307, { location: `${wire.url}/landed` }).end();
    });
    await redirecting.start();
    const herald = await start({
      targets: [...targets(), { baseUrl: redirecting.url, audience: CENSUS }],
    });
    try {
      work = async ({ send, caller }) => await send(onBehalfOf(caller));
      const grant = grantFor(ALICE);
      const target = `/by/undici?url=${encodeURIComponent(`${redirecting.url}/`)}`;
      expect((await ask(herald.port, { target, subject: ALICE }, grant)).status).toBe(200);
      expect(redirecting.takeAll().map(saidBy)).toEqual([{ user: ALICE, grant }]);
      expect(wire.takeAll().map(saidBy)).toEqual([{ user: ALICE, grant: undefined }]);
    } finally {
      await herald.close();
      await redirecting.close();
    }
  });

  it('a call that was made for a user without one gets none where it is subscribed to', async () => {
    const herald = await start({ subjectPropagation: 'ambient' });
    try {
      const http = herald.app.get(HttpService);
      const made = http.get(`${wire.url}/`, onBehalfOf(ALICE));
      const grant = grantFor(ALICE);
      work = async () => await firstValueFrom(made);
      const target = `/by/fetch?url=${encodeURIComponent(wire.url)}`;
      expect((await ask(herald.port, { target, subject: ALICE }, grant)).status).toBe(200);
      expect(wire.takeAll().map(saidBy)).toEqual([{ user: ALICE, grant: undefined }]);
      // The same, made there.
      work = async () => await firstValueFrom(http.get(`${wire.url}/`, onBehalfOf(ALICE)));
      expect((await ask(herald.port, { target, subject: ALICE }, grant)).status).toBe(200);
      expect(wire.takeAll().map(saidBy)).toEqual([{ user: ALICE, grant }]);
    } finally {
      await herald.close();
    }
  });

  describe('a forwarder', () => {
    const forward = async (herald: TestService, headers: OutgoingHttpHeaders): Promise<unknown> => {
      work = async ({ send, caller }) => await send(onBehalfOf(caller));
      const target = `/by/fetch?url=${encodeURIComponent(`${wire.url}/`)}`;
      const answer = await call(herald.port, {
        target,
        headers: { ...edge.headers({ target, subject: ALICE }), ...headers },
      });
      const sent = wire.takeAll().map(saidBy);
      return answer.status === 200 ? sent : answer.json?.['code'];
    };
    const pair = (grant: string, claims: object = { tth: hashOf(grant) }) => {
      const target = `/by/fetch?url=${encodeURIComponent(`${wire.url}/`)}`;
      return {
        jwt: edge.token({ target, subject: ALICE, claims: { ...claims } }),
        'txn-token': grant,
      };
    };
    const good = grantFor(ALICE);
    const old = grantFor(ALICE, {
      iat: Math.floor(Date.now() / 1000) - 400,
      exp: Math.floor(Date.now() / 1000) + 400,
    });
    const ofBob = grantFor(BOB);
    const foreign = grantFor(ALICE, { aud: 'https://staging.example.org/' });
    const alone = { user: ALICE, grant: undefined };

    it('that believes no originator hands a whole pair on, unread', async () => {
      const herald = await start({ originators: undefined, trustedIssuers: [edge.trusted] });
      try {
        for (const grant of [good, old, ofBob, foreign]) {
          expect(await forward(herald, pair(grant))).toEqual([{ user: ALICE, grant }]);
        }
        const reasons: [object, string][] = [
          [pair(good, {}), 'header_only'],
          [pair(good, { tth: hashOf(old) }), 'unequal'],
          [{ ...pair(good), 'txn-token': [good, good] }, 'repeated'],
          [{ jwt: pair(good).jwt }, 'claim_only'],
          [pair('no.grant'), 'malformed'],
        ];
        for (const [headers, reason] of reasons) {
          expect(await forward(herald, { ...headers })).toEqual([alone]);
          expect(events.of('grant_unbound').at(-1)).toMatchObject({ reason, issuer: edge.issuer });
        }
      } finally {
        await herald.close();
      }
    });

    it('that requires a proof hands on what it has verified, and refuses the rest', async () => {
      const herald = await start();
      try {
        expect(await forward(herald, pair(good))).toEqual([{ user: ALICE, grant: good }]);
        expect(await forward(herald, pair(old))).toBe('grant_expired');
        for (const grant of [ofBob, foreign]) {
          expect(await forward(herald, pair(grant))).toBe('grant_mismatch');
        }
        expect(await forward(herald, {})).toBe('grant_missing');
      } finally {
        await herald.close();
      }
    });

    it('that reports hands on the good ones, and drops what it would refuse', async () => {
      const herald = await start({}, { mode: 'report' });
      try {
        expect(await forward(herald, pair(good))).toEqual([{ user: ALICE, grant: good }]);
        for (const grant of [old, ofBob, foreign]) {
          expect(await forward(herald, pair(grant))).toEqual([alone]);
        }
        expect(await forward(herald, {})).toEqual([alone]);
        expect(
          events
            .of('request_accepted')
            .slice(-5)
            .map((event) => event.proofRefusal),
        ).toEqual([
          undefined,
          'grant_expired',
          'grant_mismatch',
          'grant_mismatch',
          'grant_missing',
        ]);
      } finally {
        await herald.close();
      }
    });
  });

  it('the grant of one request is not that of the next on its socket', async () => {
    const herald = await start({ subjectPropagation: 'ambient' });
    try {
      work = async ({ send }) => await send();
      const first = grantFor(ALICE);
      const [one, two] = [first, grantFor(BOB)];
      const target = `/by/fetch?url=${encodeURIComponent(`${wire.url}/`)}`;
      for (const [subject, grant] of [
        [ALICE, one],
        [BOB, two],
        [ALICE, one],
      ] as const) {
        const headers = { ...headersFor({ target, subject }, grant), connection: 'keep-alive' };
        expect((await call(herald.port, { target, headers })).status).toBe(200);
        expect(wire.takeAll().map(saidBy)).toEqual([{ user: subject, grant }]);
      }
    } finally {
      await herald.close();
    }
  });
});
