import { actingAsItself, ServiceAuthUnavailableError } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../../support/keys/key-server.js';
import { describeTcp, type MeetingPlace, TRANSPORTS } from '../../support/messages/brokers.js';
import {
  CENSUS,
  censusKey,
  CensusService,
  HeraldService,
  inbox,
} from '../../support/messages/messaging-services.js';

const own = (data: unknown): object => serviceMessage(data, actingAsItself());

describeTcp('the keys of the called service', () => {
  let keyServer: KeyServer;
  let place: MeetingPlace;
  let census: CensusService;

  beforeAll(async () => {
    keyServer = await startKeyServer(serveKeys([jwkOf(censusKey)]));
    const tcp = TRANSPORTS.find(({ name }) => name === 'TCP');
    if (!tcp) throw new Error('TCP is not known');
    place = await tcp.start();
    census = await CensusService.start({ place });
  });

  afterAll(async () => {
    await census.close();
    await keyServer.close();
    await place.close();
  });

  const startHerald = async (): Promise<HeraldService> =>
    await HeraldService.start({ place }, { publicKey: undefined, jwksUri: keyServer.url });

  it('MS-58 let no request be sent while none is known: its handler would run for nothing', async () => {
    await keyServer.down();
    const early = await startHerald();
    const asked = early.ask('user.get', own({ id: 1 }));
    await expect(asked).rejects.toThrow(ServiceAuthUnavailableError);
    await expect(asked).rejects.toMatchObject({ code: 'key_unavailable' });
    expect(early.events.of('signing_failed')).toMatchObject([
      { code: 'key_unavailable', transport: 'messages', audience: CENSUS, isSentUnsigned: false },
    ]);
    expect(early.events.of('keys_refresh_failed')[0]).toMatchObject({
      issuer: CENSUS,
      areOfAnswers: true,
    });
    // Events have no answer, so they are sent.
    await early.tell('user.changed', own({ id: 2 }));
    await keyServer.resume();

    const late = await startHerald();
    await expect(late.ask('user.get', own({ id: 3 }))).resolves.toMatchObject({
      got: { id: 3 },
    });
    expect(late.events.of('signing_failed')).toEqual([]);
    const served = inbox.filter(({ pattern }) => pattern === 'user.get');
    expect(served.map(({ data }) => data)).toEqual([{ id: 3 }]);
    await Promise.all([early.close(), late.close()]);
  });
});
