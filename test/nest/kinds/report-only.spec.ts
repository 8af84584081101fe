import { Controller, UseGuards } from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
} from '@nestjs/microservices';
import {
  actingAsItself,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { firstValueFrom } from 'rxjs';
import { JobService, MAIL, strangersQueue, tokenOf } from '../../support/jobs/job-services.js';
import { createKey } from '../../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
  acknowledge,
  CensusService,
  HERALD,
  HeraldService,
} from '../../support/messages/messaging-services.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';

const ENFORCEMENTS = ['report', 'enforce'] as const;
const reportUntil = '2999-01-01';
const QUEUE = 'reported';

const own = serviceMessage({ id: 1 }, actingAsItself());

/** Whom the handlers were called for: the issuer, or nobody. */
const served: string[] = [];

@Controller()
@UseGuards(ServiceJwtGuard)
class ReportedController {
  @MessagePattern('house.get')
  get(
    @Payload() data: unknown,
    @ServiceCaller() caller: ServiceIdentity | undefined,
    @Ctx() context: object,
  ) {
    return serve(caller, context) && data;
  }

  @EventPattern<string>('house.changed')
  changed(
    @Payload() _data: unknown,
    @ServiceCaller() caller: ServiceIdentity | undefined,
    @Ctx() context: object,
  ) {
    serve(caller, context);
  }
}

function serve(caller: ServiceIdentity | undefined, context: object): true {
  served.push(caller?.issuer ?? 'nobody');
  acknowledge(context);
  return true;
}

/** Who sends: the code that refuses each, none for the good one. */
const SENDERS: readonly (readonly [sender: string, code: string | undefined])[] = [
  ['a stranger, unsigned', 'token_missing'],
  ['herald, for another service', 'audience_mismatch'],
  ['herald, with another key', 'key_unknown'],
  ['herald', undefined],
];

describe.each(INSTALLED_TRANSPORTS)('messages over $name', (transport) => {
  let place: MeetingPlace;
  const senders = new Map<string, ClientProxy>();
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    place = await transport.start();
    const stranger = ClientProxyFactory.create(place.client(QUEUE));
    closing.push(
      async () => await place.close(),
      () => stranger.close(),
    );
    senders.set('a stranger, unsigned', stranger);
    const signing: [string, object, object][] = [
      ['herald, for another service', {}, { audience: 'https://another.service/' }],
      [
        'herald, with another key',
        { signingKey: { privateKey: createKey().privatePem, keyId: 'forged' } },
        {},
      ],
      ['herald', {}, {}],
    ];
    for (const [sender, options, client] of signing) {
      const answers = { answers: 'unsigned' } as const;
      const service = await HeraldService.start(
        { place, queue: QUEUE, options },
        { ...client, ...answers, publicKey: undefined },
      );
      closing.push(async () => await service.close());
      senders.set(sender, service.census);
    }
  }, 300_000);
  afterAll(async () => {
    for (const close of closing.toReversed()) await close();
  });

  describe.each(ENFORCEMENTS)('%s', (enforcement) => {
    let census: CensusService;
    beforeAll(async () => {
      const options = { enforcement, reportUntil };
      census = await CensusService.start({
        place,
        queue: QUEUE,
        controllers: [ReportedController],
        options,
      });
    }, 60_000);
    beforeEach(() => {
      served.splice(0);
      census.events.decisions.splice(0);
    });
    afterAll(async () => await census?.close());

    const decided = (code: string | undefined, route: string) => {
      if (code === undefined) return { type: 'request_accepted', route };
      const type = enforcement === 'report' ? 'request_would_be_refused' : 'request_refused';
      return { type, code, route };
    };
    const handledFor = (code: string | undefined): string[] => {
      if (code === undefined) return [HERALD];
      return enforcement === 'report' ? ['nobody'] : [];
    };

    it.each(SENDERS)('a request of %s: %s', async (sender, code) => {
      const client = senders.get(sender) as ClientProxy;
      const data = sender.startsWith('herald') ? own : { id: 1 };
      const answer: unknown = await firstValueFrom(
        client.send<unknown, unknown>('house.get', data),
      ).catch((error: unknown) => error);
      if (code !== undefined && enforcement === 'enforce') expect(answer).toMatchObject({ code });
      else expect(answer).toEqual({ id: 1 });
      expect(census.events.decisions).toMatchObject([decided(code, 'house.get')]);
      expect(served).toEqual(handledFor(code));
    });

    it.each(SENDERS)('an event of %s: %s', async (sender, code) => {
      const client = senders.get(sender) as ClientProxy;
      const data = sender.startsWith('herald') ? own : { id: 1 };
      const known = census.events.reach(1);
      await firstValueFrom(client.emit<unknown, unknown>('house.changed', data), {
        defaultValue: undefined,
      });
      await known;
      // One message later, of the same client, the event has been dealt with.
      await firstValueFrom(client.send<unknown, unknown>('house.get', data)).catch(() => undefined);
      expect(census.events.decisions[0]).toMatchObject(decided(code, 'house.changed'));
      const [handled] = handledFor(code);
      expect(served).toEqual(handled === undefined ? [] : [handled, handled]);
    });
  });
});

describeRedis('jobs', () => {
  let redis: RedisServer;
  beforeEach(async () => void (redis = await RedisServer.start()));
  afterEach(async () => await redis.close());

  const FLAWS: readonly (readonly [
    flaw: string,
    code: string | undefined,
    change: (token: object) => object | undefined,
    queue: { readonly audience?: string },
  ])[] = [
    ['no token', 'token_missing', () => undefined, {}],
    ['a token that is no text', 'token_malformed', () => ({ JWT: 1 }), {}],
    [
      'a token for another service',
      'audience_mismatch',
      (token) => token,
      { audience: 'https://another.service/' },
    ],
    ['its token', undefined, (token) => token, {}],
  ];

  describe.each(ENFORCEMENTS)('%s', (enforcement) => {
    it.each(FLAWS)('a job with %s: %s', async (_flaw, code, change, queue) => {
      const process = () => 'done';
      const service = await JobService.start({
        port: redis.port,
        process,
        options: { enforcement, reportUntil },
        queue,
      });
      await service.queue.pause();
      const signed = await service.queue.add('welcome', own);
      const token = tokenOf(signed);
      await signed.remove();
      await service.queue.resume();
      const stranger = strangersQueue(redis.port);
      const job = await stranger.add('welcome', signed.data, {
        serviceAuth: change(token),
      } as object);
      const result = service.result(job);
      const isRefused = code !== undefined && enforcement === 'enforce';
      if (isRefused) await expect(result).rejects.toThrow(code);
      else expect(await result).toBe('done');
      const type = enforcement === 'report' ? 'request_would_be_refused' : 'request_refused';
      const decision = code === undefined ? { type: 'request_accepted' } : { type, code };
      const decisions = service.events.decisions.filter((event) => event.type !== 'request_signed');
      expect(decisions).toMatchObject([{ ...decision, route: 'mail' }]);
      const callers = service.handled.map(({ identity }) => identity?.issuer);
      expect(callers).toEqual(isRefused ? [] : [code === undefined ? MAIL : undefined]);
      await stranger.close();
      await service.close();
    });
  });
});
