import { Controller, Get, Inject, Query, UseGuards } from '@nestjs/common';
import {
  OptionalServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceGrants,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { type Answer, call } from '../support/http/http.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { Caller } from '../support/services/caller.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { decodeClaims } from '../support/tokens/forge.js';
import { makeGrant, tthOf } from '../support/tokens/grant.js';

const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const USERS = 'https://census.service/user/';
const USER = `${USERS}21/`;
const NOW_SECONDS = Math.floor(Date.now() / 1000);
const edgeKey = createKey();
const herald = new Caller('https://herald.service/', EDGE);
const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const grantOf = (subject = USER, exp = NOW_SECONDS + 300): string =>
  makeGrant({
    key: edgeKey,
    originator: EDGE,
    trustDomain: TRUST_DOMAIN,
    subject,
    now: NOW_SECONDS - 10,
    claims: { exp },
  });

/** How a handler asks for a grant, by the name that a request gives. */
const WAYS = {
  originate: { originate: true },
  insteadOf: { originate: { insteadOf: 'served-grant', scope: 'user:read' } },
  grant: { grant: grantOf() },
  over: { grant: grantOf(USER, NOW_SECONDS - 1) },
  anothers: { grant: grantOf(`${USERS}22/`) },
  none: { grant: 'no.grant' },
  both: { originate: true, grant: grantOf() },
  nothing: {},
} as const;
type Way = keyof typeof WAYS;

@Controller()
@UseGuards(ServiceJwtGuard)
class EdgeController {
  constructor(
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
    @Inject(ServiceCallContext) private readonly calls: ServiceCallContext,
    @Inject(ServiceGrants) private readonly grants: ServiceGrants,
  ) {}

  @Get(['served', 'open'])
  @OptionalServiceAuth()
  async run(@Query('way') way: Way, @Query('user') user?: string): Promise<object> {
    try {
      const send = async () => await this.fetch(wire.url);
      await this.calls.runOnBehalfOf(user ?? USER, send, WAYS[way]);
      return { sent: true };
    } catch (error) {
      return { code: (error as { code?: unknown }).code ?? (error as Error).name };
    }
  }

  @Get('issue')
  @OptionalServiceAuth()
  async issue(@Query('way') way: 'nothing' | 'insteadOf'): Promise<object> {
    const options = way === 'insteadOf' ? ({ insteadOf: 'served-grant' } as const) : {};
    return await this.grants.issue(USER, options).then(
      (grant) => ({ sub: decodeClaims(grant)['sub'] }),
      (error: { code: string }) => ({ code: error.code }),
    );
  }
}

describe.each(ADAPTERS)('grants for the calls of a handler on %s', (adapter) => {
  const events = new ObservedEvents();
  let edge: TestService;
  beforeAll(async () => {
    edge = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: EDGE,
          signingKey: { privateKey: edgeKey.privatePem },
          targets: [{ baseUrl: wire.url }],
          trustDomain: TRUST_DOMAIN,
          originate: { subjects: [USERS] },
          trustedIssuers: [herald.trusted],
          observer: events,
        }),
        ServiceFetchModule,
      ],
      controllers: [EdgeController],
    });
  });
  beforeEach(() => void events.all.splice(0));
  afterAll(async () => await edge.close());

  /** By a person, who has no token, or by a service. */
  const ask = async (target: string, isServed = false): Promise<Answer> =>
    isServed ? await herald.get(edge.port, target) : await call(edge.port, { target });

  it.each(['originate', 'insteadOf'] as const)(
    'GR-46 are made where a person asked: %s',
    async (way) => {
      expect((await ask(`/open?way=${way}`)).json).toEqual({ sent: true });
      const sent = wire.takeOne();
      const [grant = ''] = valuesOf(sent, 'txn-token');
      const [token = ''] = valuesOf(sent, 'jwt');
      expect(decodeClaims(grant)).toMatchObject({ iss: EDGE, sub: USER, aud: TRUST_DOMAIN });
      expect(decodeClaims(token)).toMatchObject({ sub: USER, tth: tthOf(grant) });
      expect(events.of('grant_issued')).toMatchObject([
        { transaction: decodeClaims(grant)['txn'] },
      ]);
    },
  );

  it('GR-46 are not made where a service asked, before a byte leaves, unless code says so', async () => {
    expect((await ask('/served?way=originate', true)).json).toEqual({ code: 'originate_refused' });
    expect(wire.takeAll()).toEqual([]);
    expect(events.of('grant_issued')).toEqual([]);
    expect((await ask('/served?way=insteadOf', true)).json).toEqual({ sent: true });
    expect(valuesOf(wire.takeOne(), 'txn-token')).toHaveLength(1);
    expect(events.of('grant_issued')).toMatchObject([{ insteadOf: 'served-grant' }]);
  });

  it('GR-46 are not issued there either', async () => {
    expect((await ask('/issue?way=nothing', true)).json).toEqual({ code: 'originate_refused' });
    expect((await ask('/issue?way=insteadOf', true)).json).toEqual({ sub: USER });
    expect((await ask('/issue?way=nothing')).json).toEqual({ sub: USER });
  });

  it('GR-46 are sent as they were given', async () => {
    expect((await ask('/open?way=grant')).json).toEqual({ sent: true });
    const sent = wire.takeOne();
    expect(valuesOf(sent, 'txn-token')).toEqual([WAYS.grant.grant]);
    expect(events.of('grant_issued')).toEqual([]);
    expect((await ask('/open?way=nothing')).json).toEqual({ sent: true });
    expect(valuesOf(wire.takeOne(), 'txn-token')).toEqual([]);
  });

  it.each([
    ['over', 'grant_unusable'],
    ['anothers', 'grant_unusable'],
    ['none', 'grant_unusable'],
    ['both', 'TypeError'],
  ])('GR-46 are refused before a byte leaves: %s', async (way, code) => {
    expect((await ask(`/open?way=${way}`)).json).toEqual({ code });
    expect(wire.takeAll()).toEqual([]);
  });

  it('GR-46 are for users alone', () => {
    const calls = edge.app.get(ServiceCallContext);
    const run = (user: string | undefined): unknown =>
      calls.runOnBehalfOf(user, () => 'run', { grant: WAYS.grant.grant });
    expect(run(USER)).toBe('run');
    expect(() => run(undefined)).toThrow(expect.objectContaining({ code: 'subject_undecided' }));
  });
});
