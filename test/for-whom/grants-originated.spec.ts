import { HttpService } from '@nestjs/axios';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  HttpException,
  Inject,
  Param,
  Query,
  UseGuards,
} from '@nestjs/common';
import {
  OptionalServiceAuth,
  ServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceGrants,
  ServiceJwtGuard,
  ServiceSigningError,
  type ServiceUserResolver,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { createSignedFetch } from 'nestjs-service-auth/core';
import { defer, firstValueFrom, from } from 'rxjs';
import { call } from '../support/http/http.js';
import { callInMemory } from '../support/http/in-memory.js';
import { RecordingServer } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { Caller } from '../support/services/caller.js';
import { decodeClaims, decodeHeader } from '../support/tokens/forge.js';
import { ALICE, BOB, CENSUS, DOMAIN, EDGE, HERALD, saidBy, USERS } from './granting-edge.js';

const NOW_SECONDS = 1_800_000_000;
const herald = new Caller(HERALD, EDGE);
const edgeKey = createKey();
const wire = new RecordingServer();
const events = new ObservedEvents();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

/** What became of an attempt to make a grant: `made`, or the code of the refusal. */
async function outcomeOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
    return 'made';
  } catch (error) {
    if (error instanceof ServiceSigningError) return error.code;
    if (error instanceof TypeError) return 'TypeError';
    throw error;
  }
}

interface Work {
  readonly context: ServiceCallContext;
  readonly grants: ServiceGrants;
  readonly send: () => Promise<unknown>;
}
type Originating = (work: Work) => unknown;

const byContext: Originating = async ({ context, send }) =>
  await context.runOnBehalfOf(ALICE, send, { originate: true });
const byGrants: Originating = async ({ grants }) => await grants.issue(ALICE);
const EITHER: readonly [string, Originating][] = [
  ['runOnBehalfOf(..., { originate })', byContext],
  ['ServiceGrants.issue()', byGrants],
];

/** Where in a request code makes a grant. Some begin only when the request has been answered. */
type Place = readonly [name: string, run: (work: Work, originate: Originating) => unknown];
const left = { work: undefined as (() => unknown) | undefined };
const PLACES: readonly Place[] = [
  ['in the handler', async (work, originate) => await originate(work)],
  [
    'in a timer',
    async (work, originate) =>
      await new Promise((resolve) => setTimeout(() => resolve(originate(work)), 0)),
  ],
  [
    'for another user than the one being served',
    async (work, originate) =>
      await work.context.runOnBehalfOf(BOB, async () => await originate(work)),
  ],
  [
    'in runActingAsItself()',
    async (work, originate) => await work.context.runActingAsItself(() => originate(work)),
  ],
  [
    'in runShared()',
    async (work, originate) => await work.context.runShared(() => originate(work)),
  ],
  [
    'in an Observable',
    async (work, originate) =>
      await firstValueFrom(
        work.context.runOnBehalfOf(BOB, () => defer(() => from(Promise.resolve(originate(work))))),
      ),
  ],
  [
    'in a generator',
    async (work, originate) => {
      const steps = work.context.runOnBehalfOf(BOB, async function* () {
        yield await originate(work);
      });
      for await (const _step of steps) continue;
    },
  ],
];

let place: (work: Work) => unknown;

@Controller()
class EdgeController {
  private readonly work: Work;
  constructor(
    @Inject(ServiceCallContext) context: ServiceCallContext,
    @Inject(ServiceGrants) grants: ServiceGrants,
    @Inject(ServiceFetch) fetch: ServiceFetch,
  ) {
    const send = async () => await (await fetch(`${wire.url}/`)).text();
    this.work = { context, grants, send };
  }

  @Get('guarded')
  @UseGuards(ServiceJwtGuard)
  async guarded() {
    return { outcome: await outcomeOf(() => place(this.work)) };
  }

  @Get('optional')
  @UseGuards(ServiceJwtGuard)
  @OptionalServiceAuth()
  async optional() {
    return { outcome: await outcomeOf(() => place(this.work)) };
  }

  @Get('open')
  async open() {
    return { outcome: await outcomeOf(() => place(this.work)) };
  }

  /** Answers, and leaves behind work that goes on in the context of the request, or is bound to it. */
  @Get('leave/:how')
  @UseGuards(ServiceJwtGuard)
  leave(@Param('how') how: string, @Query('afterEnd') afterEnd: string) {
    const attempt = async () => await outcomeOf(() => place(this.work));
    if (how === 'bound')
      left.work = this.work.context.bind(attempt, { afterEnd: afterEnd === '1' });
    else {
      const done = new Promise<void>((resolve) => (left.work = resolve)).then(attempt);
      const release = left.work;
      left.work = async () => {
        release?.();
        return await done;
      };
    }
    return {};
  }
}

