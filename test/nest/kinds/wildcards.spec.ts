import { Controller, UseGuards } from '@nestjs/common';
import { EventPattern, MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { ServiceJwtGuard } from 'nestjs-service-auth';
import {
  INSTALLED_TRANSPORTS,
  type MeetingPlace,
  type TransportName,
} from '../../support/messages/brokers.js';
import { forgeMessage } from '../../support/messages/forged-message.js';
import {
  CENSUS,
  CensusService,
  HERALD,
  heraldKey,
} from '../../support/messages/messaging-services.js';
import { PlainPeer } from '../../support/messages/plain-broker.js';

const QUEUE = 'wildcards';

/** How a transport writes a pattern that takes several routes, and how it joins the words of a route. */
const WILDCARDS: Partial<Record<TransportName, { readonly any: string; readonly join: string }>> = {
  Redis: { any: '*', join: '.' },
  RabbitMQ: { any: '*', join: '.' },
  NATS: { any: '*', join: '.' },
  MQTT: { any: '+', join: '/' },
};

/** Redis and RabbitMQ take wildcards where the server says so. */
function withWildcards(place: MeetingPlace, name: TransportName): MeetingPlace {
  if (name !== 'Redis' && name !== 'RabbitMQ') return place;
  const server = (queue: string): MicroserviceOptions => {
    const made = place.server(queue) as { options?: object };
    return { ...made, options: { ...made.options, wildcards: true } } as MicroserviceOptions;
  };
  return { ...place, server };
}

describe.each(INSTALLED_TRANSPORTS.filter(({ name }) => WILDCARDS[name]))(
  'a pattern that takes several routes, over $name',
  ({ name, ...transport }) => {
    const { any = '', join = '' } = WILDCARDS[name] ?? {};
    // A word at the end: `*` there takes the replies over Redis too, which Nest sends to the route and `.reply`.
    const routeOf = (verb: 'SEND' | 'EMIT', house: string): string =>
      [verb.toLowerCase(), house, 'house'].join(join);

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class HousesController {
      @MessagePattern(routeOf('SEND', any))
      get() {
        return 'got';
      }
      @EventPattern<string>(routeOf('EMIT', any))
      changed() {
        return;
      }
    }

    let place: MeetingPlace;
    let census: CensusService;
    let peer: PlainPeer;
    beforeAll(async () => {
      place = withWildcards(await transport.start(), name);
      census = await CensusService.start({ place, queue: QUEUE, controllers: [HousesController] });
      peer = await PlainPeer.open(name, place, QUEUE);
    }, 120_000);
    beforeEach(() => void census.events.decisions.splice(0));
    afterAll(async () => {
      await peer?.close();
      await census?.close();
      await place?.close();
    });

    describe.each(['SEND', 'EMIT'] as const)('%s', (verb) => {
      it.each([
        ['of this very route', '1', undefined],
        ['of another route that it takes', '2', 'request_mismatch'],
        ['of the pattern itself', any, 'request_mismatch'],
      ])('MS-72 a token %s (%s): %s', async (_title, signed, code) => {
        const parts = { key: heraldKey, issuer: HERALD, audience: CENSUS, verb, data: '{"id":1}' };
        const routes = { pattern: routeOf(verb, '1'), route: routeOf(verb, signed) };
        const message = forgeMessage({ ...parts, ...routes });
        if (verb === 'SEND') await peer.ask(message);
        else await peer.tell(message);
        await census.events.reach(1);
        // Events name the pattern: a route may be of anybody's choosing.
        const route = routeOf(verb, any);
        const decision =
          code === undefined ? { type: 'request_accepted' } : { type: 'request_refused', code };
        expect(census.events.decisions).toMatchObject([{ ...decision, route }]);
      });
    });
  },
);
