import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Param, UseGuards } from '@nestjs/common';
import type { AxiosRequestConfig } from 'axios';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom, map } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { startCensus } from '../support/services/receiving-service.js';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  refusalOf,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkOriginal, checkStrict } from '../support/tokens/wire-check.js';

const OTHER = 'https://census.service/user/42/';
const AS_ITSELF = { ...FROM_HERALD, subject: undefined };
const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

describe('a call is made on behalf of', () => {
  let herald: SendingService;
  let context: ServiceCallContext;
  beforeAll(async () => {
    herald = await SendingService.start([wire.url]);
    context = herald.context.get(ServiceCallContext, { strict: false });
  });
  afterAll(async () => await herald.close());
  const get = async (config?: AxiosRequestConfig) =>
    await firstValueFrom(herald.http.get(wire.url, config));

  it.each<[string, () => Promise<unknown>, string | undefined]>([
    ['the user named for it', () => get(onBehalfOf(USER)), USER],
    ['the service itself, where that is said', () => get(actingAsItself()), undefined],
    ['the user of the job', () => context.runOnBehalfOf(USER, () => get()), USER],
    [
      'the service itself, in a job that says so',
      () => context.runActingAsItself(() => get()),
      undefined,
    ],
    [
      'the user named for it, in a job for another',
      () => context.runOnBehalfOf(OTHER, () => get(onBehalfOf(USER))),
      USER,
    ],
    [
      'the user named for it, in a job for nobody',
      () => context.runActingAsItself(() => get(onBehalfOf(USER))),
      USER,
    ],
    [
      'the service itself, in a job for a user',
      () => context.runOnBehalfOf(USER, () => get(actingAsItself())),
      undefined,
    ],
    [
      'the user of the inner job',
      () => context.runOnBehalfOf(OTHER, () => context.runOnBehalfOf(USER, () => get())),
      USER,
    ],
    [
      'the user whose URI is no URL',
      () => get(onBehalfOf('urn:census:user:21')),
      'urn:census:user:21',
    ],
    ['the last one named', () => get(onBehalfOf(USER, onBehalfOf(OTHER))), USER],
    [
      'the user of the job that creates the Observable',
      () => {
        const request = context.runOnBehalfOf(USER, () => herald.http.get(wire.url));
        return context.runOnBehalfOf(OTHER, () => firstValueFrom(request));
      },
      USER,
    ],
  ])('OS-16 %s', async (_name, send, subject) => {
    await send();
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject });
  });

  it('the user named for it, with the rest of the configuration', async () => {
    const config = { params: { a: 1 }, headers: { 'x-own': 'yes' } };
    await get(onBehalfOf(USER, config));
    const recorded = wire.takeOne();
    expect(recorded.target).toBe('/?a=1');
    expect(recorded.rawHeaders).toContain('yes');
    checkStrict(recorded, FROM_HERALD);
    expect(config).toEqual({ params: { a: 1 }, headers: { 'x-own': 'yes' } });
  });

  it('the users of two jobs that run at once', async () => {
    await Promise.all(
      [USER, OTHER].map((user) =>
        context.runOnBehalfOf(user, async () => {
          await new Promise((resolve) => setImmediate(resolve));
          await get({ params: { user } });
        }),
      ),
    );
    for (const recorded of wire.takeAll()) {
      const subject = new URL(recorded.target, wire.url).searchParams.get('user') ?? '';
      checkStrict(recorded, { ...FROM_HERALD, subject });
    }
  });

  const named = onBehalfOf(USER) as Record<string, unknown>;
  const [member = ''] = Object.keys(named);

  it.each<[string, () => Promise<unknown>, string]>([
    ['nobody, where nobody was named', () => get(), 'subject_undecided'],
    [
      'nobody, after the job',
      async () => {
        await context.runOnBehalfOf(USER, async () => await Promise.resolve());
        return await get();
      },
      'subject_undecided',
    ],
    [
      'a user named by JSON',
      () => get({ [member]: { subject: USER } } as object),
      'subject_undecided',
    ],
    [
      'a user named by JSON, in a job',
      () => context.runOnBehalfOf(OTHER, () => get({ [member]: { subject: USER } } as object)),
      'subject_undecided',
    ],
    ['a user named by a string', () => get({ [member]: USER } as object), 'subject_undecided'],
    [
      'nobody, said in JSON',
      () => context.runOnBehalfOf(OTHER, () => get({ [member]: null } as object)),
      'subject_undecided',
    ],
    [
      'a user whose configuration went through JSON',
      () => get(JSON.parse(JSON.stringify(named)) as object),
      'subject_undecided',
    ],
    [
      'a user whose configuration was cloned member by member',
      () => get({ ...named, [member]: structuredClone(named[member]) } as object),
      'subject_undecided',
    ],
    ['the empty user', () => get(onBehalfOf('')), 'subject_invalid'],
    ['a user without a scheme', () => get(onBehalfOf('21')), 'subject_invalid'],
    ['a user with a line break', () => get(onBehalfOf(`${USER}\n`)), 'subject_invalid'],
    [
      'a user of too many letters',
      () => get(onBehalfOf(USER + 'x'.repeat(1024))),
      'subject_invalid',
    ],
    ['a script', () => get(onBehalfOf('javascript:alert(1)')), 'subject_invalid'],
    [
      'a user with a password',
      () => get(onBehalfOf('https://a:b@census.service/user/21/')),
      'subject_invalid',
    ],
    [
      'an invalid user, in a job',
      () => context.runOnBehalfOf('21', () => get()),
      'subject_invalid',
    ],
  ])('OS-16 not: %s', async (_name, send, code) => {
    expect(await refusalOf(send())).toBe(code);
    expect(wire.takeAll()).toEqual([]);
  });

  it('OS-16 the service itself where nobody was named, if the options say so', async () => {
    const janitor = await SendingService.start([wire.url], {
      subjectOutsideRequest: 'act-as-itself',
    });
    await firstValueFrom(janitor.http.get(wire.url));
    checkStrict(wire.takeOne(), AS_ITSELF);
    await janitor.send({ url: wire.url });
    checkStrict(wire.takeOne(), FROM_HERALD);
    const byJson = { [member]: { subject: USER } } as object;
    expect(await refusalOf(firstValueFrom(janitor.http.get(wire.url, byJson)))).toBe(
      'subject_undecided',
    );
    await janitor.close();
  });
});

