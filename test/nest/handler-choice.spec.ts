import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import {
  Controller,
  Get,
  HostParam,
  Module,
  UseGuards,
  Version,
  VERSION_NEUTRAL,
  type VersioningOptions,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import {
  FastifyAdapter,
  type NestFastifyApplication,
  RouteConstraints,
} from '@nestjs/platform-fastify';
import { ServiceAuthModule, ServiceJwtGuard, SkipServiceAuth } from 'nestjs-service-auth';
import { strictToken } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { CENSUS, closeAfterEach, HERALD } from '../support/services/receiver.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

/** What besides method and target chooses a handler: a header that a token need not bind. */

const key = createKey();
const keep = closeAfterEach();

@Controller('paper')
@UseGuards(ServiceJwtGuard)
class VersionedController {
  @Get()
  @Version('1')
  first() {
    return { handler: 'first' };
  }
  @Get()
  @Version('2')
  second() {
    return { handler: 'second' };
  }
  @Get()
  @Version(VERSION_NEUTRAL)
  neutral() {
    return { handler: 'neutral' };
  }
}

@Controller({ path: 'paper', host: ':tenant.census.service' })
@UseGuards(ServiceJwtGuard)
class TenantController {
  @Get()
  find(@HostParam('tenant') tenant: string) {
    return { handler: tenant };
  }
}

@Controller({ path: 'paper', host: 'b.census.service' })
@UseGuards(ServiceJwtGuard)
class HostBController {
  @Get()
  find() {
    return { handler: 'its own' };
  }
}

@Controller({ path: 'open', host: 'a.census.service', version: '1' })
@SkipServiceAuth()
class OpenController {
  @Get()
  find() {
    return { handler: 'open' };
  }
}

@Controller('plain')
@UseGuards(ServiceJwtGuard)
class PlainController {
  @Get()
  find() {
    return { handler: 'plain' };
  }
}

const BY_HEADER: VersioningOptions = { type: VersioningType.HEADER, header: 'X-Version' };
const BY_MEDIA_TYPE: VersioningOptions = { type: VersioningType.MEDIA_TYPE, key: 'v=' };
const BY_EXTRACTOR: VersioningOptions = {
  type: VersioningType.CUSTOM,
  extractor: (request) =>
    (request as { headers: Record<string, string | undefined> }).headers['x-app'] ?? '',
};
const BY_URI: VersioningOptions = { type: VersioningType.URI };

interface Setup {
  readonly versioning?: VersioningOptions;
  readonly requiredHeaders?: string[];
  readonly controllers?: (new () => object)[];
  readonly everywhere?: boolean;
  readonly logger?: LogRecorder;
}

async function start(adapter: Adapter, setup: Setup): Promise<TestService> {
  const { versioning, requiredHeaders = [], controllers = [VersionedController], logger } = setup;
  return keep(
    await startService({
      adapter,
      logger,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
          requiredHeaders,
        }),
      ],
      providers: setup.everywhere ? [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }] : [],
      controllers,
      configure: (app) => versioning && app.enableVersioning(versioning),
    }),
  );
}

const tokenFor = (hdr: Record<string, string>): string =>
  strictToken({
    key,
    issuer: HERALD,
    audience: CENSUS,
    target: '/paper',
    claims: { hdr: Object.keys(hdr).length > 0 ? hdr : undefined },
  });

/** Sends a token that was made for a request with `signed`, in one with `sent`. */
async function ask(
  { port }: TestService,
  signed: Record<string, string>,
  sent: Record<string, string | string[]> = signed,
): Promise<unknown> {
  const headers = { ...sent, JWT: tokenFor(signed) };
  const { json, code, status } = await call(port, { target: '/paper', headers });
  return status === 200 ? json?.['handler'] : code;
}

