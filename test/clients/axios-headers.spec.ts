import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Req, UseGuards } from '@nestjs/common';
import type { AxiosAdapter, AxiosError, AxiosRequestConfig } from 'axios';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  refusalOf,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter', (adapter) => {
  const wire = new RecordingServer();
  beforeAll(async () => void (await wire.start()));
  afterAll(async () => await wire.close());

  describe('one token goes out, ours, where the caller sets', () => {
    let herald: SendingService;
    beforeAll(async () => (herald = await SendingService.start([wire.url])));
    afterAll(async () => await herald.close());

    it.each<[string, Record<string, string | string[]>]>([
      ['JWT', { JWT: 'a.b.c' }],
      ['jwt', { jwt: 'a.b.c' }],
      ['Jwt', { Jwt: 'a.b.c' }],
      ['a list', { JWT: ['a.b.c', 'd.e.f'] }],
      ['several spellings', { JWT: 'a.b.c', jwt: 'd.e.f', ' jWt ': 'g.h.i' }],
      ['a line break', { JWT: 'a.b.c\r\nJWT: d.e.f' }],
      ['nothing', { JWT: '' }],
    ])('OS-14 %s', async (_name, headers) => {
      await herald.send({ method: 'post', url: wire.url, data: { a: 1 }, headers, adapter });
      const recorded = wire.takeOne();
      checkStrict(recorded, FROM_HERALD);
      expect(JSON.stringify(recorded.rawHeaders)).not.toMatch(/a\.b\.c|d\.e\.f|g\.h\.i/);
    });
  });

  describe('signedHeaders', () => {
    const signedHeaders = ['Idempotency-Key', 'x-tenant', 'x-absent'];
    const signed = signedHeaders.map((name) => name.toLowerCase());
    const headers = {
      'idempotency-key': 'k-1',
      'X-Tenant': 'Łódź'.normalize('NFD').replace(/[^\x20-\x7e]/g, 'é'),
    };
    let herald: SendingService;
    let census: TestService;
    beforeAll(async () => {
      herald = await SendingService.start([wire.url], { signedHeaders });
      census = await startCensus('express', { requiredHeaders: signedHeaders });
    });
    afterAll(async () => {
      await Promise.all([herald.close(), census.close()]);
    });
    const record = async (config: AxiosRequestConfig = {}): Promise<Recorded> => {
      await herald.send({
        method: 'post',
        url: wire.url,
        data: { a: 1 },
        headers,
        adapter,
        ...config,
      });
      return wire.takeOne();
    };
    const edited = (recorded: Recorded, edit: (name: string, value: string) => string[]) => ({
      ...recorded,
      rawHeaders: recorded.rawHeaders.flatMap((name, at, all) =>
        at % 2 === 0 ? edit(name.toLowerCase(), all[at + 1] ?? '') : [],
      ),
    });

    it.each<[string, AxiosRequestConfig]>([
      ['with a body', {}],
      ['without one', { method: 'get', data: undefined }],
    ])('are bound and checked %s', async (_name, config) => {
      const recorded = await record(config);
      const claims = checkStrict(recorded, { ...FROM_HERALD, signedHeaders: signed });
      expect(claims['hdr']).toMatchObject({ 'idempotency-key': 'k-1' });
      expect(claims['hdr']).not.toHaveProperty('x-absent');
      expect(await replay(census, recorded)).toBe('accepted');
    });

    it.each<[string, (name: string, value: string) => string[]]>([
      ['changed', (name, value) => [name, name === 'idempotency-key' ? 'k-2' : value]],
      ['removed', (name, value) => (name === 'x-tenant' ? [] : [name, value])],
      [
        'added',
        (name, value) => (name === 'jwt' ? [name, value, 'x-absent', 'now'] : [name, value]),
      ],
      ['typed otherwise', (name, value) => [name, name === 'content-type' ? 'text/plain' : value]],
      ['not typed', (name, value) => (name === 'content-type' ? [] : [name, value])],
    ])('that are %s on the way are refused', async (_name, edit) => {
      const recorded = await record();
      expect(await replay(census, edited(recorded, edit))).toBe('header_mismatch');
      const same = edited(recorded, (name, value) => [name, value]);
      expect(await replay(census, same)).toBe('accepted');
    });

    it.each<[string, AxiosRequestConfig]>([
      ['two values', { headers: { 'idempotency-key': ['k-1', 'k-2'] } }],
      ['letters that no header carries', { headers: { 'idempotency-key': 'klíč' } }],
      [
        'two types',
        {
          headers: { 'content-type': ['application/json', 'text/plain'] },
          data: Buffer.from('{}'),
        },
      ],
      [
        'a type that no header carries',
        { headers: { 'content-type': 'text/plain; title=ž' }, data: 'x' },
      ],
    ])('with %s are refused before anything is sent', async (_name, config) => {
      expect(await refusalOf(record(config))).toBe('header_unsignable');
      expect(wire.takeAll()).toEqual([]);
    });

    it.each<[string, AxiosRequestConfig]>([
      ['one value, as a list', { headers: { 'idempotency-key': ['k-1'] } }],
      ['white space around it', { headers: { 'idempotency-key': '  k 1\t' } }],
      ['letters of Latin-1', { headers: { 'idempotency-key': 'é' } }],
      ['the empty value', { headers: { 'idempotency-key': '' } }],
    ])('with %s are bound as they arrive', async (_name, config) => {
      const recorded = await record(config);
      checkStrict(recorded, { ...FROM_HERALD, signedHeaders: signed });
      expect(await replay(census, recorded)).toBe('accepted');
    });
  });

  describe('where a signed request fails, no configuration holds the token:', () => {
    const answers = new RecordingServer(({ target }, response) => {
      if (target === '/reset') response.destroy();
      else if (target === '/long') response.end('x'.repeat(10_000));
      else if (target !== '/stalled')
        response.writeHead(Number.parseInt(target.slice(1), 10), { location: '/' }).end('{}');
    });
    let herald: SendingService;
    beforeAll(async () => {
      await answers.start();
      herald = await SendingService.start([answers.url]);
    });
    afterAll(async () => {
      await Promise.all([answers.close(), herald.close()]);
    });
    const send = async (config: AxiosRequestConfig) =>
      await herald.send({
        method: 'post',
        data: { a: 1 },
        headers: { 'x-own': 'kept' },
        adapter,
        ...config,
      });

    const failures: [string, AxiosRequestConfig][] = [
      ['401', { url: '/401' }],
      ['503', { url: '/503' }],
      ['a redirect', { url: '/302' }],
      ['a connection that is cut', { url: '/reset' }],
      ['a timeout', { url: '/stalled', timeout: 50 }],
      ['an answer that is too long', { url: '/long', maxContentLength: 10 }],
      ['a body that is too long for axios', { url: '/200', maxBodyLength: 1 }],
      [
        'an answer that is no JSON',
        { url: '/long', responseType: 'json', transitional: { silentJSONParsing: false } },
      ],
      ['an adapter that wraps an error in another', { url: '/401', adapter: wrapping(adapter) }],
    ];
    it.each(failures)('%s', async (_name, config) => {
      const error: unknown = await send({ baseURL: answers.url, ...config }).catch(
        (e: unknown) => e,
      );
      expect(everyConfigOf(error)).not.toEqual([]);
      for (const arrived of answers.takeAll()) checkStrict(arrived, FROM_HERALD);
      for (const shown of everyConfigOf(error)) {
        expect(shown).toContain('kept');
        expect(shown).not.toMatch(/jwt/i);
        expect(shown).not.toContain('eyJ');
      }
    });

    it('a cancelled request', async () => {
      const controller = new AbortController();
      const sending = send({ url: `${answers.url}/stalled`, signal: controller.signal });
      while (answers.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      const error: unknown = await sending.catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'ERR_CANCELED' });
      checkStrict(answers.takeOne(), FROM_HERALD);
      for (const shown of everyConfigOf(error)) expect(shown).not.toMatch(/jwt|eyJ/i);
    });

    it('a streamed answer that proves too long', async () => {
      const config = {
        url: `${answers.url}/long`,
        responseType: 'stream',
        maxContentLength: 20_000,
      } as const;
      const whole = await send(config);
      expect(JSON.stringify(configOf(whole))).not.toContain('eyJ');
      const tooLong = send({ ...config, maxContentLength: 10 });
      const error: unknown = await tooLong
        .then(async ({ data }) => await readAll(data as AsyncIterable<unknown>))
        .catch((e: unknown) => e);
      expect(error).toMatchObject({
        message: expect.stringContaining('maxContentLength') as string,
      });
      for (const shown of everyConfigOf(error)) expect(shown).not.toMatch(/jwt|eyJ/i);
      answers.takeAll();
    });

    it('nor where it succeeds, and what the caller wrote is still there', async () => {
      const { config } = await send({
        url: `${answers.url}/200`,
        params: { a: 1 },
        maxRedirects: 3,
      });
      expect(config).toMatchObject({
        url: `${answers.url}/200`,
        params: { a: 1 },
        data: '{"a":1}',
        maxRedirects: 3,
      });
      expect(JSON.stringify(config)).not.toContain('eyJ');
      checkStrict(answers.takeOne(), FROM_HERALD);
    });
  });
});

