import { All, Controller, type Type, UseGuards } from '@nestjs/common';
import {
  AllowIssuers,
  RequireSubject,
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { rawCall } from '../support/http/http.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import {
  bytesOf,
  hasGrants,
  headersOf,
  optionsFor,
  REQUEST_FILES,
  Sequence,
  titleOf,
  toAccepted,
  type Vector,
  type VectorFile,
  type VectorRoute,
} from './vector-files.js';

/** A controller for one route of a file, or, without a route, for every other path. */
function controllerFor(file: VectorFile, path: string, route?: VectorRoute): Type {
  @Controller()
  @UseGuards(ServiceJwtGuard)
  class RouteController {
    @All(path)
    answer(@ServiceCaller() caller: ServiceIdentity) {
      return toAccepted(caller, hasGrants(file));
    }
  }
  if (route?.subjectRequired) RequireSubject()(RouteController);
  const [first, ...others] = route?.allowedIssuers ?? [];
  if (first !== undefined) AllowIssuers(first, ...others)(RouteController);
  if (route?.proof) requireProof(route.proof)(RouteController);
  return RouteController;
}

function requireProof({
  scopes,
  originators,
  acrs,
  ...age
}: NonNullable<VectorRoute['proof']>): ClassDecorator {
  return RequireSubjectProof({
    ...age,
    ...(scopes && { scope: scopes }),
    ...(originators && { originators }),
    ...(acrs && { acr: acrs }),
  });
}

async function startReceiver(adapter: Adapter, file: VectorFile): Promise<TestService> {
  return await startService({
    adapter,
    imports: [ServiceAuthModule.forRoot(optionsFor(file))],
    controllers: [
      ...file.receiver.routes.map((route) => controllerFor(file, route.path, route)),
      controllerFor(file, adapter === 'express' ? '*path' : '*'),
    ],
    configure: (app) => {
      if (adapter === 'fastify') leaveOtherBodiesUnread(app);
    },
  });
}

/** What Express does by itself: a body that no parser takes reaches the handler as a stream. */
function leaveOtherBodiesUnread(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
}

/** The request, byte for byte: no client stands between the vector and the wire. */
function serialise(vector: Vector): Buffer {
  const { method, target } = vector.request;
  const body = bytesOf(vector.request.body);
  const given = headersOf(vector);
  const isChunked = given.some(([name]) => name.toLowerCase() === 'transfer-encoding');
  const hasLength = body.length > 0 && !isChunked;
  const headers: [string, string][] = [
    ['Host', 'census.service'],
    ['Connection', 'close'],
    ...given,
    ...(hasLength ? [['Content-Length', String(body.length)] as [string, string]] : []),
  ];
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([
    Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`, 'latin1'),
    ...(isChunked ? inOneChunk(body) : [body]),
  ]);
}

function inOneChunk(body: Uint8Array): Uint8Array[] {
  const size = Buffer.from(`${body.length.toString(16)}\r\n`);
  return [size, body, Buffer.from('\r\n0\r\n\r\n')];
}

async function verdictOf(port: number, vector: Vector): Promise<unknown> {
  const text = await rawCall(port, serialise(vector));
  const status = Number(text.split(' ')[1]);
  const json = /\r\n\r\n[^{]*(\{[\s\S]*\})/.exec(text)?.[1] ?? '{}';
  const body = JSON.parse(Buffer.from(json, 'latin1').toString()) as { code?: string };
  if (status < 300) return body;
  return { verdict: 'refused', code: body.code, status };
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe.each(REQUEST_FILES)('the vectors of $name.json', ({ file }) => {
    let service: TestService;
    beforeAll(async () => {
      service = await startReceiver(adapter, file);
    });
    afterAll(() => service.close());

    const sequence = new Sequence(file.vectors, (vector) => verdictOf(service.port, vector));

    it.each(file.vectors.map((vector) => [titleOf(vector), vector] as const))(
      '%s',
      async (_title, vector) => {
        expect(await sequence.answerTo(vector)).toEqual(vector.expected);
      },
    );
  });
});