/** Makes a grant while an exception is answered. */
@Catch(HttpException)
class OriginatingFilter implements ExceptionFilter {
  constructor(private readonly attempt: () => Promise<string>) {}
  async catch(exception: HttpException, host: ArgumentsHost) {
    const outcome = await this.attempt();
    const response = host.switchToHttp().getResponse<{
      status(code: number): { send(body: object): void };
    }>();
    response.status(exception.getStatus()).send({ outcome });
  }
}

let resolveUser: ServiceUserResolver['resolveUser'] = async (user) =>
  await Promise.resolve({ user });

describe.each(ADAPTERS)('on %s', (adapter) => {
  const start = async (
    options: Partial<ServiceAuthModuleOptions> = {},
    configure?: (app: TestService['app']) => void,
  ): Promise<TestService> =>
    await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: EDGE,
          signingKey: { privateKey: edgeKey.privatePem },
          trustDomain: DOMAIN,
          originate: { subjects: [USERS] },
          trustedIssuers: [herald.trusted],
          targets: [{ baseUrl: wire.url, audience: CENSUS }],
          userResolver: { resolveUser: async (...given) => await resolveUser(...given) },
          observer: events,
          ...options,
        }),
        ServiceHttpModule.register(),
        ServiceFetchModule,
      ],
      controllers: [EdgeController],
      configure: (app) => configure?.(app),
    });
  const workOf = ({ app }: TestService): Work => ({
    context: app.get(ServiceCallContext),
    grants: app.get(ServiceGrants),
    send: async () => await (await app.get(ServiceFetch)(`${wire.url}/`)).text(),
  });

  describe.each(['explicit', 'ambient'] as const)('with subjectPropagation: %s', (mode) => {
    let edge: TestService;
    beforeAll(async () => void (edge = await start({ subjectPropagation: mode })));
    afterEach(() => void wire.takeAll());
    afterAll(async () => await edge.close());

    describe.each(EITHER)('%s', (_name, originate) => {
      it.each(PLACES)(
        'is refused %s of a request of a service, and not of another',
        async (_where, run) => {
          place = (work) => run(work, originate);
          for (const target of ['/guarded', '/optional']) {
            const refused = await herald.get(edge.port, target, ALICE);
            expect(refused.json).toEqual({ outcome: 'originate_refused' });
          }
          expect(wire.takeAll()).toEqual([]);
          for (const target of ['/optional', '/open']) {
            expect((await call(edge.port, { target })).json).toEqual({ outcome: 'made' });
          }
          // A token where nobody verifies it proves nothing.
          expect((await herald.get(edge.port, '/open', ALICE)).json).toEqual({ outcome: 'made' });
        },
      );

      it('is refused in a request of a service that acts for itself', async () => {
        place = originate;
        const answer = await herald.get(edge.port, '/guarded');
        expect(answer.json).toEqual({ outcome: 'originate_refused' });
      });

      it.each(['/leave/behind', '/leave/bound', '/leave/bound?afterEnd=1'])(
        'is refused in what a request of a service left behind: %s',
        async (target) => {
          place = originate;
          expect((await herald.get(edge.port, target, ALICE)).status).toBe(200);
          expect(await left.work?.()).toBe('originate_refused');
        },
      );

      it('is refused in a request of a service that came by injection', async () => {
        place = originate;
        const headers = herald.headers({ target: '/guarded', subject: ALICE });
        const { body } = await callInMemory(edge.app, {
          target: '/guarded',
          headers: headers as Record<string, string>,
        });
        expect(body).toEqual({ outcome: 'originate_refused' });
        expect((await callInMemory(edge.app, { target: '/open' })).body).toEqual({
          outcome: 'made',
        });
      });

      it('is refused while the user of the caller is looked up', async () => {
        let outcome = '';
        place = () => undefined;
        resolveUser = async (user) => {
          outcome = await outcomeOf(() => originate(workOf(edge)));
          return { user };
        };
        try {
          expect((await herald.get(edge.port, '/guarded', ALICE)).status).toBe(200);
        } finally {
          resolveUser = async (user) => await Promise.resolve({ user });
        }
        expect(outcome).toBe('originate_refused');
      });

      it('is refused while the answer to a service is made, whose user is not known', async () => {
        const filtering: TestService = await start({ subjectPropagation: mode }, (app) =>
          app.useGlobalFilters(
            new OriginatingFilter(async () => await outcomeOf(() => originate(workOf(filtering)))),
          ),
        );
        resolveUser = async () => await Promise.resolve(undefined);
        try {
          const unknown = await herald.get(filtering.port, '/guarded', ALICE);
          expect(unknown).toMatchObject({ status: 403, json: { outcome: 'originate_refused' } });
          const nobody = await call(filtering.port, { target: '/guarded' });
          expect(nobody).toMatchObject({ status: 401, json: { outcome: 'made' } });
        } finally {
          resolveUser = async (user) => await Promise.resolve({ user });
          await filtering.close();
        }
      });

      it('is made where no request is served', async () => {
        expect(await outcomeOf(() => originate(workOf(edge)))).toBe('made');
      });
    });

    it('in the place of the grant of the request, if it says so: observers are called', async () => {
      const insteadOf = 'served-grant' as const;
      place = async ({ context, send, grants }) => {
        await context.runOnBehalfOf(ALICE, send, { originate: { insteadOf } });
        await grants.issue(ALICE, { insteadOf, lifetimeSeconds: 60 });
      };
      const before = events.of('grant_issued').length;
      const answer = await herald.get(edge.port, '/guarded', BOB);
      expect(answer.json).toEqual({ outcome: 'made' });
      const { user, grant = '' } = saidBy(wire.takeOne());
      expect(user).toBe(ALICE);
      expect(events.of('grant_issued').slice(before)).toEqual([
        {
          type: 'grant_issued',
          transaction: decodeClaims(grant)['txn'],
          lifetimeSeconds: 300,
          insteadOf,
        },
        {
          type: 'grant_issued',
          transaction: expect.any(String) as string,
          lifetimeSeconds: 60,
          insteadOf,
        },
      ]);
    });

    it('calls of a context share one grant, which says who vouches for whom, and why', async () => {
      const { context, send } = workOf(edge);
      const fetch = edge.app.get(ServiceFetch);
      const http = edge.app.get(HttpService);
      const originate = { scope: ['user:read', 'user:write'], acr: 'mfa', lifetimeSeconds: 900 };
      await context.runOnBehalfOf(
        ALICE,
        async () => {
          await Promise.all([
            send(),
            firstValueFrom(http.get(wire.url)),
            http.axiosRef.get(wire.url),
          ]);
          await fetch(wire.url, onBehalfOf(ALICE));
          await fetch(wire.url, onBehalfOf(BOB));
          await fetch(wire.url, actingAsItself());
        },
        { originate },
      );
      const sent = wire.takeAll().map(saidBy);
      const grant = sent[0]?.grant ?? '';
      expect(sent.slice(0, 4)).toEqual(Array(4).fill({ user: ALICE, grant }));
      expect(sent.slice(4)).toEqual([
        { user: BOB, grant: undefined },
        { user: 'nobody', grant: undefined },
      ]);
      expect(decodeHeader(grant)).toEqual({
        alg: 'ES256',
        kid: expect.any(String) as string,
        typ: 'txntoken+jwt',
      });
      const { iat, ...claims } = decodeClaims(grant);
      expect(claims).toEqual({
        iss: EDGE,
        aud: DOMAIN,
        sub: ALICE,
        exp: Number(iat) + 900,
        txn: expect.stringMatching(/^.{16,256}$/) as string,
        scope: 'user:read user:write',
        req_wl: EDGE,
        acr: 'mfa',
      });
    });

    it('is never made by propagation', async () => {
      const { context, send } = workOf(edge);
      await context.runOnBehalfOf(ALICE, send);
      await edge.app.get(ServiceFetch)(wire.url, onBehalfOf(ALICE));
      const without = { user: ALICE, grant: undefined };
      expect(wire.takeAll().map(saidBy)).toEqual([without, without]);
    });
  });

  describe('of one edge', () => {
    let edge: TestService;
    let now = NOW_SECONDS;
    beforeAll(async () => void (edge = await start({ now: () => now * 1000 })));
    afterEach(() => {
      now = NOW_SECONDS;
      wire.takeAll();
    });
    afterAll(async () => await edge.close());

    const attempts = async (subject: string, options: object) => {
      const { context, send, grants } = workOf(edge);
      const sending = () => context.runOnBehalfOf(subject, send, { originate: options });
      return [await outcomeOf(sending), await outcomeOf(() => grants.issue(subject, options))];
    };

    it.each([
      ['the longest lifetime', ALICE, { lifetimeSeconds: 86_400 }, 'made'],
      ['a longer one', ALICE, { lifetimeSeconds: 86_401 }, 'originate_refused'],
      ['none', ALICE, { lifetimeSeconds: 0 }, 'originate_refused'],
      ['half a second', ALICE, { lifetimeSeconds: 0.5 }, 'originate_refused'],
      ['a user elsewhere', 'https://partner.example/user/1/', {}, 'originate_refused'],
      ['a text that is no URI', 'alice', {}, 'originate_refused'],
      ['a path out of the prefix', `${USERS}../admin/1/`, {}, 'originate_refused'],
      ['a scope with a space', ALICE, { scope: 'a b' }, 'originate_refused'],
      ['no scope', ALICE, { scope: [] }, 'originate_refused'],
      ['a scope', ALICE, { scope: 'user:read' }, 'made'],
      [
        'what makes it longer than 4,096 characters',
        ALICE,
        { transactionContext: { note: 'x'.repeat(3000) } },
        'originate_refused',
      ],
      ['what just does not', ALICE, { transactionContext: { note: 'x'.repeat(2400) } }, 'made'],
    ])('with %s', async (_name, subject, options, outcome) => {
      expect(await attempts(subject, options)).toEqual([outcome, outcome]);
      expect(wire.takeAll()).toHaveLength(outcome === 'made' ? 1 : 0);
    });

    // Jest fails a test in which a rejection has no handler.
    it('whose signing fails fails its calls, and nothing else', async () => {
      const { context, send } = workOf(edge);
      const originate = { transactionContext: { note: 'x'.repeat(3000) } };
      expect(context.runOnBehalfOf(ALICE, () => 'no call', { originate })).toBe('no call');
      await new Promise((resolve) => setImmediate(resolve));
      const outcomes = await context.runOnBehalfOf(
        ALICE,
        async () => await Promise.all([outcomeOf(send), outcomeOf(send)]),
        { originate },
      );
      expect(outcomes).toEqual(['originate_refused', 'originate_refused']);
    });

    it.each([false, null, 'true', 1, undefined])(
      'with originate: %p makes none',
      async (originate) => {
        const { context, send } = workOf(edge);
        const options = { originate } as never;
        const outcome = await outcomeOf(() => context.runOnBehalfOf(ALICE, send, options));
        expect(outcome).toBe(originate === undefined ? 'made' : 'TypeError');
        const sent = wire.takeAll().map(saidBy);
        expect(sent).toEqual(originate === undefined ? [{ user: ALICE, grant: undefined }] : []);
      },
    );

    it('that is given is sent for its user until it is over', async () => {
      const { context, send, grants } = workOf(edge);
      const grant = await grants.issue(ALICE, { lifetimeSeconds: 600 });
      const withIt = async (subject: string | undefined, options: object = { grant }) =>
        await outcomeOf(() => context.runOnBehalfOf(subject, send, options));
      expect(await withIt(ALICE)).toBe('made');
      expect(saidBy(wire.takeOne())).toEqual({ user: ALICE, grant });
      expect(await withIt(BOB)).toBe('grant_unusable');
      expect(await withIt(undefined)).toBe('subject_undecided');
      const [header = '', payload = ''] = grant.split('.');
      const others = [
        '',
        'none',
        `${header}.${payload}`,
        `${header}..x`,
        `${grant}.x`,
        `${grant}\n`,
        `${grant},${grant}`,
        null,
        7,
      ];
      for (const other of others) {
        expect(await withIt(ALICE, { grant: other })).toBe('grant_unusable');
      }
      expect(await withIt(ALICE, { grant, originate: true })).toBe('TypeError');
      now += 599;
      expect(await withIt(ALICE)).toBe('made');
      now += 1;
      expect(await withIt(ALICE)).toBe('grant_unusable');
      expect(wire.takeAll()).toHaveLength(1);
    });

    it('is sent for its own user alone, whatever a call context of the application gives', async () => {
      const { context, grants } = workOf(edge);
      const grant = await grants.issue(ALICE);
      const held = context.runOnBehalfOf(ALICE, () => context.grantFor(ALICE), { grant });
      const auth = edge.app.get(ServiceAuth);
      for (const subject of [ALICE, BOB, undefined]) {
        const given = { current: () => ({ subject, grant: held }), grantFor: () => held };
        const fetch = createSignedFetch(auth, { callContext: given });
        await (await fetch(wire.url)).text();
        if (subject !== undefined) await (await fetch(wire.url, onBehalfOf(subject))).text();
        const said = { user: subject ?? 'nobody', grant: subject === ALICE ? grant : undefined };
        for (const sent of wire.takeAll()) expect(saidBy(sent)).toEqual(said);
      }
    });

    it('is not made, and not sent, once the service is closed', async () => {
      const closing = await start();
      const { context, grants, send } = workOf(closing);
      const grant = await grants.issue(ALICE);
      await closing.close();
      expect(await outcomeOf(() => grants.issue(ALICE))).toBe('service_closed');
      const withIt = { grant };
      expect(await outcomeOf(() => context.runOnBehalfOf(ALICE, send, withIt))).toBe(
        'service_closed',
      );
      expect(await outcomeOf(() => context.runOnBehalfOf(ALICE, send, { originate: true }))).toBe(
        'service_closed',
      );
    });

    it('is not made by a service that does not originate', async () => {
      const forwarding = await start({ originate: undefined });
      try {
        for (const [, originate] of EITHER) {
          expect(await outcomeOf(() => originate(workOf(forwarding)))).toBe('originate_refused');
        }
      } finally {
        await forwarding.close();
      }
    });
  });
});
