import { setImmediate as nextTurn } from 'node:timers/promises';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { Args, Int, Query, Resolver } from '@nestjs/graphql';
import {
  MemoryReplayStore,
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { lastValueFrom } from 'rxjs';
import { createKey } from '../../../test/support/keys/keys.js';
import { startService, type TestService } from '../../../test/support/services/service.js';
import { CENSUS, dataOf, type GraphQLService, operation, STACKS, startGraphQL } from './stacks.js';

const USERS = 200;

@Controller('whom')
@UseGuards(ServiceJwtGuard)
class WhomController {
  @Get()
  whom(@ServiceSubject({ optional: true }) subject: string | undefined) {
    return { subject: subject ?? 'nobody' };
  }
}

@Resolver()
@UseGuards(ServiceJwtGuard)
class CallingResolver {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Query(() => String)
  async ambient(@Args('turns', { type: () => Int }) turns: number): Promise<string> {
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    return await this.ask();
  }
  @Query(() => String)
  async explicit(@ServiceCaller() caller: ServiceIdentity): Promise<string> {
    return await this.ask(onBehalfOf(caller));
  }
  @Query(() => String)
  @SkipServiceAuth()
  async skipped(): Promise<string> {
    return await this.ask();
  }

  private async ask(options = {}): Promise<string> {
    const { data } = await lastValueFrom(this.http.get<{ subject: string }>('/whom', options));
    return data.subject;
  }
}

/** One for each request. */
@Resolver()
@Injectable({ scope: Scope.REQUEST })
@UseGuards(ServiceJwtGuard)
class ScopedResolver {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Query(() => String)
  async scoped(@ServiceSubject({ optional: true }) subject: string | undefined): Promise<string> {
    await nextTurn();
    const { data } = await lastValueFrom(this.http.get<{ subject: string }>('/whom'));
    return data.subject === (subject ?? 'nobody') ? data.subject : 'somebody else';
  }
}

describe.each(STACKS)('$title: resolvers that call on', (stack) => {
  let inbox: TestService;
  let census: GraphQLService;
  const key = createKey();
  // It stands still while requests are served: on a busy machine, tokens would expire. So does the clock of the replay
  // stores: a store whose own clock runs on takes this one for a clock that was put back, and answers 503.
  let now = Date.now();
  beforeEach(() => (now = Date.now()));
  const standing = () => ({
    now: () => now,
    replayStore: new MemoryReplayStore({ monotonicNow: () => now }),
  });
  beforeAll(async () => {
    const trusted = { issuer: CENSUS, publicKey: key.publicPem };
    const issuer = 'https://inbox.service/';
    inbox = await startService({
      adapter: 'express',
      imports: [ServiceAuthModule.forRoot({ issuer, trustedIssuers: [trusted], ...standing() })],
      controllers: [WhomController],
    });
    census = await startGraphQL({
      adapter: stack.adapter,
      auth: {
        ...standing(),
        signingKey: { privateKey: key.privatePem },
        targets: [{ baseUrl: `${inbox.url}/`, audience: issuer }],
        subjectPropagation: 'ambient',
      },
      imports: [stack.endpoint(), ServiceHttpModule.register({ baseURL: inbox.url })],
      providers: [CallingResolver, ScopedResolver],
    });
  });
  afterAll(async () => {
    await census.close();
    await inbox.close();
  });

  it(`${USERS} users at once, each of whom is called for`, async () => {
    const query = '{ a: ambient(turns: 0) b: ambient(turns: 3) explicit scoped }';
    const issuedAt = Math.floor(now / 1000);
    const claims = { iat: issuedAt, exp: issuedAt + 60 };
    const outcomes = await Promise.all(
      Array.from({ length: USERS }, async (_, index) => {
        const subject = `https://census.service/user/${index}/`;
        const request = { ...operation(query), subject, claims };
        const answer = await census.herald.send(census.port, request);
        const errors = answer.json?.['errors'];
        return { subject, code: answer.code, called: Object.values(dataOf(answer)), errors };
      }),
    );
    const mixed = outcomes.filter(({ subject, called }) => called.some((each) => each !== subject));
    expect(mixed).toEqual([]);
    expect(outcomes.flatMap(({ code }) => code ?? [])).toEqual([]);
    expect(outcomes.flatMap(({ errors }) => errors ?? [])).toEqual([]);
    expect(outcomes.flatMap(({ called }) => called)).toHaveLength(USERS * 4);
  }, 300_000);

  it('a caller that acts for itself is called for as nobody', async () => {
    const answer = await census.herald.send(
      census.port,
      operation('{ ambient(turns: 1) explicit scoped skipped }'),
    );
    const nobody = 'nobody';
    const all = { ambient: nobody, explicit: nobody, scoped: nobody, skipped: nobody };
    expect(dataOf(answer)).toEqual(all);
  });
});