const REFUSED = 'header_mismatch';

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe.each<[string, VersioningOptions, string, string, string]>([
    ['RB-23 by a header', BY_HEADER, 'x-version', '1', '2'],
    [
      'RB-24 by media type',
      BY_MEDIA_TYPE,
      'accept',
      'application/json;v=1',
      'application/json;v=2',
    ],
    ['RB-23 by an extractor', BY_EXTRACTOR, 'x-app', '1', '2'],
  ])('%s', (_name, versioning, header, one, two) => {
    const version = (value: string) => ({ [header]: value });

    it('a token for one version is refused at the others where the header is required', async () => {
      const service = await start(adapter, { versioning, requiredHeaders: [header] });
      expect(await ask(service, version(one))).toBe('first');
      expect(await ask(service, version(two))).toBe('second');
      expect(await ask(service, version(one), version(two))).toBe(REFUSED);
      expect(await ask(service, version(one), {})).toBe(REFUSED);
      expect(await ask(service, {}, version(two))).toBe(REFUSED);
      expect(await ask(service, version(one), { [header]: [one, two] })).not.toBe('second');
    });

    it('a required header that no request has is not asked for', async () => {
      const service = await start(adapter, { versioning, requiredHeaders: [header] });
      expect(await ask(service, {})).toBe('neutral');
    });

    it('a token opens every version where the header is not required, and a warning says so', async () => {
      const logger = new LogRecorder();
      const service = await start(adapter, { versioning, logger });
      expect(await ask(service, {}, version(two))).toBe('second');
      expect(logger.texts('warn')).toEqual([expect.stringContaining('requiredHeaders')]);
    });
  });

  it('RB-25 a token for one host is refused at the others where the header is required', async () => {
    const service = await start(adapter, {
      controllers: [TenantController],
      requiredHeaders: ['host'],
    });
    const a = { host: 'a.census.service' };
    const b = { host: 'b.census.service' };
    expect(await ask(service, a)).toBe('a');
    expect(await ask(service, b)).toBe('b');
    expect(await ask(service, a, b)).toBe(REFUSED);
    expect(await ask(service, b, a)).toBe(REFUSED);
    expect(await ask(service, {}, a)).toBe(REFUSED);
  });

  it('RB-25 a token opens every host where the header is not required', async () => {
    const service = await start(adapter, { controllers: [TenantController] });
    expect(await ask(service, {}, { host: 'b.census.service' })).toBe('b');
  });

  describe('RB-26 at start', () => {
    const warningsOf = async (setup: Setup): Promise<string[]> => {
      const logger = new LogRecorder();
      await start(adapter, { ...setup, logger });
      return logger.texts('warn').filter((text) => text.includes('Tokens need not bind'));
    };
    const named = (header: string): unknown[] => [
      expect.stringContaining(`signedHeaders: ['${header}']`),
    ];

    it.each<[string, Setup, unknown[]]>([
      ['versions by a header', { versioning: BY_HEADER }, named('x-version')],
      ['versions by media type', { versioning: BY_MEDIA_TYPE }, named('accept')],
      ['a default version', { versioning: { ...BY_HEADER, defaultVersion: '1' }, controllers: [PlainController] }, named('x-version')], // prettier-ignore
      ['a host', { controllers: [TenantController] }, named('host')],
      ['a guard on every route', { versioning: BY_HEADER, everywhere: true }, named('x-version')],
      ['another required header', { versioning: BY_HEADER, requiredHeaders: ['x-order'] }, [expect.stringContaining("requiredHeaders: ['x-order', 'x-version']")]], // prettier-ignore
    ])('%s: a warning', async (_name, setup, expected) => {
      expect(await warningsOf(setup)).toEqual(expected);
    });

    it.each<[string, Setup]>([
      ['versions by a header that is required', { versioning: BY_HEADER, requiredHeaders: ['X-Version'] }], // prettier-ignore
      ['versions by media type with Accept required', { versioning: BY_MEDIA_TYPE, requiredHeaders: ['accept'] }], // prettier-ignore
      ['an extractor and a required header', { versioning: BY_EXTRACTOR, requiredHeaders: ['x-app'] }], // prettier-ignore
      ['versions in the path', { versioning: BY_URI }],
      ['no versions', { versioning: BY_HEADER, controllers: [PlainController] }],
      ['a host that is required', { controllers: [TenantController], requiredHeaders: ['host'] }],
      ['open routes alone', { versioning: BY_HEADER, controllers: [OpenController] }],
      ['open routes behind a guard for all', { controllers: [OpenController], everywhere: true }],
    ])('%s: none', async (_name, setup) => {
      expect(await warningsOf(setup)).toEqual([]);
    });
  });
});

