import type { Server } from 'node:net';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, type INestApplication, Module, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import {
  RequireSubjectProof,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  ServiceGrant,
  type ServiceIdentity,
  ServiceJwtGuard,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import {
  type ActingAsOptions,
  decodeGrant,
  decodeToken,
  GRANT_FLAWS,
  type GrantFlaw,
  ServiceAuthTesting,
  type TokenlessCaller,
} from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import request from 'supertest';
import { type Adapter, ADAPTERS } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const MAILER = 'https://mailer.service/';
const EDGE = 'https://edge.service/';
const SCHEDULER = 'https://scheduler.service/';
const USER = 'https://census.service/user/21/';
const DOMAIN = 'https://prod.example.org/';
const USERS = [`${CENSUS}user/`];

@Controller()
class ProofController {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Get('who')
  who(
    @ServiceCaller() { issuer, subject }: ServiceIdentity,
    @ServiceGrant() grant?: VerifiedGrant,
  ) {
    return { issuer, subject, grant };
  }
  @Get('delete')
  @RequireSubjectProof({ scope: 'user:delete', acr: 'mfa', maxAgeSeconds: 60 })
  delete(@ServiceGrant() { scopes }: VerifiedGrant) {
    return { scopes };
  }
  @Get('job')
  @RequireSubjectProof({ maxAgeSeconds: 86_400 })
  job() {
    return {};
  }
  @Get('forward')
  async forward(@ServiceCaller() caller: ServiceIdentity) {
    const { data } = await lastValueFrom(
      this.http.get<unknown>('https://archive.service/', onBehalfOf(caller)),
    );
    return data;
  }
}

/** As in production: an originator that calls as well, one that only vouches, and one with a narrow scope. */
const production = (changes: Partial<ServiceAuthModuleOptions> = {}): ServiceAuthModuleOptions => ({
  issuer: CENSUS,
  signingKey: { keyFile: '/run/secrets/that-are-not-there/census.pem' },
  targets: [{ baseUrl: 'https://archive.service/' }],
  trustDomain: DOMAIN,
  originators: [
    { issuer: SCHEDULER, subjects: USERS, scopes: ['digest:send'], jwksUri: 'https://s.service/k' },
    { issuer: EDGE, subjects: USERS, publicKey: 'no key at all' },
  ],
  trustedIssuers: [
    {
      issuer: HERALD,
      subjects: USERS,
      subjectProof: { mode: 'required', withoutSubject: 'refused' },
    },
    {
      issuer: MAILER,
      subjects: USERS,
      subjectProof: { mode: 'required', withoutSubject: 'allowed', maxAgeSeconds: 86_400 },
    },
  ],
  ...changes,
});

function appOf(auth: unknown): Type {
  @Module({
    imports: [auth as Type, ServiceHttpModule.register()],
    controllers: [ProofController],
    providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
  })
  class AppModule {}
  return AppModule;
}

const open: INestApplication[] = [];
afterEach(async () => {
  for (const app of open.splice(0)) await app.close();
});

async function start(adapter: Adapter, builder: TestingModuleBuilder): Promise<INestApplication> {
  const module = await builder.compile();
  const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = module.createNestApplication(httpAdapter, { logger: false });
  open.push(app);
  await app.init();
  if (adapter === 'fastify')
    await (app as NestFastifyApplication).getHttpAdapter().getInstance().ready();
  return app;
}

const testing = (options = production()): TestingModuleBuilder =>
  Test.createTestingModule({ imports: [appOf(ServiceAuthModule.forRoot(options))] });

async function get(app: INestApplication, target: string, headers: Record<string, string> = {}) {
  const answer = await request(app.getHttpServer() as Server)
    .get(target)
    .set(headers);
  return { status: answer.status, body: answer.body as Record<string, unknown> };
}

const refused = (code: string) => ({ status: 403, body: { code } });

describe.each(ADAPTERS)('grants in the testing kit, on %s', (adapter) => {
  let auth: ServiceAuthTesting;
  let app: INestApplication;
  const send = async (target: string, grant: ActingAsOptions['grant'], issuer = HERALD) => {
    const options = grant === undefined ? {} : { grant };
    const caller = auth.caller(issuer).actingAs(USER, options);
    return await get(app, target, await caller.headersFor('GET', target));
  };

  describe('of a service with the settings of production', () => {
    beforeEach(async () => {
      auth = new ServiceAuthTesting();
      app = await start(adapter, auth.override(testing()));
    });

    it('signs a pair that the guard accepts, and without it refuses', async () => {
      const headers = await auth.actingAs(USER, { grant: true }).headersFor('GET', '/who');
      expect(decodeToken(headers).claims).toHaveProperty('tth');
      expect(decodeGrant(headers).claims).toMatchObject({ iss: EDGE, aud: DOMAIN, sub: USER });
      expect(await get(app, '/who', headers)).toMatchObject({
        status: 200,
        body: {
          issuer: HERALD,
          subject: USER,
          grant: { originator: EDGE, scopes: ['user-present'] },
        },
      });
      expect(await send('/who', undefined)).toMatchObject(refused('grant_missing'));
    });

    it('writes into it what the test says', async () => {
      const grant = { scope: ['user:delete', 'user:read'], acr: 'mfa', ageSeconds: 50 };
      expect(await send('/delete', grant)).toMatchObject({
        status: 200,
        body: { scopes: grant.scope },
      });
      expect(await send('/delete', { ...grant, scope: 'user:read' })).toMatchObject(
        refused('scope_missing'),
      );
      expect(await send('/delete', { ...grant, acr: 'pwd' })).toMatchObject(
        refused('authentication_insufficient'),
      );
      expect(await send('/delete', { ...grant, ageSeconds: 70 })).toMatchObject(
        refused('grant_expired'),
      );
    });

    it('takes the originator that may vouch for the scope, or the one that is named', async () => {
      const digest = await send('/who', { scope: 'digest:send' });
      expect(digest.body['grant']).toMatchObject({ originator: SCHEDULER });
      const named = await send('/who', { scope: 'digest:send', originator: EDGE });
      expect(named.body['grant']).toMatchObject({ originator: EDGE });
      expect(await send('/who', { originator: SCHEDULER })).toMatchObject(
        refused('originator_not_allowed'),
      );
      expect(await send('/who', { originator: HERALD })).toMatchObject(
        refused('originator_unknown'),
      );
    });

    it('makes an old grant, which issuer and route both have to allow', async () => {
      const hourOld = { lifetimeSeconds: 86_400, ageSeconds: 3600 };
      expect(await send('/job', hourOld, MAILER)).toMatchObject({ status: 200 });
      expect(await send('/job', hourOld)).toMatchObject(refused('grant_expired'));
      expect(await send('/who', hourOld, MAILER)).toMatchObject(refused('grant_expired'));
    });

    it.each(Object.entries(GRANT_FLAWS) as [GrantFlaw, string][])(
      'refuses: %s (%s)',
      async (flaw, code) => {
        const caller = auth.actingAs(USER).but(flaw);
        const headers = await caller.headersFor('GET', '/who');
        expect(await get(app, '/who', headers)).toMatchObject(refused(code));
        expect(await send('/who', true)).toMatchObject({ status: 200 });
      },
    );

    it('gives the flaws of tokens too, beside a good grant', async () => {
      const caller = auth.actingAs(USER, { grant: true }).but('expired');
      const headers = await caller.headersFor('GET', '/who');
      expect(await get(app, '/who', headers)).toMatchObject({ body: { code: 'token_expired' } });
    });

    it('gives a unit test the identity with its grant', async () => {
      const identity = await auth.actingAs(USER, { grant: { acr: 'mfa' } }).identity();
      expect(identity.grant).toMatchObject({ originator: EDGE, acr: 'mfa' });
      const mailer = auth.caller(MAILER).actingAsItself();
      expect((await mailer.identity()).grant).toBeUndefined();
    });
  });

  it('throws where a flaw of grants cannot be told, or there is no user', async () => {
    auth = new ServiceAuthTesting();
    app = await start(adapter, auth.override(testing(), { targets: [{ baseUrl: CENSUS }] }));
    await expect(auth.actingAs(USER).but('no-grant').headersFor('GET', '/')).rejects.toThrow(
      /'no-grant' \(grant_missing\): it is refused with originator_unknown/,
    );
    await expect(auth.actingAsItself().but('no-grant').headersFor('GET', '/')).rejects.toThrow(
      /say actingAs\(user\)/,
    );
  });

  it('fills in the trust domain where a test names originators alone', async () => {
    auth = new ServiceAuthTesting();
    const options = {
      originators: [{ issuer: EDGE, subjects: USERS }],
      targets: [{ baseUrl: EDGE }],
    };
    app = await start(adapter, auth.override(testing(), options));
    const headers = await auth.actingAs(USER, { grant: true }).headersFor('GET', '/who');
    expect(await get(app, '/who', headers)).toMatchObject({
      body: { grant: { originator: EDGE } },
    });
    const without = await auth.actingAs(USER).headersFor('GET', '/who');
    expect(await get(app, '/who', without)).toMatchObject(refused('grant_missing'));
  });

  it('shows the grant that the application sends on, and verifies it', async () => {
    auth = new ServiceAuthTesting();
    const archive = await auth.startReceiver('https://archive.service/', {
      answer: ({ identity: { grant } }) => ({ json: { transaction: grant?.transaction } }),
    });
    const builder = auth.override(testing(production({ targets: [archive.target] })));
    app = await start(adapter, builder);
    // The handler calls the archive by its name: here it is on this machine.
    const http = app.get(HttpService);
    http.axiosRef.interceptors.request.use((config) => ({ ...config, url: archive.url }));
    const headers = await auth.actingAs(USER, { grant: true }).headersFor('GET', '/forward');
    const { txn } = decodeGrant(headers).claims;
    expect(await get(app, '/forward', headers)).toEqual({
      status: 200,
      body: { transaction: txn },
    });
    const [received] = archive.requests;
    expect(received?.grant?.claims).toMatchObject({ iss: EDGE, sub: USER });
    expect(decodeGrant(received ?? {})).toEqual(received?.grant);
    expect(archive.refusals).toEqual([]);
    await archive.close();
  });

  describe('without tokens', () => {
    const startWithout = async (caller: TokenlessCaller) => {
      auth = new ServiceAuthTesting();
      app = await start(adapter, auth.overrideWithoutTokens(testing(), caller));
    };

    it('has the user be there, by a grant that routes look at', async () => {
      await startWithout({ subject: USER });
      expect(await get(app, '/who')).toMatchObject({
        body: { subject: USER, grant: { originator: EDGE, scopes: ['user-present'] } },
      });
      expect(await get(app, '/delete')).toMatchObject(refused('scope_missing'));
    });

    it('gives it what the test says', async () => {
      await startWithout({ subject: USER, grant: { scope: 'user:delete', acr: 'mfa' } });
      expect(await get(app, '/delete')).toEqual({ status: 200, body: { scopes: ['user:delete'] } });
    });

    it('has none where the test says so, or the service acts for itself', async () => {
      await startWithout({ subject: USER, grant: false });
      expect(await get(app, '/who')).toMatchObject(refused('grant_missing'));
      await startWithout({ issuer: MAILER });
      expect(await get(app, '/who')).toEqual({ status: 200, body: { issuer: MAILER } });
      expect(await get(app, '/job')).toMatchObject(refused('subject_missing'));
    });
  });
});

describe('without an application', () => {
  it('gives an identity with the grant of its caller', async () => {
    const auth = new ServiceAuthTesting();
    const caller = auth.actingAs('urn:user:21', {
      grant: { scope: 'digest:send', originator: EDGE },
    });
    expect((await caller.identity()).grant).toMatchObject({
      originator: EDGE,
      scopes: ['digest:send'],
    });
    expect((await auth.actingAs('urn:user:21').identity()).grant).toBeUndefined();
  });

  it('decodes one grant, no more and no less', () => {
    const two = { 'txn-token': ['a.b.c', 'a.b.c'] };
    expect(() => decodeGrant(two)).toThrow('There are 2 `Txn-Token` headers, not one.');
    expect(() => decodeGrant({})).toThrow('There are 0 `Txn-Token` headers, not one.');
  });

  it('takes grants of users alone', () => {
    const auth = new ServiceAuthTesting();
    // @ts-expect-error A grant is of a user.
    void auth.actingAsItself({ grant: true });
    // @ts-expect-error No text: the kit makes the grant.
    void auth.actingAs(USER, { grant: 'eyJ' });
    // @ts-expect-error There is no such flaw.
    void auth.actingAs(USER).but('grant-of-nobody');
    expect(auth.actingAs(USER)).toBeDefined();
  });
});
