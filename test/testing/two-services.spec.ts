import { HttpService } from '@nestjs/axios';
import {
  Controller,
  type DynamicModule,
  Get,
  Inject,
  type INestApplication,
  Module,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import {
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceAuthUsageError,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceAuthTesting, type TestReceiver } from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import request from 'supertest';
import { ADAPTERS } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const ARCHIVE = 'https://archive.service/';
const LEDGER = 'https://ledger.service/';
const USER = 'https://census.service/user/21/';
const NAMES = { census: CENSUS, archive: ARCHIVE };
const SECRET = '/run/secrets/that-are-not-there.pem';

type Options = Partial<ServiceAuthModuleOptions>;

describe.each(ADAPTERS)(
  'the testing kit with two services of one application, on %s',
  (adapter) => {
    let auth: ServiceAuthTesting;
    let ledger: TestReceiver;
    const open: INestApplication[] = [];
    beforeEach(async () => {
      auth = new ServiceAuthTesting();
      ledger = await auth.startReceiver(LEDGER);
    });
    afterEach(async () => {
      for (const app of open.splice(0)) await app.close();
      await ledger.close();
    });

    /** As in production: with keys that no test machine has. */
    const optionsOf = (
      name: keyof typeof NAMES,
      options: Options = {},
    ): ServiceAuthModuleOptions => ({
      issuer: NAMES[name],
      trustedIssuers: [{ issuer: `https://caller-of-${name}.service/`, publicKey: 'none' }],
      signingKey: { keyFile: SECRET },
      targets: [ledger.target],
      publishedKeys: { path: `/${name}/keys.json` },
      ...options,
    });

    const featureOf = (name: string, service: DynamicModule, signs = true): Type => {
      @Controller(name)
      @UseGuards(ServiceJwtGuard)
      class FeatureController {
        constructor(@Inject(HttpService) private readonly http: HttpService | undefined) {}
        @Get()
        async get(@ServiceCaller() caller: ServiceIdentity) {
          if (this.http) await lastValueFrom(this.http.get(ledger.url, onBehalfOf(caller)));
          return { issuer: caller.issuer, subject: caller.subject };
        }
      }
      const http = ServiceHttpModule.register({ imports: [service] });
      @Module({
        imports: signs ? [service, http] : [service],
        providers: signs ? [] : [{ provide: HttpService, useValue: undefined }],
        controllers: [FeatureController],
      })
      class FeatureModule {}
      return FeatureModule;
    };

    const builderOf = (census: DynamicModule, archive: DynamicModule): TestingModuleBuilder =>
      Test.createTestingModule({
        imports: [census, archive, featureOf('census', census), featureOf('archive', archive)],
      });
    const production = (): TestingModuleBuilder =>
      builderOf(
        ServiceAuthModule.forRoot(optionsOf('census')),
        ServiceAuthModule.forRoot({ ...optionsOf('archive'), isGlobal: false }),
      );

    const start = async (builder: TestingModuleBuilder): Promise<INestApplication> => {
      const module = await builder.compile();
      const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
      const app = module.createNestApplication(httpAdapter, { logger: false });
      open.push(app);
      await app.init();
      if (adapter === 'fastify') {
        await (app as unknown as NestFastifyApplication).getHttpAdapter().getInstance().ready();
      }
      return app;
    };
    const get = async (
      app: INestApplication,
      target: string,
      headers: Record<string, string> = {},
    ) =>
      (await request(app.getHttpServer() as never)
        .get(target)
        .set(headers)) as {
        status: number;
        body: Record<string, unknown>;
      };
    /** Which services have called the ledger, and for whom. */
    const calls = () =>
      ledger.requests.splice(0).map(({ identity: { issuer, subject } }) => ({ issuer, subject }));

    it.each<[string, () => TestingModuleBuilder]>([
      ['override()', () => auth.override(production())],
      [
        'module()',
        () =>
          builderOf(
            auth.module(testOptions('census')),
            auth.module({ ...testOptions('archive'), isGlobal: false }),
          ),
      ],
    ])('signs for each, and verifies what each sends: %s', async (_way, build) => {
      const app = await start(build());
      for (const [name, issuer] of Object.entries(NAMES)) {
        const caller = auth.actingAs(USER).calling(issuer);
        const headers = await caller.headersFor('GET', `/${name}`);
        expect(await get(app, `/${name}`, headers)).toMatchObject({
          status: 200,
          body: { issuer: `https://caller-of-${name}.service/`, subject: USER },
        });
        expect(calls()).toEqual([{ issuer, subject: USER }]);
        // A token for one is none for the other.
        const [other = ''] = Object.keys(NAMES).filter((each) => each !== name);
        const forOther = await caller.headersFor('GET', `/${other}`);
        expect((await get(app, `/${other}`, forOther)).body['code']).toBe('issuer_unknown');
        const { issuer: by, audience } = await caller.identity();
        expect([by, audience]).toEqual([`https://caller-of-${name}.service/`, issuer]);
      }
      expect(calls()).toEqual([]);
      await expect(auth.actingAs(USER).headersFor('GET', '/census')).rejects.toThrow(
        /Say with calling\(audience\).*census.*archive/,
      );
    });

    const testOptions = (name: keyof typeof NAMES) => {
      const { signingKey: _key, ...options } = optionsOf(name);
      return options;
    };

    it('does without tokens for each', async () => {
      const app = await start(auth.overrideWithoutTokens(production(), { subject: USER }));
      for (const [name, issuer] of Object.entries(NAMES)) {
        expect((await get(app, `/${name}`)).body).toEqual({
          issuer: `https://caller-of-${name}.service/`,
          subject: USER,
        });
        expect(calls()).toEqual([{ issuer, subject: USER }]);
      }
    });

    it('refuses one set of options for both, and takes it for one', async () => {
      const { trustedIssuers, targets } = optionsOf('census');
      const starting = auth.override(production(), { trustedIssuers, targets }).compile();
      await expect(starting).rejects.toThrow(ServiceAuthUsageError);
      await expect(starting).rejects.toThrow(/several services.*without options/);
      const census = ServiceAuthModule.forRoot(optionsOf('census'));
      const one = Test.createTestingModule({ imports: [census, featureOf('census', census)] });
      const app = await start(auth.override(one, { trustedIssuers, targets }));
      const headers = await auth.actingAs(USER).headersFor('GET', '/census');
      expect(await get(app, '/census', headers)).toMatchObject({ status: 200 });
    });

    it('needs no name where only one of them receives', async () => {
      const sending = { trustedIssuers: undefined, publishedKeys: 'off' } as const;
      const receiving = { signingKey: undefined, targets: undefined, publishedKeys: undefined };
      const build = (): TestingModuleBuilder => {
        const census = ServiceAuthModule.forRoot(optionsOf('census', receiving));
        const archive = ServiceAuthModule.forRoot({
          ...optionsOf('archive', sending),
          isGlobal: false,
        });
        return Test.createTestingModule({
          imports: [census, archive, featureOf('census', census, false)],
        });
      };
      const app = await start(auth.override(build()));
      const headers = await auth.actingAs(USER).headersFor('GET', '/census');
      expect(await get(app, '/census', headers)).toMatchObject({ status: 200 });
      const tokenless = await start(auth.overrideWithoutTokens(build(), { subject: USER }));
      expect((await get(tokenless, '/census')).body).toMatchObject({ subject: USER });
    });

    it('does not hide that both are global', async () => {
      const both = [optionsOf('census'), optionsOf('archive')];
      const build = () =>
        Test.createTestingModule({ imports: both.map((each) => ServiceAuthModule.forRoot(each)) });
      for (const builder of [
        auth.override(build()),
        auth.overrideWithoutTokens(build(), {}),
        Test.createTestingModule({
          imports: [auth.module(), auth.module({ issuer: ARCHIVE })],
        }),
      ]) {
        await expect(builder.compile()).rejects.toThrow(ServiceAuthConfigError);
      }
    });
  },
);