/** Reports what went wrong as newer errors do: with the first one as its cause. */
function wrapping(adapter: 'http' | 'fetch'): AxiosAdapter {
  return async (config) => {
    try {
      return await axiosOfNest.getAdapter(adapter, config)(config);
    } catch (error) {
      throw axiosOfNest.AxiosError.from(error as Error, 'WRAPPED', config);
    }
  };
}

const configOf = (value: unknown) => (value as Partial<AxiosError>).config;

/** Every configuration that an error shows, as JSON. */
function everyConfigOf(error: unknown): string[] {
  const { response, cause, toJSON } = error as Partial<AxiosError>;
  const shown: unknown[] = [configOf(error), response?.config, toJSON?.call(error)];
  if (cause !== undefined) shown.push(...everyConfigOf(cause));
  return shown.flatMap((value) => {
    const json = value === undefined ? undefined : JSON.stringify(value);
    return json?.includes('headers') ? [json] : [];
  });
}

async function readAll(data: AsyncIterable<unknown>): Promise<void> {
  for await (const chunk of data) expect(chunk).toBeDefined();
}

describe.each(ADAPTERS)('inbound headers passed on by a service on %s', (framework) => {
  const AGENT = 'https://agent.service/';
  const known = new RecordingServer();
  const unknown = new RecordingServer();
  const agent = new Caller(AGENT, HERALD);
  let service: TestService;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class ForwardingController {
    constructor(@Inject(HttpService) private readonly http: HttpService) {}

    @Get('*')
    async forward(
      @ServiceCaller() caller: ServiceIdentity,
      @Req() request: { headers: Record<string, string>; url: string },
    ) {
      const { host: _host, connection: _connection, ...headers } = request.headers;
      const isKnown = request.url.startsWith('/known');
      const config = isKnown ? onBehalfOf(caller, { headers }) : { headers };
      await firstValueFrom(this.http.get(`${isKnown ? known.url : unknown.url}/`, config));
      return { passedOn: headers };
    }
  }

  beforeAll(async () => {
    await Promise.all([known.start(), unknown.start()]);
    service = await startService({
      adapter: framework,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [agent.trusted],
          targets: [{ baseUrl: known.url, audience: CENSUS }],
          unknownTargets: 'send-unsigned',
          // The hard case: the handler sees the token, and passes it on.
          tokenAfterVerification: 'keep',
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [ForwardingController],
    });
  });
  afterAll(async () => {
    await Promise.all([known, unknown, service].map((each) => each.close()));
  });
  const inbound = { headers: { 'x-trace': 't-1' }, subject: USER };

  it('OS-15 reach a target with our own token, on behalf of the same user', async () => {
    const answer = await agent.send(service.port, { ...inbound, target: '/known' });
    expect(answer.json).toMatchObject({ passedOn: { jwt: expect.any(String) as string } });
    const recorded = known.takeOne();
    expect(valuesOf(recorded, 'x-trace')).toEqual(['t-1']);
    checkStrict(recorded, FROM_HERALD);
  });

  it('OS-15 reach another place with no token at all', async () => {
    const answer = await agent.send(service.port, { ...inbound, target: '/unknown' });
    expect(answer.json).toMatchObject({ passedOn: { jwt: expect.any(String) as string } });
    const recorded = unknown.takeOne();
    expect(valuesOf(recorded, 'x-trace')).toEqual(['t-1']);
    expect(recorded.rawHeaders.join()).not.toMatch(/jwt|eyJ/i);
  });
});
