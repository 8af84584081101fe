import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { actingAsItself } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import { messageToken } from '../../support/messages/forged-message.js';
import { jsonText, readByHand } from '../../support/messages/message-texts.js';
import {
  CENSUS,
  CensusService,
  HERALD,
  heraldKey,
  HeraldService,
  inbox,
  QUEUE,
} from '../../support/messages/messaging-services.js';
import { type Packet, PlainPeer } from '../../support/messages/plain-broker.js';

/** How many messages of each kind go through each broker: 2,000 with `node scripts/test-message-texts.mjs`. */
const SENT = Number(process.env['MESSAGE_TEXTS_SENT'] ?? 100);
const MINUTES = 30;
const PATTERN = 'user.get';

/**
 * Other readings of a JSON text, whose digests a sender may claim: what JavaScript writes of its data, the text itself,
 * the text without the signs of its numbers, and with `null` for the numbers that are infinite.
 */
const READINGS: readonly ((text: string) => string)[] = [
  (text) => JSON.stringify(JSON.parse(text)),
  (text) => text,
  (text) => text.replaceAll('-', ''),
  (text) => text.replaceAll(/-?\d+e\+?\d{3,}/gi, 'null'),
];

const attempt = fc.tuple(jsonText, fc.constantFrom(...READINGS));

describe.each(INSTALLED_TRANSPORTS)('random data over $name', (transport) => {
  const { name } = transport;
  let place: MeetingPlace;
  let census: CensusService;
  let herald: HeraldService;
  let plain: PlainPeer;

  beforeAll(async () => {
    place = await transport.start();
    census = await CensusService.start({ place });
    herald = await HeraldService.start({ place });
    plain = await PlainPeer.open(name, place, QUEUE);
  }, 400_000);

  afterAll(async () => {
    await plain?.close();
    await herald?.close();
    await census?.close();
    await place?.close();
  });

  beforeEach(() => void inbox.splice(0));

  /** Sends a text with a token for another one. @returns whether the handler was called */
  const isServed = async (data: string, signedData: string): Promise<boolean> => {
    inbox.splice(0);
    const parts = { key: heraldKey, issuer: HERALD, audience: CENSUS, verb: 'SEND' } as const;
    const JWT = messageToken({ ...parts, pattern: PATTERN, data, signedData });
    const answers = await plain.ask({ pattern: PATTERN, data, headers: { JWT } });
    const isRefused = answers.some(wasRefused);
    if (isRefused === inbox.length > 0) throw new Error(`served and refused: ${data}`);
    return !isRefused;
  };

  it(
    'is served exactly where its digest is that of the data',
    async () => {
      const counts = { served: 0, refused: 0 };
      const property = fc.asyncProperty(attempt, async ([text, read]) => {
        const signed = read(text);
        const served = await isServed(text, signed);
        counts[served ? 'served' : 'refused'] += 1;
        const { isAcceptable } = readByHand(text);
        const isSigned = signed === JSON.stringify(JSON.parse(text));
        if (served !== (isAcceptable && isSigned)) throw new Error(`served: ${served}`);
        if (served) assertSame(inbox[0]?.data, JSON.parse(signed));
      });
      await fc.assert(property, { numRuns: SENT });
      console.log(`${name}: ${counts.served} served, ${counts.refused} refused`);
      expect(Math.min(counts.served, counts.refused)).toBeGreaterThan(0);
    },
    MINUTES * 60_000,
  );

  it(
    'reaches the handler as the signing client was given it',
    async () => {
      const values = fc.jsonValue({ maxDepth: 4 });
      const property = fc.asyncProperty(values, async (value) => {
        inbox.splice(0);
        const answer = await herald.ask(PATTERN, serviceMessage(value, actingAsItself()));
        const sent: unknown = JSON.parse(JSON.stringify(value));
        assertSame(inbox[0]?.data, sent);
        assertSame(answer, { got: sent });
      });
      await fc.assert(property, { numRuns: SENT });
    },
    MINUTES * 60_000,
  );
});

/** `isDeepStrictEqual` tells -0 from 0. */
function assertSame(seen: unknown, expected: unknown): void {
  if (isDeepStrictEqual(seen, expected)) return;
  throw new Error(`${JSON.stringify(seen)} came, not ${JSON.stringify(expected)}`);
}

function wasRefused({ err }: Packet): boolean {
  const code: unknown = Reflect.get(Object(err) as object, 'code');
  if (err !== undefined && err !== null && code !== 'body_mismatch' && code !== 'body_unverifiable')
    throw new Error(`refused with ${JSON.stringify(err)}`);
  return code !== undefined;
}
