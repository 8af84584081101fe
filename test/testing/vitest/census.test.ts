import type { AddressInfo, Server } from 'node:net';
import { HttpService } from '@nestjs/axios';
import { Body, Controller, Get, Inject, type INestApplication, Module, Post } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { decodeToken, type Flaw, FLAWS, ServiceAuthTesting } from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CENSUS = 'https://census.service/';
const ARCHIVE = 'https://archive.service/';
const USER = 'https://census.service/user/21/';

@Controller('user')
class UserController {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Get()
  me(@ServiceSubject() subject: string) {
    return { subject };
  }

  @Post()
  async archive(
    @Body() { url, name }: { url: string; name: string },
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    const answer = this.http.post<unknown>(url, { name }, onBehalfOf(caller));
    return (await lastValueFrom(answer)).data;
  }
}

const serviceAuth = ServiceAuthModule.forRootAsync({
  useFactory: () => ({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: 'https://herald.service/' }],
    signingKey: { keyFile: '/run/secrets/that-are-not-there/census.pem' },
    targets: [{ baseUrl: ARCHIVE }],
  }),
});

@Module({
  imports: [serviceAuth, ServiceHttpModule.register()],
  controllers: [UserController],
  providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
})
class CensusModule {}

describe.each(['express', 'fastify'])('under Vitest, on %s', (adapter) => {
  const auth = new ServiceAuthTesting();
  let app: INestApplication;

  const start = async (builder: ReturnType<typeof Test.createTestingModule>) => {
    const module = await builder.compile();
    const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
    const started = module.createNestApplication(httpAdapter, { logger: false });
    await started.listen(0, '127.0.0.1');
    return started;
  };
  const portOf = (): number => ((app.getHttpServer() as Server).address() as AddressInfo).port;

  beforeAll(async () => {
    app = await start(auth.override(Test.createTestingModule({ imports: [CensusModule] })));
  });
  afterAll(async () => await app.close());

  it('lets a user in with supertest', async () => {
    const headers = await auth.actingAs(USER).headersFor('GET', '/user');
    const server = app.getHttpServer() as Server;
    await request(server).get('/user').set(headers).expect(200, { subject: USER });
    await request(server).get('/user').set(headers).expect(401);
  });

  it('lets a user in with fetch', async () => {
    const headers = await auth.actingAs(USER).headersFor('GET', '/user');
    const answer = await fetch(`http://127.0.0.1:${portOf()}/user`, { headers });
    expect(await answer.json()).toEqual({ subject: USER });
  });

  it.runIf(adapter === 'fastify')('lets a user in with app.inject', async () => {
    const headers = await auth.actingAs(USER).headersFor('GET', '/user');
    const answer = await (app as NestFastifyApplication).inject({ url: '/user', headers });
    expect(answer.json()).toEqual({ subject: USER });
  });

  it.each(Object.entries(FLAWS) as [Flaw, string][])('refuses: %s', async (flaw, code) => {
    const headers = await auth.actingAs(USER).but(flaw).headersFor('GET', '/user');
    const answer = await request(app.getHttpServer() as Server)
      .get('/user')
      .set(headers);
    expect(answer.body).toMatchObject({ statusCode: 401, code });
  });

  it('verifies what is sent', async () => {
    const receiver = await auth.startReceiver(ARCHIVE, { answer: () => ({ json: { id: 7 } }) });
    const options = { issuer: CENSUS, targets: [receiver.target] };
    const builder = Test.createTestingModule({ imports: [CensusModule] });
    const sender = await start(auth.override(builder, options));
    try {
      const body = { url: receiver.url, name: 'x' };
      const headers = await auth.actingAs(USER).headersFor('POST', '/user', body);
      const server = sender.getHttpServer() as Server;
      await request(server).post('/user').set(headers).send(body).expect(201, { id: 7 });
      expect(receiver.requests.map(({ headers: sent }) => decodeToken(sent).claims)).toMatchObject([
        { iss: CENSUS, aud: ARCHIVE, sub: USER, req: 'POST /', iat: auth.clock.seconds },
      ]);
    } finally {
      await sender.close();
      await receiver.close();
    }
  });

  it('gives a handler the identity that it calls for', async () => {
    const receiver = await auth.startReceiver(ARCHIVE);
    const options = { issuer: CENSUS, targets: [receiver.target] };
    const builder = Test.createTestingModule({ imports: [CensusModule] });
    const sender = await start(auth.override(builder, options));
    try {
      const caller = await auth.actingAs(USER).calling(CENSUS).identity();
      await sender.get(UserController).archive({ url: receiver.url, name: 'x' }, caller);
      expect(receiver.requests.map(({ identity }) => identity.subject)).toEqual([USER]);
    } finally {
      await sender.close();
      await receiver.close();
    }
  });

  it('does without tokens where that is said', async () => {
    const builder = Test.createTestingModule({ imports: [CensusModule] });
    const open = await start(auth.overrideWithoutTokens(builder, { subject: USER }));
    try {
      const server = open.getHttpServer() as Server;
      await request(server).get('/user').expect(200, { subject: USER });
    } finally {
      await open.close();
    }
  });
});
