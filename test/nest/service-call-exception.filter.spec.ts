import { HttpService } from '@nestjs/axios';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  Inject,
  Query,
} from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  ServiceAnswerRefusedError,
  ServiceAuthModule,
  ServiceAuthUnavailableError,
  ServiceCallExceptionFilter,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const USER = 'https://census.service/user/21/';
const key = createKey();

class OwnError extends Error {}

@Catch(OwnError)
class OwnFilter implements ExceptionFilter {
  catch(_error: OwnError, host: ArgumentsHost): void {
    const response = host
      .switchToHttp()
      .getResponse<{ status: (code: number) => { send: (body: string) => void } }>();
    response.status(418).send('mine');
  }
}

/** What a handler gets whose message was not sent, or whose answer is not believed. */
const MESSAGE_ERRORS: Readonly<Record<string, Error>> = {
  answer_unsigned: new ServiceAnswerRefusedError('answer_unsigned', { detail: 'canary' }),
  key_unavailable: new ServiceAuthUnavailableError('key_unavailable', { detail: 'canary' }),
  replay_store_unavailable: new ServiceAuthUnavailableError('replay_store_unavailable'),
};

const targetOf = (port: unknown) => `http://127.0.0.1:${String(port)}/`;

@Controller()
class GreetingController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
  ) {}

  @Get('axios')
  withAxios(@Query('status') status: string, @Query('port') port: string) {
    return this.http.get(`${targetOf(port)}canary/${status}`, onBehalfOf(USER));
  }

  @Get('nobody')
  forNobody(@Query('port') port: string) {
    return this.http.get(targetOf(port));
  }

  @Get('fetch')
  async withFetch(@Query('port') port: string) {
    await this.fetch(`${targetOf(port)}canary`, { method: 'GET', ...onBehalfOf(USER) });
  }

  @Get('fetch-nobody')
  async fetchForNobody(@Query('port') port: string) {
    await this.fetch(targetOf(port));
  }

  @Get('own')
  own() {
    throw new OwnError();
  }

  @Get('message')
  message(@Query('code') code: string) {
    throw MESSAGE_ERRORS[code] ?? new Error('canary');
  }

  @Get('bug')
  bug() {
    throw new TypeError('canary');
  }
}

