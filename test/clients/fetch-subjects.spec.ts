import { Body, Controller, Get, Inject, Param, Post, Req, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  type ServiceCallContext,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceFetch } from 'nestjs-service-auth/fetch';
import { Caller } from '../support/services/caller.js';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { call } from '../support/http/http.js';
import { callOver, keepAliveAgent } from '../support/http/one-socket.js';
import { startCensus } from '../support/services/receiving-service.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  refusalOf,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkOriginal, checkStrict } from '../support/tokens/wire-check.js';

const OTHER = 'https://census.service/user/42/';
const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const userUri = (id: number | string) => `https://census.service/user/${id}/`;

describe('a call is made on behalf of', () => {
  let herald: FetchingService;
  let context: ServiceCallContext;
  beforeAll(async () => {
    herald = await FetchingService.start([wire.url]);
    context = herald.callContext;
  });
  afterAll(async () => await herald.close());
  const get = async (init?: RequestInit) => await (await herald.fetch(wire.url, init)).text();

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
    ['the user of an init that is spread', () => get({ ...onBehalfOf(USER), method: 'PUT' }), USER],
  ])('OS-16 %s', async (_name, send, subject) => {
    await send();
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject });
  });

  it('the user named for it, with the rest of the init, which stays as it is', async () => {
    const init = { method: 'PUT', headers: { 'x-own': 'yes' }, body: 'x' };
    await get(onBehalfOf(USER, init));
    const recorded = wire.takeOne();
    expect(recorded).toMatchObject({ method: 'PUT', body: Buffer.from('x') });
    expect(valuesOf(recorded, 'x-own')).toEqual(['yes']);
    checkStrict(recorded, FROM_HERALD);
    expect(init).toEqual({ method: 'PUT', headers: { 'x-own': 'yes' }, body: 'x' });
  });

  it('the user named for it, with a Request as init', async () => {
    const request = new Request('http://elsewhere/', { method: 'PUT', body: 'x' });
    await get(onBehalfOf(USER, request));
    const recorded = wire.takeOne();
    expect(recorded).toMatchObject({ method: 'PUT', body: Buffer.from('x') });
    checkStrict(recorded, FROM_HERALD);
  });

  it('a user of whom nothing but the claim is on the wire', async () => {
    await get(onBehalfOf(USER, { method: 'POST', body: 'x' }));
    const { target, rawHeaders, body } = wire.takeOne();
    const others = rawHeaders.filter((_text, at) => rawHeaders[at - 1]?.toLowerCase() !== 'jwt');
    const shown = [target, ...others, body.toString()].join('\n');
    expect(shown).not.toContain(USER);
    expect(shown).not.toMatch(/subject/i);
  });

  it('the users of two jobs that run at once', async () => {
    await Promise.all(
      [USER, OTHER].map((user) =>
        context.runOnBehalfOf(user, async () => {
          await new Promise((resolve) => setImmediate(resolve));
          await (await herald.fetch(`${wire.url}/?user=${encodeURIComponent(user)}`)).text();
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
  const byJson = { [member]: { subject: USER } } as RequestInit;

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
    ['a user named by JSON', () => get(byJson), 'subject_undecided'],
    [
      'a user named by JSON, in a job',
      () => context.runOnBehalfOf(OTHER, () => get(byJson)),
      'subject_undecided',
    ],
    ['a user named by a string', () => get({ [member]: USER } as RequestInit), 'subject_undecided'],
    [
      'nobody, said in JSON',
      () => context.runOnBehalfOf(OTHER, () => get({ [member]: null } as RequestInit)),
      'subject_undecided',
    ],
    [
      'a user whose init went through JSON',
      () => get(JSON.parse(JSON.stringify(named)) as RequestInit),
      'subject_undecided',
    ],
    [
      'a user whose init was cloned member by member',
      () => get({ ...named, [member]: structuredClone(named[member]) } as object),
      'subject_undecided',
    ],
    ['the empty user', () => get(onBehalfOf('')), 'subject_invalid'],
    ['a user without a scheme', () => get(onBehalfOf('21')), 'subject_invalid'],
    ['a user with a line break', () => get(onBehalfOf(`${USER}\n`)), 'subject_invalid'],
    [
      'an invalid user, in a job',
      () => context.runOnBehalfOf('21', () => get()),
      'subject_invalid',
    ],
  ])('OS-16 not: %s', async (_name, send, code) => {
    expect(await refusalOf(send())).toBe(code);
    expect(wire.takeAll()).toEqual([]);
  });

  it('nobody, and leaves the stream alone that was to be sent', async () => {
    const body = new ReadableStream();
    const init = { method: 'POST', body, duplex: 'half' } as const;
    expect(await refusalOf(get(init))).toBe('subject_undecided');
    expect(body.locked).toBe(false);
  });

  it('OS-16 the service itself where nobody was named, if the options say so', async () => {
    const janitor = await FetchingService.start([wire.url], {
      subjectOutsideRequest: 'act-as-itself',
    });
    await (await janitor.fetch(wire.url)).text();
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject: undefined });
    await janitor.send(wire.url);
    checkStrict(wire.takeOne(), FROM_HERALD);
    expect(await refusalOf(janitor.fetch(wire.url, byJson))).toBe('subject_undecided');
    await janitor.close();
  });
});

