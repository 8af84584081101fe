import { onBehalfOf } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
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

  it('serves a signed event', async () => {
    await herald.tell('user.changed', serviceMessage({ id: 7 }, onBehalfOf(USER)));
    while (inbox.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(inbox).toMatchObject([
      { pattern: 'user.changed', data: { id: 7 }, caller: { subject: USER } },
    ]);
  });
});
