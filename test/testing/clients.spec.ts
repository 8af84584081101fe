import type { AddressInfo, Server } from 'node:net';
import {
  Body,
  Controller,
  Get,
  type INestApplication,
  Module,
  Param,
  Post,
  Query,
  UseGuards,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ServiceAuthTesting, type TestHeaders } from 'nestjs-service-auth/testing';
import { spec } from 'pactum';
import request from 'supertest';
import { injectWithoutCookies } from '../support/http/inject-without-cookies.js';
import { type Adapter, ADAPTERS } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const USER = 'https://census.service/user/21/';

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get(':id')
  find(
    @Param('id') id: string,
    @Query() query: object,
    @ServiceCaller() { issuer, subject }: ServiceIdentity,
  ) {
    return { id, query, issuer, subject };
  }
  @Post()
  create(@Body() body: unknown, @ServiceCaller() { subject }: ServiceIdentity) {
    return { body, subject };
  }
}

@Module({
  imports: [
    ServiceAuthModule.forRoot({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, jwksUri: 'https://herald.service/keys' }],
    }),
  ],
  controllers: [UserController],
})
class CensusModule {}

interface Sent {
  readonly method: 'GET' | 'POST';
  readonly target: string;
  readonly headers: TestHeaders;
  readonly body?: string | Buffer | URLSearchParams | object;
}

interface Received {
  readonly status: number;
  readonly json: unknown;
}

type Client = (app: INestApplication, sent: Sent) => Promise<Received>;

const bytesOf = (body: NonNullable<Sent['body']>): string | Buffer =>
  body instanceof URLSearchParams
    ? body.toString()
    : typeof body === 'string' || Buffer.isBuffer(body)
      ? body
      : JSON.stringify(body);

const portOf = (app: INestApplication): number =>
  ((app.getHttpServer() as Server).address() as AddressInfo).port;

/** Objects are handed over as objects: each client serialises them itself. */
const CLIENTS: Record<string, Client> = {
  supertest: async (app, { method, target, headers, body }) => {
    const agent = request(app.getHttpServer() as Server);
    const call = method === 'GET' ? agent.get(target) : agent.post(target);
    const sent = body instanceof URLSearchParams ? body.toString() : body;
    // Or superagent would write bytes under a JSON type as the JSON of a Buffer.
    if (Buffer.isBuffer(body)) call.serialize((bytes) => bytes as string);
    const answer = await call.set(headers).send(sent as object | undefined);
    return { status: answer.status, json: answer.body as unknown };
  },
  pactum: async (app, { method, target, headers, body }) => {
    const url = `http://127.0.0.1:${portOf(app)}${target}`;
    const started = method === 'GET' ? spec().get(url) : spec().post(url);
    const call = started.withHeaders(headers);
    const isText =
      typeof body === 'string' || Buffer.isBuffer(body) || body instanceof URLSearchParams;
    if (isText) call.withBody(bytesOf(body));
    else if (body !== undefined) call.withJson(body);
    const { statusCode, json } = (await call.toss()) as { statusCode: number; json: unknown };
    return { status: statusCode, json };
  },
  fetch: async (app, { method, target, headers, body }) => {
    const url = `http://127.0.0.1:${portOf(app)}${target}`;
    const content = body === undefined ? {} : { body: bytesOf(body) };
    const answer = await fetch(url, { ...content, method, headers });
    return { status: answer.status, json: await answer.json() };
  },
  'app.inject': async (app, { method, target, headers, body }) => {
    const payload = body instanceof URLSearchParams ? body.toString() : body;
    const fastify = app as NestFastifyApplication;
    const answer = await fastify.inject({ method, url: target, headers, payload });
    return { status: answer.statusCode, json: answer.json<unknown>() };
  },
};

const startOn = async (adapter: Adapter, auth: ServiceAuthTesting): Promise<INestApplication> => {
  const builder = Test.createTestingModule({ imports: [CensusModule] }).setLogger(false as never);
  const module = await auth.override(builder).compile();
  const app = module.createNestApplication(
    adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(),
    { logger: false, forceCloseConnections: true },
  );
  await app.listen(0, '127.0.0.1');
  return app;
};

describe.each(ADAPTERS)('headers of the testing kit on %s', (adapter) => {
  const auth = new ServiceAuthTesting();
  let app: INestApplication;
  beforeAll(async () => {
    injectWithoutCookies();
    app = await startOn(adapter, auth);
  });
  afterAll(async () => await app.close());

  const clients = Object.keys(CLIENTS).filter(
    (name) => adapter === 'fastify' || name !== 'app.inject',
  );

  describe.each(clients)('with %s', (client) => {
    const send = async (sent: Sent) => await CLIENTS[client]!(app, sent);

    it('let a request in as the user it is made for', async () => {
      const target = '/user/42?full=1&name=J%C3%B6rg';
      const headers = await auth.actingAs(USER).headersFor('GET', target);
      expect(await send({ method: 'GET', target, headers })).toEqual({
        status: 200,
        json: { id: '42', query: { full: '1', name: 'Jörg' }, issuer: HERALD, subject: USER },
      });
    });

    it.each([
      ['an object', { name: 'Jörg' }, { name: 'Jörg' }, undefined],
      ['a form', new URLSearchParams({ name: 'Jörg' }), { name: 'Jörg' }, undefined],
      ['JSON text', '{ "name": "x" }', { name: 'x' }, 'application/json; charset=utf-8'],
      ['JSON bytes', Buffer.from('{"name":"x"}'), { name: 'x' }, 'application/json'],
    ])('bind %s as it is sent', async (_title, body, received, contentType) => {
      const headers = await auth.actingAs(USER).headersFor('POST', '/user', body, { contentType });
      expect(await send({ method: 'POST', target: '/user', headers, body })).toEqual({
        status: 201,
        json: { body: received, subject: USER },
      });
    });

    it('refuse another body than the one they are for', async () => {
      const headers = await auth.actingAs(USER).headersFor('POST', '/user', { name: 'x' });
      const sent = { method: 'POST', target: '/user', headers, body: { name: 'y' } } as const;
      expect(await send(sent)).toMatchObject({ status: 401, json: { code: 'body_mismatch' } });
    });
  });
});