it('RB-25 two controllers for two hosts are as one for every host, on express', async () => {
  const controllers = [HostBController, TenantController];
  const [a, b] = [{ host: 'a.census.service' }, { host: 'b.census.service' }];
  const service = await start('express', { controllers, requiredHeaders: ['host'] });
  expect(await ask(service, a)).toBe('a');
  expect(await ask(service, b)).toBe('its own');
  expect(await ask(service, a, b)).toBe(REFUSED);
});

describe('with constraints of Fastify', () => {
  @Controller('paper')
  @UseGuards(ServiceJwtGuard)
  class ConstrainedController {
    @Get()
    @RouteConstraints({ host: 'a.census.service' })
    a() {
      return { handler: 'a' };
    }
    @Get()
    @RouteConstraints({ host: 'b.census.service' })
    b() {
      return { handler: 'b' };
    }
  }
  const controllers = [ConstrainedController];
  const [a, b] = [{ host: 'a.census.service' }, { host: 'b.census.service' }];

  it('RB-25 a token for one host is refused at the other where the header is required, on fastify', async () => {
    const service = await start('fastify', { controllers, requiredHeaders: ['host'] });
    expect(await ask(service, a)).toBe('a');
    expect(await ask(service, b)).toBe('b');
    expect(await ask(service, a, b)).toBe(REFUSED);
  });

  it('RB-26 a warning at start names the header, on fastify', async () => {
    const logger = new LogRecorder();
    const service = await start('fastify', { controllers, logger });
    expect(await ask(service, {}, b)).toBe('b');
    expect(logger.texts('warn')).toEqual([expect.stringContaining("signedHeaders: ['host']")]);
  });
});

describe('over HTTP/2, on fastify', () => {
  @Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
        requiredHeaders: ['host'],
      }),
    ],
    controllers: [TenantController],
  })
  class CensusModule {}

  let app: NestFastifyApplication;
  let session: ClientHttp2Session;
  beforeAll(async () => {
    const adapter = new FastifyAdapter({ http2: true } as never);
    app = await NestFactory.create<NestFastifyApplication>(CensusModule, adapter, {
      logger: false,
    });
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as unknown as Server).address() as AddressInfo;
    session = connect(`http://127.0.0.1:${port}`);
  });
  afterAll(async () => {
    session.close();
    await app.close();
  });

  async function send(signed: string | undefined, sent: Record<string, string>): Promise<unknown> {
    const token = tokenFor(signed === undefined ? {} : { host: signed });
    const stream = session.request({ ':path': '/paper', ...sent, jwt: token });
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(stream, 'end');
    const { handler, code } = JSON.parse(text) as { handler?: string; code?: string };
    return handler ?? code;
  }
  const [A, B] = ['a.census.service', 'b.census.service'];

  it.each<[string, string | undefined, Record<string, string>, string]>([
    ['the authority that was signed', A, { ':authority': A }, 'a'],
    ['another authority that was signed', B, { ':authority': B }, 'b'],
    ['a host in place of an authority', A, { host: A }, 'a'],
    ['a host that says the same', A, { ':authority': A, host: A }, 'a'],
    ['an authority that was not signed', A, { ':authority': B }, REFUSED],
    ['an authority where none was signed', undefined, { ':authority': A }, REFUSED],
    ['a host that was not signed', A, { host: B }, REFUSED],
    ['a host beside the authority that was signed', A, { ':authority': A, host: B }, REFUSED],
    ['an authority beside the host that was signed', A, { ':authority': B, host: A }, REFUSED],
  ])('RB-27 %s', async (_name, signed, sent, expected) => {
    expect(await send(signed, sent)).toBe(expected);
  });
});
