import { Controller, type DynamicModule, Module, type Type, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import {
  actingAsItself,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { describeTcp, type MeetingPlace, TRANSPORTS } from '../../support/messages/brokers.js';
import {
  CENSUS,
  censusKey,
  CensusService,
  HERALD,
  heraldKey,
  HeraldService,
} from '../../support/messages/messaging-services.js';
import { LogRecorder } from '../../support/observed/log-recorder.js';

/** What has run. */
const ran: string[] = [];

/** A controller whose guarded handlers have these names. */
function controllerOf(name: string, handlers: readonly string[]): Type {
  class TestController {}
  Object.defineProperty(TestController, 'name', { value: name });
  for (const handler of handlers) {
    const value = (): string => {
      ran.push(handler);
      return handler;
    };
    Object.defineProperty(TestController.prototype, handler, { value });
    MessagePattern(handler)(TestController.prototype, handler, { value });
  }
  UseGuards(ServiceJwtGuard)(TestController);
  Controller()(TestController);
  return TestController;
}

const NAMES = Array.from({ length: 12 }, (_, at) => `get${at}`);
const Many = controllerOf('Many', NAMES);

@Controller()
@UseGuards(ServiceJwtGuard)
class WithoutAnswers {
  @EventPattern<string>('changed')
  changed() {
    ran.push('changed');
  }

  @MessagePattern('open')
  @SkipServiceAuth()
  open() {
    return 'open';
  }
}

const withoutKey = { signingKey: undefined, targets: undefined } as const;
const linesOf = (log: LogRecorder): string[] =>
  log.texts('warn').filter((line) => line.startsWith('No signingKey'));

describeTcp('A service that serves messages', () => {
  let place: MeetingPlace;
  const closing: { close(): Promise<void> }[] = [];

  beforeEach(async () => {
    ran.splice(0);
    const tcp = TRANSPORTS.find(({ name }) => name === 'TCP');
    if (!tcp) throw new Error('no TCP');
    place = await tcp.start();
    closing.push(place);
  });

  afterEach(async () => {
    for (const each of closing.splice(0).toReversed()) await each.close();
  });

  async function start(
    controllers: readonly Type[],
    options: Partial<ServiceAuthModuleOptions>,
  ): Promise<{ log: LogRecorder; census: CensusService }> {
    const log = new LogRecorder();
    const census = await CensusService.start({ place, controllers, logger: log, options });
    closing.push(census);
    return { log, census };
  }

  async function ask(pattern: string, answers: 'signed' | 'unsigned'): Promise<unknown> {
    const publicKey = answers === 'signed' ? censusKey.publicPem : undefined;
    const herald = await HeraldService.start({ place }, { answers, publicKey });
    closing.push(herald);
    const asked = herald.ask(pattern, serviceMessage({}, actingAsItself()));
    return await asked.catch((error: unknown) => (error as { code?: unknown }).code);
  }

  it('names at start the handlers whose answers no key signs, in one line', async () => {
    const { log, census } = await start([Many, WithoutAnswers], withoutKey);
    const [line = '', ...others] = linesOf(log);
    expect(others).toEqual([]);
    expect(line).toContain(' 12 guarded message handlers: Many.get0() [message], ');
    expect(line.match(/Many\./g)).toHaveLength(10);
    expect(line).toContain(' and 2 more. ');
    expect(line).not.toContain('WithoutAnswers');
    expect(await ask('get0', 'signed')).toBe('answer_unsigned');
    expect(ran).toEqual([]);
    expect(census.events.of('request_failed')).toMatchObject([{ reason: 'admission_error' }]);
    expect(await ask('get0', 'unsigned')).toBe('get0');
  });

  it('says nothing where a key signs them', async () => {
    const { log } = await start([Many, WithoutAnswers], {});
    expect(linesOf(log)).toEqual([]);
    expect(await ask('get0', 'signed')).toBe('get0');
  });

  it('says nothing where none is answered, or nobody wants to know', async () => {
    expect(linesOf((await start([WithoutAnswers], withoutKey)).log)).toEqual([]);
    await closing.pop()?.close();
    const silent = await start([Many], { ...withoutKey, coverage: 'off' });
    expect(linesOf(silent.log)).toEqual([]);
  });

  it('names, of several in one application, the handlers of the one without a key', async () => {
    const part = (name: string, options: Partial<ServiceAuthModuleOptions>): DynamicModule => {
      const auth = ServiceAuthModule.forRoot({
        issuer: `${CENSUS}${name}/`,
        trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
        isGlobal: false,
        ...options,
      });
      return {
        module: class {},
        imports: [auth, ServiceMessagesModule.forRoot({}, [auth])],
        controllers: [controllerOf(name, [name])],
      };
    };
    const signingKey = { privateKey: censusKey.privatePem };
    const imports = [part('Mute', {}), part('Answering', { signingKey, targets: [] })];
    class BothModule {}
    Module({ imports })(BothModule);
    const log = new LogRecorder();
    const options = { logger: log, abortOnError: false } as const;
    const app = await NestFactory.createMicroservice(BothModule, {
      ...place.server('census'),
      ...options,
    });
    closing.push(app);
    await app.listen();
    expect(linesOf(log)).toEqual([
      expect.stringContaining(' 1 guarded message handler: Mute.Mute() [message]. '),
    ]);
  });
});
