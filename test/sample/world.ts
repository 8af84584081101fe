import type { Server } from 'node:http';
import type { DynamicModule } from '@nestjs/common';
import { AppModule as AnotherModule } from '../../sample/another/app.module.js';
import { AppModule as CourierModule } from '../../sample/courier/app.module.js';
import { listenForMails } from '../../sample/courier/mail-intake.js';
import { AppModule as CensusModule } from '../../sample/census/app.module.js';
import { AppModule as EdgeModule } from '../../sample/edge/app.module.js';
import { servePage } from '../../sample/edge/serve-page.js';
import { AppModule as HeraldModule } from '../../sample/herald/app.module.js';
import { startService, type TestService } from '../support/services/service.js';
import { openDoor } from './door.js';
import { openMailQueue } from './mail-queue-place.js';

/** The five applications in this process, talking over real sockets. */
export interface World {
  readonly census: TestService;
  readonly herald: TestService;
  readonly another: TestService;
  readonly edge: TestService;
  readonly courier: TestService;
  /** Starts the courier again, after it was closed. */
  startCourier(): Promise<void>;
  close(): Promise<void>;
}

/** Another, Herald and the courier have doors, so that those who start before them are told where they will be found. */
export async function startWorld(keys: string, smtpUrl: string): Promise<World> {
  const doors = {
    another: await openDoor('wait'),
    herald: await openDoor('wait'),
    courier: await openDoor('wait'),
  };
  const baseUrls = {
    census: '',
    edge: '',
    another: doors.another.url,
    herald: doors.herald.url,
    courier: doors.courier.url,
  };
  const queue = await openMailQueue();
  const mailQueue = queue.place;
  const start = async (...imports: DynamicModule[]) =>
    await startService({ adapter: 'express', imports });
  const edge = await startService({
    adapter: 'express',
    imports: [EdgeModule.register({ baseUrls, keys })],
    configure: servePage,
  });
  baseUrls.edge = `${edge.url}/`;
  const another = await start(AnotherModule.register({ baseUrls, keys }));
  doors.another.leadTo(another.app.getHttpServer() as Server);
  const census = await start(CensusModule.register({ baseUrls, keys }));
  baseUrls.census = `${census.url}/`;
  const herald = await start(HeraldModule.register({ baseUrls, keys, mailQueue }));
  doors.herald.leadTo(herald.app.getHttpServer() as Server);
  const startCourier = async (): Promise<TestService> => {
    const service = await startService({
      adapter: 'express',
      imports: [await CourierModule.register({ baseUrls, keys, mailQueue, smtpUrl })],
      configure: async (app) => await listenForMails(app, { mailQueue }),
    });
    doors.courier.leadTo(service.app.getHttpServer() as Server);
    return service;
  };
  const world = { census, herald, another, edge, courier: await startCourier() };
  const close = async () => {
    const { courier } = world;
    await Promise.all([edge, another, census, herald, courier].map((service) => service.close()));
    await Promise.all([queue, ...Object.values(doors)].map((each) => each.close()));
  };
  return Object.assign(world, {
    close,
    startCourier: async () => {
      world.courier = await startCourier();
    },
  });
}
