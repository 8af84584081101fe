import type { Server } from 'node:http';
import type { DynamicModule } from '@nestjs/common';
import { AppModule as AnotherModule } from '../../sample/another/app.module.js';
import { AppModule as CensusModule } from '../../sample/census/app.module.js';
import { AppModule as EdgeModule } from '../../sample/edge/app.module.js';
import { servePage } from '../../sample/edge/serve-page.js';
import { AppModule as HeraldModule } from '../../sample/herald/app.module.js';
import { startService, type TestService } from '../support/services/service.js';
import { openDoor } from './door.js';

/** The four applications in this process, talking over real sockets. */
export interface World {
  readonly census: TestService;
  readonly herald: TestService;
  readonly another: TestService;
  readonly edge: TestService;
  close(): Promise<void>;
}

/** Another and Herald have doors, so that those who start before them are told where they will be found. */
export async function startWorld(keys: string, smtpUrl: string): Promise<World> {
  const doors = { another: await openDoor('wait'), herald: await openDoor('wait') };
  const baseUrls = { census: '', edge: '', another: doors.another.url, herald: doors.herald.url };
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
  const herald = await start(HeraldModule.register({ baseUrls, keys, smtpUrl }));
  doors.herald.leadTo(herald.app.getHttpServer() as Server);
  const close = async () => {
    await Promise.all([edge, another, census, herald].map((service) => service.close()));
    await Promise.all(Object.values(doors).map((door) => door.close()));
  };
  return { census, herald, another, edge, close };
}
