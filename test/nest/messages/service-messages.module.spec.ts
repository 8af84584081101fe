import { Controller, Module, UseGuards } from '@nestjs/common';
import { Ctx, MessagePattern } from '@nestjs/microservices';
import {
  onBehalfOf,
  ServiceAnswerRefusedError,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { endWith, filter, firstValueFrom, lastValueFrom, mergeMap, take } from 'rxjs';
import { createKey } from '../../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
  acknowledge,
  CensusService,
  HeraldService,
  inbox,
  USER,
} from '../../support/messages/messaging-services.js';

describe.each(INSTALLED_TRANSPORTS)('ServiceMessagesModule over $name', (transport) => {
  let place: MeetingPlace;
  let census: CensusService;
  let herald: HeraldService;

  beforeAll(async () => {
    place = await transport.start();
    census = await CensusService.start({ place });
    herald = await HeraldService.start({ place });
  }, 300_000);

  afterAll(async () => {
    await herald?.close();
    await census?.close();
    await place?.close();
  });

  beforeEach(() => void inbox.splice(0));

  it('serves a signed request, and believes its signed answer', async () => {
    const message = serviceMessage({ id: 42 }, onBehalfOf(USER));
    expect(await herald.ask('user.get', message)).toEqual({ got: { id: 42 }, for: USER });
  });

  it.each([
    ['the user whose call opened the connection', USER],
    ['another user', `${USER}another/`],
  ])('MS-73 sends what is piped to an answer for the user of that call: %s', async (_, user) => {
    const fresh = await HeraldService.start({ place });
    const calls = fresh.app.get(ServiceCallContext, { strict: false });
    const send = (id: number) => fresh.census.send<unknown>('user.get', { id });
    await calls.runOnBehalfOf(USER, async () => await lastValueFrom(send(1)));
    const piped = async () => await lastValueFrom(send(2).pipe(mergeMap(() => send(3))));
    await calls.runOnBehalfOf(user, piped);
    expect(inbox.map(({ caller }) => caller?.subject)).toEqual([USER, user, user]);
    await fresh.close();
  });

  it('MS-73 sends what is piped to an event for the user of that call', async () => {
    const fresh = await HeraldService.start({ place });
    const calls = fresh.app.get(ServiceCallContext, { strict: false });
    const send = (id: number) => fresh.census.send<unknown>('user.get', { id });
    await calls.runOnBehalfOf(USER, async () => await lastValueFrom(send(1)));
    const other = `${USER}another/`;
    await calls.runOnBehalfOf(other, async () => {
      const sent = fresh.census.emit<unknown>('user.changed', { id: 2 });
      await lastValueFrom(
        sent.pipe(
          endWith(undefined),
          take(1),
          mergeMap(() => send(3)),
        ),
      );
    });
    const asked = inbox.filter(({ pattern }) => pattern === 'user.get');
    expect(asked.map(({ caller }) => caller?.subject)).toEqual([USER, other]);
    await fresh.close();
  });

  it('lets no other service of the application act for itself in a message', async () => {
    const archive = ServiceAuthModule.forRoot({
      issuer: 'https://archive.service/',
      signingKey: { privateKey: createKey().privatePem },
      subjectOutsideRequest: 'act-as-itself',
      isGlobal: false,
    });
    const contexts: ServiceCallContext[] = [];
    const noted = {
      provide: 'noted',
      inject: [ServiceCallContext],
      useFactory: (context: ServiceCallContext) => contexts.push(context),
    };
    class ArchiveModule {}
    Module({ imports: [archive], providers: [noted] })(ArchiveModule);
    const seen: unknown[] = [];
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class ActingController {
      @MessagePattern('user.act')
      act(@Ctx() context: object) {
        for (const each of contexts) seen.push(each.current());
        acknowledge(context);
        return 'done';
      }
    }
    const own = await transport.start();
    const imports = [ArchiveModule];
    const acting = await CensusService.start({
      place: own,
      imports,
      controllers: [ActingController],
    });
    const fresh = await HeraldService.start({ place: own });
    await fresh.ask('user.act', serviceMessage({}, onBehalfOf(USER)));
    expect(seen).toEqual([undefined]);
    // Where no message is served, it acts for itself.
    expect(contexts.map((each) => each.current())).toEqual([{ subject: undefined }]);
    await fresh.close();
    await acting.close();
    await own.close();
  });

  it('MS-74 fails as its client does without a connection, and not for an unsigned answer', async () => {
    const lonely = await transport.start();
    const receiver = await CensusService.start({ place: lonely });
    const fresh = await HeraldService.start({ place: lonely });
    const message = serviceMessage({ id: 1 }, onBehalfOf(USER));
    expect(await fresh.ask('user.get', message)).toMatchObject({ for: USER });
    const isLost = firstValueFrom(
      fresh.census.status.pipe(filter((status) => status !== 'connected')),
    );
    await receiver.close();
    await lonely.close();
    await isLost;
    const failure: unknown = await fresh.ask('user.get', message).catch((error: unknown) => error);
    expect(failure).not.toBeInstanceOf(ServiceAnswerRefusedError);
    expect(String(failure)).toMatch(/ECONNREFUSED|[Cc]onnection/);
    await fresh.close();
  });

  it('serves a signed event', async () => {
    await herald.tell('user.changed', serviceMessage({ id: 7 }, onBehalfOf(USER)));
    while (inbox.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(inbox).toMatchObject([
      { pattern: 'user.changed', data: { id: 7 }, caller: { subject: USER } },
    ]);
  });
});
