import { USERS } from '../../for-whom/granting-edge.js';
import { INSTALLED_TRANSPORTS, type TransportName } from '../../support/messages/brokers.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';
import {
  Chain,
  type Crossing,
  type Naming,
  type Propagation,
  RELAY,
  type Way,
} from './relayed-users.js';

const USERS_AT_ONCE = 200;

interface Meeting {
  readonly crossing: Crossing;
  close(): Promise<void>;
}

/** From one service to the next over one kind of call, and from there over HTTP. */
function passesUsersOn(ways: readonly Way[], meet: () => Promise<Meeting>): void {
  let meeting: Meeting;
  beforeAll(async () => void (meeting = await meet()), 300_000);
  afterAll(async () => await meeting?.close());

  describe.each<[Propagation, Naming[], Naming[]]>([
    ['explicit', ['named'], ['unnamed', 'half-named']],
    ['ambient', ['named', 'unnamed'], []],
  ])('%s', (propagation, passed, refused) => {
    let chain: Chain;
    beforeAll(async () => void (chain = await Chain.start(meeting.crossing, propagation)), 60_000);
    beforeEach(() => chain.forget());
    afterAll(async () => await chain?.close());

    const each = (namings: readonly Naming[]) =>
      ways.flatMap((way) => namings.map((naming) => ({ way, naming })));

    it.each(each(passed))(
      `$way, $naming: ${USERS_AT_ONCE} users at once, each with the grant of the user`,
      async ({ way, naming }) => {
        const users = Array.from({ length: USERS_AT_ONCE }, (_, index) => `${index}`);
        const asked = await Promise.all(
          users.map(async (id) => await chain.ask(way, { id, naming }, `${USERS}${id}/`)),
        );
        expect(asked.filter(({ answer }) => answer.status !== 200)).toEqual([]);
        expect(asked.flatMap(({ answer }) => answer.code ?? [])).toEqual([]);
        await chain.ended(USERS_AT_ONCE);
        expect(chain.failed).toEqual([]);
        const expected = asked.map(({ transaction }, id) => ({
          id: `${id}`,
          caller: { issuer: RELAY, subject: `${USERS}${id}/` },
          grant: { transaction },
        }));
        const arrived = chain.arrived.toSorted((one, other) => Number(one.id) - Number(other.id));
        expect(arrived).toMatchObject(expected);
        if (way === 'send') {
          const answers = asked.map(({ answer }) => answer.json?.['passed']);
          expect(answers).toEqual(users.map((id) => ({ kept: id, for: `${USERS}${id}/` })));
        }
      },
      120_000,
    );

    const cases = each(refused);
    if (cases.length === 0) return;
    it.each(cases)('$way, $naming: subject_undecided', async ({ way, naming }) => {
      const { answer } = await chain.ask(way, { id: '1', naming }, `${USERS}1/`);
      const isHeralds = naming === 'unnamed';
      expect(answer.code).toBe(isHeralds ? 'subject_undecided' : undefined);
      const signing = chain.heraldEvents.of('signing_failed');
      expect(signing).toHaveLength(isHeralds ? 1 : 0);
      if (!isHeralds) await chain.ended(1);
      expect(chain.failed).toEqual(isHeralds ? [] : ['subject_undecided']);
      expect(chain.arrived).toEqual([]);
    });
  });
}

const TRANSPORTS = ['RabbitMQ', 'TCP', 'NATS'] satisfies TransportName[];

describe.each(
  INSTALLED_TRANSPORTS.filter(({ name }) => (TRANSPORTS as TransportName[]).includes(name)),
)('HTTP, then $name, then HTTP', (transport) => {
  passesUsersOn(['send', 'emit'], async () => {
    const place = await transport.start();
    return { crossing: { place }, close: async () => await place.close() };
  });
});

describeRedis('HTTP, then a job of BullMQ, then HTTP', () => {
  passesUsersOn(['job'], async () => {
    const redis = await RedisServer.start();
    return { crossing: { redisPort: redis.port }, close: async () => await redis.close() };
  });
});