describe('a target of the original profile', () => {
  let herald: SendingService;
  beforeAll(async () => {
    const targets = [{ baseUrl: wire.url, audience: CENSUS, profile: 'original' as const }];
    herald = await SendingService.start([], { targets });
  });
  afterAll(async () => await herald.close());

  it.each<[string, AxiosRequestConfig, number]>([
    ['a body', { method: 'post', data: { a: 'ž' } }, 10],
    ['no body', { method: 'get' }, 0],
    ['an empty body', { method: 'post' }, 0],
    ['a stream', { method: 'put', data: new Blob(['abc']).stream() }, 3],
  ])('gets exactly iss, aud, sub and bdy with %s', async (_name, config, length) => {
    await herald.send({ url: `${wire.url}/a?b`, ...config });
    const recorded = wire.takeOne();
    expect(recorded.body).toHaveLength(length);
    checkOriginal(recorded, FROM_HERALD);
  });

  it('gets no request without a user', async () => {
    expect(await refusalOf(herald.http.axiosRef.get(wire.url, actingAsItself()))).toBe(
      'subject_required',
    );
    expect(wire.takeAll()).toEqual([]);
  });

  it('accepts what it gets', async () => {
    const options = {
      trustedIssuers: [
        { issuer: HERALD, publicKey: heraldKey.publicPem, profile: 'original' as const },
      ],
    };
    const census = await startCensus('express', options);
    const targets = [{ baseUrl: census.url, audience: CENSUS, profile: 'original' as const }];
    const veteran = await SendingService.start([], { targets });
    const { data } = await veteran.send({ method: 'post', url: census.url, data: { a: 1 } });
    expect(data).toMatchObject({ accepted: 'POST', subject: USER });
    await Promise.all([veteran.close(), census.close()]);
  });
});

