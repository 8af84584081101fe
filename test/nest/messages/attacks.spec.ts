import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import { forgeMessage } from '../../support/messages/forged-message.js';
import { CensusService } from '../../support/messages/messaging-services.js';
import { type Packet, type PlainMessage, PlainPeer } from '../../support/messages/plain-broker.js';
import { ATTACKS, outcomeOf, partsOf } from './attack-table.js';
import { ATTACKED_CONTROLLERS, attackedTrust, letIn, letInOf } from './attacked-census.js';

const QUEUE = 'attacked';
const VERBS = ['SEND', 'EMIT'] as const;
const ROWS = VERBS.flatMap((verb) =>
  ATTACKS.map((row) => ({ ...row, verb, title: `${row.id} ${verb}: ${row.input}`, row })),
);

describe.each(INSTALLED_TRANSPORTS)('a message over $name', ({ name, isFanOut, ...transport }) => {
  let place: MeetingPlace;
  let census: CensusService;
  let peer: PlainPeer;

  beforeAll(async () => {
    place = await transport.start();
    census = await CensusService.start({
      place,
      queue: QUEUE,
      controllers: ATTACKED_CONTROLLERS,
      options: { ...attackedTrust, reportUntil: new Date(Date.now() + 86_400_000) },
    });
    peer = await PlainPeer.open(name, place, QUEUE);
  }, 300_000);

  afterAll(async () => {
    await peer?.close();
    await census?.close();
    await place?.close();
  });

  /** What became of a message: in the words of the events, and of the answer where one is wanted. */
  async function outcomeOfSending(message: PlainMessage): Promise<string> {
    letIn.splice(0);
    census.events.decisions.splice(0);
    const answers = message.wantsAnswer ? await peer.ask(message) : undefined;
    if (!message.wantsAnswer) await peer.tell(message);
    if (message.pattern.endsWith('open')) await letInOf(1);
    else await census.events.reach(1);
    const [decision, ...more] = census.events.decisions;
    expect(more).toEqual([]);
    const said = wordsOf(decision);
    const isLetIn = ['accepted', 'anonymous', 'open'].includes(said) || said.startsWith('reported');
    if (isLetIn) await letInOf(1);
    expect(letIn).toHaveLength(isLetIn ? 1 : 0);
    if (answers) expectAnswer(answers, isLetIn ? undefined : said);
    return said;
  }

  it.each(ROWS)('$title', async ({ row, verb }) => {
    const message = forgeMessage(partsOf(row, verb));
    expect(await outcomeOfSending(message)).toBe(outcomeOf(row, verb, name));
  });

  it('MS-08 SEND: the same message again', async () => {
    const message = forgeMessage(partsOf({ ...ATTACKS[0]! }, 'SEND'));
    expect(await outcomeOfSending(message)).toBe('accepted');
    if (!isFanOut) {
      expect(await outcomeOfSending(message)).toBe('token_replayed');
      return;
    }
    await expectDropped(message);
  });

  it('MS-08 EMIT: the same message again', async () => {
    const message = forgeMessage(partsOf({ ...ATTACKS[0]! }, 'EMIT'));
    expect(await outcomeOfSending(message)).toBe('accepted');
    if (name === 'TCP') expect(await outcomeOfSending(message)).toBe('token_replayed');
    else await expectDropped(message);
  });

  /** Nobody is answered, and no handler runs; no refusal is counted. */
  async function expectDropped(message: PlainMessage): Promise<void> {
    letIn.splice(0);
    census.events.decisions.splice(0);
    const dropped = census.events.next('duplicate_dropped');
    await peer.tell(message);
    expect(await dropped).toMatchObject({ route: message.pattern });
    expect(census.events.decisions).toEqual([]);
    expect(letIn).toEqual([]);
  }
});

function wordsOf(decision: object | undefined): string {
  const { type, code } = (decision ?? { type: 'open' }) as { type: string; code?: string };
  switch (type) {
    case 'request_accepted':
      return 'accepted';
    case 'request_anonymous':
      return 'anonymous';
    case 'request_would_be_refused':
      return `reported ${code}`;
    case 'request_refused':
      return String(code);
    default:
      return type;
  }
}

function expectAnswer(answers: readonly Packet[], code: string | undefined): void {
  const [first] = answers;
  if (code === undefined) expect(first).toMatchObject({ response: { let: 'in' } });
  else expect(first).toMatchObject({ err: { status: 'error', code } });
}
