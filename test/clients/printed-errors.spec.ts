import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { HttpService } from '@nestjs/axios';
import { Body, Controller, Inject, Post, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import type { AxiosRequestConfig } from 'axios';
import { Caller } from '../support/services/caller.js';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { CENSUS, HERALD, heraldKey, USER } from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { secretsOfKey, tellingSegments } from '../support/observed/traces.js';

const PROCESS = 'test/clients/processes/printing.process.ts';

describe('a service that prints its errors in every way there is', () => {
  const answers = new RecordingServer(({ target }, response) => {
    if (target === '/reset') response.destroy();
    else if (target !== '/stalled') response.writeHead(Number(target.slice(1))).end('{}');
  });
  let project: CompiledProject;
  let refused = '';
  let printed = '';
  let secrets: string[] = [];

  beforeAll(async () => {
    await answers.start();
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    refused = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
    closed.close();
    project = compileProject([PROCESS]);
    const child = fork(project.path(PROCESS), [answers.url, refused], {
      silent: true,
      timeout: 25_000,
    });
    child.on('message', (told: string[]) => secrets.push(...told));
    const output = [child.stdout, child.stderr].map(
      async (stream) => stream && (await text(stream)),
    );
    const [code] = (await once(child, 'exit')) as [number];
    printed = (await Promise.all(output)).join('');
    expect({ code, printed: code === 1 ? '' : printed }).toEqual({ code: 1, printed: '' });
    secrets = [...new Set(secrets)].filter((secret) => secret.length > 20);
  });
  afterAll(async () => {
    await answers.close();
    project.remove();
  });

  it('prints them, and dies of the last one as it should', () => {
    expect(printed).toContain('Request failed with status code 401');
    expect(printed).toContain('socket hang up');
    expect(printed).toContain('header_unsignable');
    expect(printed).toContain('Service auth is not configured correctly');
    expect(printed).toMatch(/throw last;[^]*AxiosError/);
  });

  it('shows no token and no key', () => {
    // The key, twelve tokens of one header.
    expect(secrets.length).toBeGreaterThanOrEqual(2 + 1 + 12 * 2);
    expect(secrets.filter((secret) => printed.includes(secret))).toEqual([]);
  });

  it('shows nothing of what it was asked to sign', () => {
    expect(printed.match(/canary[-\w]*/g)).toBeNull();
  });

  it('would show what axios alone shows', () => {
    expect(printed).toContain('shown-by-axios-alone');
  });
});

describe.each(ADAPTERS)('a service on %s that lets the error of a call through', (framework) => {
  const agent = new Caller('https://agent.service/', HERALD);
  const logger = new LogRecorder();
  const answers = new RecordingServer(({ target }, response) => {
    response.writeHead(Number(target.slice(1))).end(`{"secret":"canary-of-the-answer"}`);
  });
  let service: TestService;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class RelayController {
    constructor(@Inject(HttpService) private readonly http: HttpService) {}

    @Post('promise')
    async promise(@ServiceCaller() caller: ServiceIdentity, @Body() config: AxiosRequestConfig) {
      const { data } = await this.http.axiosRef.request<unknown>(onBehalfOf(caller, config));
      return data;
    }

    @Post('observable')
    observable(@ServiceCaller() caller: ServiceIdentity, @Body() config: AxiosRequestConfig) {
      return this.http.request<unknown>(onBehalfOf(caller, config));
    }
  }

  beforeAll(async () => {
    await answers.start();
    service = await startService({
      adapter: framework,
      logger,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [agent.trusted],
          targets: [{ baseUrl: answers.url, audience: CENSUS }],
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [RelayController],
    });
  });
  afterAll(async () => await Promise.all([service.close(), answers.close()]));

  const relay = async (how: string, status: number) => {
    const config = { method: 'post', url: `${answers.url}/${status}`, data: { secret: 'canary' } };
    const body = JSON.stringify(config);
    const contentType = 'application/json';
    const token = agent.token({ method: 'POST', target: how, body, contentType, subject: USER });
    const headers = { jwt: token };
    const answer = await agent.send(service.port, {
      method: 'POST',
      target: how,
      body,
      contentType,
      headers,
    });
    return { answer, tokens: [token, ...answers.takeAll().flatMap((one) => valuesOf(one, 'jwt'))] };
  };

  it.each([
    ['/promise', 401],
    ['/promise', 503],
    ['/observable', 401],
    ['/observable', 503],
  ])('of %s, answered with %i, logs and answers no token and no key', async (how, status) => {
    logger.entries.length = 0;
    const { answer, tokens } = await relay(how, status);
    expect(tokens).toHaveLength(2);
    expect(answer.status).toBe(500);
    const logged = JSON.stringify(logger.entries);
    expect(logged).toContain(`Request failed with status code ${status}`);
    const secrets = [...tellingSegments(tokens), ...secretsOfKey(heraldKey)];
    const shown = [logged, answer.text, JSON.stringify(answer.headers)].join('');
    expect(secrets.filter((secret) => shown.includes(secret))).toEqual([]);
    expect(answer.json).toEqual({ statusCode: 500, message: 'Internal server error' });
  });

  it('passes on what does not fail', async () => {
    const { answer, tokens } = await relay('/promise', 200);
    expect(tokens).toHaveLength(2);
    expect(answer.json).toEqual({ secret: 'canary-of-the-answer' });
  });
});
