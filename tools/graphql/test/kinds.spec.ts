import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Controller, Get, Module, type Provider } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { Query, Resolver } from '@nestjs/graphql';
import { type Job, type Queue, QueueEvents } from 'bullmq';
import {
  actingAsItself,
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import {
  serviceMessage,
  ServiceJobsModule,
  ServiceProcessor,
  ServiceWorkerHost,
} from 'nestjs-service-auth/bullmq';
import { call } from '../../../test/support/http/http.js';
import { setCoverageListener } from '../../../test/support/observed/coverage-listener.js';
import { LogRecorder } from '../../../test/support/observed/log-recorder.js';
import { describeRedis, RedisServer } from '../../../test/support/redis/redis-server.js';
import { Caller, type SignedCall } from '../../../test/support/services/caller.js';
import {
  CENSUS,
  dataOf,
  type GraphQLService,
  operation,
  type Stack,
  STACKS,
  startGraphQL,
  unsigned,
} from './stacks.js';

const OTHER = 'https://other.service/';

@Resolver()
class StaffResolver {
  @Query(() => String)
  staff(@ServiceCaller() { issuer }: ServiceIdentity): string {
    return issuer;
  }
}
@Module({ providers: [StaffResolver] })
class StaffModule {}

@Resolver()
class NewsResolver {
  @Query(() => String)
  @SkipServiceAuth()
  news(): string {
    return 'news';
  }
}
@Module({ providers: [NewsResolver] })
class NewsModule {}

@Controller('rest')
class RestController {
  @Get()
  read(@ServiceCaller() { issuer }: ServiceIdentity) {
    return { issuer };
  }
}

@ServiceProcessor('mail')
class MailProcessor extends ServiceWorkerHost {
  async process(_job: Job, { issuer }: ServiceIdentity): Promise<string> {
    return await Promise.resolve(issuer);
  }
}

const everywhere: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };

/** Mercurius serves one schema in an application: its public resolvers are another application's. */
function endpointsOf(stack: Stack) {
  const staff = stack.endpoint({ guard: {}, graphql: { path: '/staff', include: [StaffModule] } });
  const news = stack.endpoint({ graphql: { path: '/news', include: [NewsModule] } });
  return stack.isMercurius ? [StaffModule, staff] : [StaffModule, NewsModule, staff, news];
}

describeRedis('one global guard', () => {
  let redis: RedisServer;
  beforeAll(async () => void (redis = await RedisServer.start()));
  afterAll(async () => await redis.close());

  describe.each(STACKS)('$title', (stack) => {
    const logger = new LogRecorder();
    const tables: { handler: string; verdict: string; refusesAll?: true }[][] = [];
    let census: GraphQLService;
    let mistaken: Caller;
    let connection: { host: string; port: number };
    const prefix = stack.title.replaceAll(' ', '-');
    beforeAll(async () => {
      connection = { host: '127.0.0.1', port: redis.port };
      const note = (table: unknown) => void tables.push(table as (typeof tables)[number]);
      setCoverageListener(note);
      census = await startGraphQL({
        adapter: stack.adapter,
        logger,
        imports: [
          ...endpointsOf(stack),
          BullModule.forRoot({ connection, prefix }),
          BullModule.registerQueue({ name: 'mail' }),
          ServiceJobsModule,
        ],
        controllers: [RestController],
        providers: [everywhere, MailProcessor],
      });
      setCoverageListener(undefined);
      mistaken = callerLike(census.herald);
    });
    afterAll(async () => await census?.close());

    it('coverage names all of them rightly', () => {
      expect(tables).toHaveLength(1);
      const verdicts = Object.fromEntries(
        tables.flat().map(({ handler, verdict, refusesAll }) => [handler, refusesAll ?? verdict]),
      );
      expect(verdicts).toEqual({
        'RestController.read()': 'guarded',
        'StaffResolver.staff() [GraphQL]': 'guarded',
        ...(!stack.isMercurius && { 'NewsResolver.news() [GraphQL]': 'skipped' }),
        'MailProcessor.process() [job]': 'guarded',
      });
      expect(logger.texts('warn').filter((line) => line.includes('(option coverage)'))).toEqual([]);
    });

    const staff = operation('{ staff }', {}, '/staff');
    const rest: SignedCall = { target: '/rest' };

    it.each([
      ['the guarded endpoint', staff],
      ['the guarded controller', rest],
    ])('%s: unsigned, for another service, signed', async (_title, request) => {
      expect(await call(census.port, unsigned(request))).toMatchObject({
        status: 401,
        code: 'token_missing',
      });
      const elsewhere = await mistaken.send(census.port, request);
      expect(elsewhere).toMatchObject({ status: 401, code: 'audience_mismatch' });
      const answer = await census.herald.send(census.port, request);
      expect(answer.status).toBe(200);
      expect(JSON.stringify(answer.json)).toContain(census.herald.issuer);
    });

    if (!stack.isMercurius) {
      it('the public endpoint: unsigned, for another service, signed', async () => {
        const news = operation('{ news }', {}, '/news');
        for (const answer of [
          await call(census.port, unsigned(news)),
          await mistaken.send(census.port, news),
          await census.herald.send(census.port, news),
        ]) {
          expect(dataOf(answer)).toEqual({ news: 'news' });
        }
      });
    }

    it.each<[string, string | undefined, string]>([
      ['unsigned', undefined, 'token_missing'],
      ['for another service', OTHER, 'audience_mismatch'],
      ['signed', CENSUS, ''],
    ])('the processor: %s', async (_title, audience, code) => {
      const { issuer, key } = census.herald;
      const auth = ServiceAuthModule.forRoot({
        issuer,
        signingKey: { privateKey: key.privatePem },
      });
      const signing =
        audience === undefined ? [] : [ServiceJobsModule.forQueues([{ queue: 'mail', audience }])];
      const bull = [
        BullModule.forRoot({ connection, prefix }),
        BullModule.registerQueue({ name: 'mail' }),
      ];
      class SenderModule {}
      Module({ imports: [auth, ...bull, ...signing] })(SenderModule);
      const sender = await NestFactory.createApplicationContext(SenderModule, {
        logger: false,
        abortOnError: false,
      });
      const events = new QueueEvents('mail', { connection, prefix, lastEventId: '0-0' });
      const queue = sender.get<Queue>(getQueueToken('mail'), { strict: false });
      const data = audience === undefined ? {} : serviceMessage({}, actingAsItself());
      const result = (await queue.add('welcome', data)).waitUntilFinished(events);
      if (code === '') expect(await result).toBe(issuer);
      else await expect(result).rejects.toThrow(code);
      await events.close();
      await sender.close();
    });
  });
});

/** The same service, which signs for another audience. */
function callerLike(caller: Caller): Caller {
  return Object.assign(new Caller(caller.issuer, OTHER), { key: caller.key });
}