describe('a target of the original profile', () => {
  const options = () => ({
    targets: [{ baseUrl: wire.url, audience: CENSUS, profile: 'original' as const }],
  });

  it.each<[string, RequestInit, number]>([
    ['a body', { method: 'POST', body: 'ž' }, 2],
    ['no body', {}, 0],
    ['a stream', { method: 'PUT', body: new Blob(['abc']).stream(), duplex: 'half' }, 3],
  ])('gets exactly iss, aud, sub and bdy with %s', async (_name, init, length) => {
    const herald = await FetchingService.start([], options());
    await herald.send(`${wire.url}/a?b`, init);
    const recorded = wire.takeOne();
    expect(recorded.body).toHaveLength(length);
    checkOriginal(recorded, FROM_HERALD);
    expect(await refusalOf(herald.fetch(wire.url, actingAsItself()))).toBe('subject_required');
    expect(wire.takeAll()).toEqual([]);
    await herald.close();
  });
});

const GRID = ADAPTERS.flatMap((framework) =>
  FETCHES.map(({ name, module }) => ({ framework, name, module })),
);

describe.each(GRID)(
  'while a request is served on $framework, by $name',
  ({ framework, module }) => {
    const agent = new Caller('https://agent.service/', HERALD);
    let service: TestService;

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class ServingController {
      constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

      @Get('crowd/:id')
      async get(@Param('id') id: string) {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
        const init = { method: 'POST', body: new Blob([id]).stream(), duplex: 'half' } as const;
        await (await this.fetch(`${wire.url}/${id}`, init)).text();
        await new Promise((resolve) => setImmediate(resolve));
        await (await this.fetch(`${wire.url}/${id}`)).text();
        return 'done';
      }
      @Post('crowd/:id')
      async post(@Param('id') id: string, @Body() body: object) {
        const init = { method: 'PUT', body: JSON.stringify(body) };
        await (await this.fetch(`${wire.url}/${id}`, init)).text();
        return 'done';
      }
      @Get('named')
      async named() {
        await (await this.fetch(wire.url, onBehalfOf(OTHER))).text();
      }
      @Get('itself')
      async itself() {
        await (await this.fetch(wire.url, actingAsItself())).text();
      }
      @Get('forward')
      async forward(@Req() request: { headers: Record<string, string> }) {
        const { host: _host, connection: _connection, ...headers } = request.headers;
        await (await this.fetch(wire.url, { headers })).text();
        return headers;
      }
    }

    @Controller('unguarded')
    class UnguardedController {
      constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

      @Get()
      async unguarded() {
        return await refusalOf(this.fetch(wire.url));
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
          module,
        ],
        controllers: [ServingController, UnguardedController],
      });
    beforeAll(async () => (service = await start({ tokenAfterVerification: 'keep' })));
    afterAll(async () => await service.close());

    it.each([
      ['on behalf of its user', 'crowd/21', USER, [USER, USER]],
      [
        'for the service itself where it names no user',
        'crowd/1',
        undefined,
        [undefined, undefined],
      ],
      ['on behalf of another user who is named', 'named', USER, [OTHER]],
      ['for the service itself where that is said', 'itself', USER, [undefined]],
    ])('calls are made %s', async (_name, path, user, subjects) => {
      expect(await agent.get(service.port, `/${path}`, user)).toMatchObject({ status: 200 });
      const recorded = wire.takeAll();
      expect(recorded).toHaveLength(subjects.length);
      for (const [at, subject] of subjects.entries())
        checkStrict(recorded[at]!, { ...FROM_HERALD, subject });
    });

    it('OS-16 calls are made for nobody where no guard has verified a token', async () => {
      const target = '/unguarded';
      expect((await agent.get(service.port, target, USER)).text).toBe('subject_undecided');
      expect((await call(service.port, { target })).text).toBe('subject_undecided');
      expect(wire.takeAll()).toEqual([]);
    });

    it('OS-15 inbound headers are passed on, with our own token for the same user', async () => {
      const inbound = { target: '/forward', headers: { 'x-trace': 't-1' }, subject: USER };
      const answer = await agent.send(service.port, inbound);
      expect(answer.json).toMatchObject({ jwt: expect.any(String) as string });
      const recorded = wire.takeOne();
      expect(valuesOf(recorded, 'x-trace')).toEqual(['t-1']);
      checkStrict(recorded, FROM_HERALD);
    });

    it('calls are made for the right one of fifty users who share four sockets', async () => {
      const sockets = keepAliveAgent(4);
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_none, id) => {
          const target = `/crowd/${id}`;
          const get = await callOver(sockets, service.port, {
            target,
            headers: agent.headers({ target, subject: userUri(id) }) as Record<string, string>,
          });
          const request = {
            method: 'POST',
            target,
            body: `{"id":${id}}`,
            contentType: 'application/json',
            subject: userUri(id),
          };
          const headers = agent.headers(request) as Record<string, string>;
          const post = await callOver(sockets, service.port, { ...request, headers });
          return [get, post];
        }),
      );
      sockets.destroy();
      expect(new Set(answers.flat().map(({ localPort }) => localPort)).size).toBeLessThanOrEqual(4);
      const recorded = wire.takeAll();
      expect(recorded).toHaveLength(150);
      for (const each of recorded) {
        checkStrict(each, { ...FROM_HERALD, subject: userUri(each.target.slice(1)) });
      }
    });
  },
);

describe.each(GRID)(
  'two hundred calls at once to $framework, by $name',
  ({ framework, module }) => {
    it('OS-19 are each accepted, with a token of their own', async () => {
      const census = await startCensus(framework);
      const herald = await FetchingService.start([census.url], {}, module);
      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_none, id) => {
          const headers = { 'content-type': 'application/json' };
          const body = JSON.stringify({ id, text: 'x'.repeat(id) });
          const init = onBehalfOf(userUri(id), { method: 'POST', headers, body });
          const response = await herald.fetch(`${census.url}/n`, init);
          return (await response.json()) as Record<string, string>;
        }),
      );
      expect(answers.map(({ subject }) => subject)).toEqual(
        answers.map((_answer, id) => userUri(id)),
      );
      expect(new Set(answers.map(({ tokenId }) => tokenId)).size).toBe(200);
      await Promise.all([census.close(), herald.close()]);
    });
  },
);