describe.each(ADAPTERS)('ServiceCallExceptionFilter on %s', (adapter) => {
  const logs = new LogRecorder();
  let herald: TestService;
  let census: Server;
  let port = 0;
  let closedPort = 0;

  beforeAll(async () => {
    census = createServer((request, response) => {
      const status = Number(request.url?.split('/').at(-1)) || 200;
      response.writeHead(status, { 'content-type': 'application/json' });
      const code = status === 401 ? 'audience_mismatch' : 'canary\n';
      response.end(JSON.stringify({ code, message: 'canary' }));
    });
    await new Promise<void>((resolve) => census.listen(0, '127.0.0.1', resolve));
    ({ port } = census.address() as AddressInfo);
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    closedPort = (gone.address() as AddressInfo).port;
    await new Promise((resolve) => gone.close(resolve));
    herald = await startService({
      adapter,
      logger: logs,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: 'https://herald.service/',
          signingKey: { privateKey: key.privatePem },
          targets: [targetOf(port), targetOf(closedPort)].map((baseUrl) => ({
            baseUrl,
            audience: 'https://census.service/',
          })),
        }),
        ServiceHttpModule.register(),
        ServiceFetchModule.register({}),
      ],
      controllers: [GreetingController],
      providers: [
        { provide: APP_FILTER, useClass: OwnFilter },
        { provide: APP_FILTER, useClass: ServiceCallExceptionFilter },
      ],
    });
  });
  afterAll(async () => {
    await herald.close();
    await new Promise((resolve) => census.close(resolve));
  });
  beforeEach(() => {
    logs.entries.length = 0;
  });

  const ask = async (target: string) => {
    const { status, text } = await call(herald.port, { target });
    const lines = logs.entries
      .filter(({ text: line }) => line.endsWith('ServiceCall'))
      .map(({ level, text: line }) => `${level} ${line}`);
    return { status, text, lines };
  };
  const origin = () => `http://127.0.0.1:${port}`;

  it.each([
    [403, 403, 'debug'],
    [404, 404, 'debug'],
    [400, 502, 'warn'],
    [409, 502, 'warn'],
    [500, 502, 'warn'],
    [503, 502, 'warn'],
  ])('answers a %i of the called service with %i', async (called, status, level) => {
    const answered = await ask(`/axios?status=${called}&port=${port}`);
    expect(answered.status).toBe(status);
    expect(JSON.parse(answered.text)).toMatchObject({ statusCode: status });
    expect(answered.text).not.toContain('canary');
    expect(answered.lines).toEqual([
      `${level} ${origin()} answered a call with ${called}. Answered ${status}. ServiceCall`,
    ]);
    expect(JSON.stringify(logs.entries)).not.toContain('canary');
  });

  it('passes an answer on that is good', async () => {
    expect(await ask(`/fetch?port=${port}`)).toMatchObject({ status: 200, lines: [] });
  });

  it('says the code of a refusal in the log alone', async () => {
    const { status, text, lines } = await ask(`/axios?status=401&port=${port}`);
    expect(status).toBe(502);
    expect(text).not.toContain('audience_mismatch');
    expect(lines).toEqual([
      `warn ${origin()} answered a call with 401 (audience_mismatch): its log says why. Answered 502. ServiceCall`,
    ]);
  });

  it.each([
    ['axios', '/axios?status=200&port=', () => `http://127.0.0.1:${closedPort}`],
    ['fetch', '/fetch?port=', () => 'A service'],
  ])('answers 502 where nothing answers %s', async (_client, target, who) => {
    const { status, lines } = await ask(`${target}${closedPort}`);
    expect(status).toBe(502);
    expect(lines).toEqual([
      `warn ${who()} did not answer a call (ECONNREFUSED). Answered 502. ServiceCall`,
    ]);
  });

  it.each(['nobody', 'fetch-nobody'])(
    'answers 502 where a call is not signed, /%s',
    async (route) => {
      const { status, lines } = await ask(`/${route}?port=${port}`);
      expect(status).toBe(502);
      expect(lines.at(-1)).toBe(
        'warn A call to another service was not sent (subject_undecided). Answered 502. ServiceCall',
      );
    },
  );

  it.each([
    ['answer_unsigned', 'The answer to a message is not believed (answer_unsigned).'],
    ['key_unavailable', 'The keys of another service are not known (key_unavailable).'],
  ])('answers 502 where a message failed with %s', async (code, line) => {
    const { status, text, lines } = await ask(`/message?code=${code}`);
    expect(status).toBe(502);
    expect(text).not.toMatch(/canary|answer_unsigned|key_unavailable/);
    expect(lines).toEqual([`warn ${line} Answered 502. ServiceCall`]);
  });

  it('leaves a failure of the replay store alone, which is about no call', async () => {
    const { status, lines } = await ask('/message?code=replay_store_unavailable');
    expect({ status, lines }).toEqual({ status: 500, lines: [] });
  });

  it('says what to write where it was given no adapter', () => {
    const filter = new ServiceCallExceptionFilter();
    const host = { getType: () => 'http' } as unknown as ArgumentsHost;
    const error = new TypeError('fetch failed');
    expect(() => filter.catch(error, host)).toThrow(/APP_FILTER.*app\.getHttpAdapter\(\)/);
    expect(logs.entries).toEqual([]);
  });

  it('leaves other errors to other filters and to Nest', async () => {
    expect(await ask('/own')).toMatchObject({ status: 418, text: 'mine', lines: [] });
    expect(await ask('/bug')).toMatchObject({ status: 500, lines: [] });
  });
});
