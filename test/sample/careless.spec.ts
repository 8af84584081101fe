import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HttpService } from '@nestjs/axios';
import { Body, Controller, Inject, Post, UseGuards } from '@nestjs/common';
import { ServiceCaller, type ServiceIdentity, ServiceJwtGuard } from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { AppModule as CensusModule } from '../../sample/census/app.module.js';
import { AppModule as HeraldModule } from '../../sample/herald/app.module.js';
import { ensureKeyFiles, readPrivateKey } from '../../sample/setup/key-files.js';
import { SERVICE_URIS } from '../../sample/setup/services.js';
import { type Answer, send } from '../../sample/story/http-client.js';
import { grantFor, post, sign } from '../../sample/story/signed-request.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { openDoor } from './door.js';
import { openMailQueue } from './mail-queue-place.js';
import { publishKey } from './published-key.js';

const MEMBER = `${SERVICE_URIS.census}user/7/`;
const NEWCOMER = `${SERVICE_URIS.census}user/42/`;

/** The answer of Census, as it is. */
async function answerOf(call: ReturnType<HttpService['get']>): Promise<object> {
  const { status, data } = (await firstValueFrom(call)) as { status: number; data: object };
  return { status, ...data };
}

/** Herald as it must not be written: it acts for the user whom the body names. And as it must, beside it. */
@Controller('lookup')
@UseGuards(ServiceJwtGuard)
class CarelessController {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Post('careless')
  async careless(@Body() { userId }: { userId: string }): Promise<object> {
    return await answerOf(this.http.get('user/42', { ...onBehalfOf(userId), ...ANY_STATUS }));
  }

  @Post('careful')
  async careful(@ServiceCaller() caller: ServiceIdentity): Promise<object> {
    return await answerOf(this.http.get('user/7', { ...onBehalfOf(caller), ...ANY_STATUS }));
  }
}

const ANY_STATUS = { validateStatus: () => true };

describe.each(ADAPTERS)('a service that takes the user from the body, on %s', (adapter) => {
  let keys: string;
  let herald: TestService;
  const open: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    keys = mkdtempSync(join(tmpdir(), 'sample-careless-'));
    ensureKeyFiles(keys);
    const door = await openDoor('wait');
    const edge = await publishKey('edge', keys);
    const another = await publishKey('another', keys);
    const baseUrls = {
      census: '',
      herald: door.url,
      another: another.url,
      edge: edge.url,
      courier: '',
    };
    baseUrls.courier = edge.url; // It publishes nothing that is asked for here.
    const census = await startService({
      adapter,
      imports: [CensusModule.register({ baseUrls, keys })],
    });
    baseUrls.census = `${census.url}/`;
    const queue = await openMailQueue();
    const { imports = [] } = HeraldModule.register({
      baseUrls,
      keys,
      mailQueue: queue.place,
    });
    herald = await startService({ adapter, imports, controllers: [CarelessController] });
    door.leadTo(herald.app.getHttpServer() as Server);
    open.push(herald, census, door, edge, another, queue);
  });
  afterAll(async () => {
    for (const service of open) await service.close();
    rmSync(keys, { recursive: true });
  });

  /** Another asks for user 7, who is there. */
  async function ask(path: string, userId: string): Promise<Answer> {
    const request = post(`${herald.url}/lookup/${path}`, { userId });
    const signed = await sign(request, {
      issuer: SERVICE_URIS.another,
      privateKey: readPrivateKey(keys, 'another'),
      audience: SERVICE_URIS.herald,
      subject: MEMBER,
      grant: await grantFor(MEMBER, keys),
    });
    return await send(signed);
  }

  it('cannot read what another user may read: nobody vouched for that user', async () => {
    expect((await ask('careless', NEWCOMER)).body).toMatchObject({
      status: 403,
      code: 'grant_missing',
    });
  });

  it('can read what the user of the call may read, when it takes the user from there', async () => {
    expect((await ask('careful', NEWCOMER)).body).toMatchObject({ status: 200, uri: MEMBER });
  });
});