describe.each(ADAPTERS)('while a request is served on %s, calls are made', (framework) => {
  const AGENT = 'https://agent.service/';
  const agent = new Caller(AGENT, HERALD);
  let service: TestService;

  @Controller()
  class ServingController {
    constructor(@Inject(HttpService) private readonly http: HttpService) {}

    @Get('promise/:id')
    @UseGuards(ServiceJwtGuard)
    async promise(@Param('id') id: string) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.http.axiosRef.post(`${wire.url}/${id}`, { id });
      return 'done';
    }

    @Get('observable')
    @UseGuards(ServiceJwtGuard)
    observable() {
      return this.http.get(wire.url).pipe(map(() => 'done'));
    }

    @Get('named')
    @UseGuards(ServiceJwtGuard)
    async named() {
      await firstValueFrom(this.http.get(wire.url, onBehalfOf(OTHER)));
    }

    @Get('itself')
    @UseGuards(ServiceJwtGuard)
    async itself() {
      await firstValueFrom(this.http.get(wire.url, actingAsItself()));
    }

    @Get('unguarded')
    async unguarded() {
      return await refusalOf(firstValueFrom(this.http.get(wire.url)));
    }
  }

  const start = async (options: Partial<ServiceAuthModuleOptions> = {}) =>
    await startService({
      adapter: framework,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [agent.trusted],
          targets: [{ baseUrl: wire.url, audience: CENSUS }],
          subjectPropagation: 'ambient',
          ...options,
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [ServingController],
    });
  beforeAll(async () => (service = await start()));
  afterAll(async () => await service.close());

  it.each([
    ['on behalf of its user', 'promise/1', USER, USER],
    ['on behalf of its user, in an observable', 'observable', USER, USER],
    ['for the service itself where it names no user', 'promise/1', undefined, undefined],
    ['on behalf of another user who is named', 'named', USER, OTHER],
    ['for the service itself where that is said', 'itself', USER, undefined],
  ])('%s', async (_name, path, user, subject) => {
    expect(await agent.get(service.port, `/${path}`, user)).toMatchObject({ status: 200 });
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject });
  });

  it('OS-16 for nobody where no guard has verified a token', async () => {
    const target = '/unguarded';
    expect((await agent.get(service.port, target, USER)).text).toBe('subject_undecided');
    expect((await call(service.port, { target })).text).toBe('subject_undecided');
    expect(wire.takeAll()).toEqual([]);
  });

  it('for the right one of fifty users at once', async () => {
    const users = Array.from({ length: 50 }, (_none, id) => `https://census.service/user/${id}/`);
    const answers = await Promise.all(
      users.map(async (user, id) => await agent.get(service.port, `/promise/${id}`, user)),
    );
    expect(answers.map(({ text }) => text)).toEqual(users.map(() => 'done'));
    const recorded = wire.takeAll();
    expect(recorded).toHaveLength(50);
    for (const each of recorded) {
      checkStrict(each, { ...FROM_HERALD, subject: `https://census.service/user${each.target}/` });
    }
  });
});

describe.each(['http', 'fetch'] as const)(
  'two hundred calls at once, through the %s adapter',
  (adapter) => {
    it.each(ADAPTERS)(
      'OS-19 are each accepted on %s, with a token of their own',
      async (framework) => {
        const census = await startCensus(framework);
        const herald = await SendingService.start([census.url]);
        const calls = Array.from({ length: 200 }, (_none, id) => {
          const config = onBehalfOf(`https://census.service/user/${id}/`, { adapter });
          return firstValueFrom(
            herald.http.post<unknown>(`${census.url}/n`, { id, text: 'x'.repeat(id) }, config),
          );
        });
        const answers = (await Promise.all(calls)).map(
          ({ data }) => data as Record<string, string>,
        );
        expect(answers.map(({ subject }) => subject)).toEqual(
          answers.map((_answer, id) => `https://census.service/user/${id}/`),
        );
        expect(new Set(answers.map(({ tokenId }) => tokenId)).size).toBe(200);
        await Promise.all([census.close(), herald.close()]);
      },
    );
  },
);
