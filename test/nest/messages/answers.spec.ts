import { type ClientProxy, ClientProxyFactory } from '@nestjs/microservices';
import { actingAsItself, ServiceAnswerRefusedError } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { lastValueFrom, mergeMap, type Observable, range, Subject, takeUntil, toArray } from 'rxjs';
import { createKey } from '../../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
  CENSUS,
  censusKey,
  CensusService,
  HERALD,
  heraldKey,
  HeraldService,
} from '../../support/messages/messaging-services.js';
import { type Frame, type Packet, PlainPeer } from '../../support/messages/plain-broker.js';
import { decodeClaims, encode, forge, sha256 } from '../../support/tokens/forge.js';
import { STREAMS, streamingController } from './streaming-census.js';

/** Nobody's data: the service acts for itself. */
const own = (data: unknown): object => serviceMessage(data, actingAsItself());

const BEHIND = 'behind';
const FRONT = 'front';
const strangerKey = createKey();

interface Envelope {
  readonly JWT: string;
  readonly text?: string;
}

const envelopeOf = (packet: Packet | undefined): Envelope => packet?.['response'] as Envelope;

/** What one that subscribes gets. */
interface Outcome {
  readonly values: readonly unknown[];
  readonly error?: unknown;
}

async function outcomeOf(answers: Observable<unknown>): Promise<Outcome> {
  return await new Promise((resolve) => {
    const values: unknown[] = [];
    answers.subscribe({
      next: (value) => values.push(value),
      error: (error: unknown) => resolve({ values, error }),
      complete: () => resolve({ values }),
    });
  });
}

const codeOf = ({ error }: Outcome): unknown =>
  error instanceof ServiceAnswerRefusedError ? error.code : error;

describe.each(INSTALLED_TRANSPORTS)('answers over $name', ({ name, ...transport }) => {
  let front: MeetingPlace;
  let behind: MeetingPlace;
  let census: CensusService;
  /** Calls the service itself, and that through one who sits between. */
  let direct: HeraldService;
  let fooled: HeraldService;
  let unaware: HeraldService;
  let plain: ClientProxy;
  let peers: PlainPeer[] = [];
  let tamper: (honest: readonly Packet[], frame: Frame) => readonly Packet[] | Promise<never>;
  /** An honest answer to another message. */
  let recorded: readonly Packet[];
  let serving: PlainPeer;

  beforeAll(async () => {
    front = await transport.start();
    behind = name === 'RabbitMQ' ? front : await transport.start();
    const controllers = [streamingController('guarded', true), streamingController('bare', false)];
    census = await CensusService.start({ place: behind, queue: BEHIND, controllers });
    direct = await HeraldService.start({ place: behind, queue: BEHIND });
    fooled = await HeraldService.start({ place: front, queue: FRONT });
    const unsigned = { answers: 'unsigned', publicKey: undefined } as const;
    unaware = await HeraldService.start({ place: behind, queue: BEHIND }, unsigned);
    plain = ClientProxyFactory.create(behind.client(BEHIND));
    serving = await PlainPeer.open(name, front, FRONT);
    const calling = await PlainPeer.open(name, behind, BEHIND);
    peers = [serving, calling];
    await serving.serve('guarded.many', (frame, reply) => {
      void calling.forward(frame).then(async (honest) => {
        for (const packet of await tamper(honest, frame)) reply(packet);
      });
    });
  }, 300_000);

  afterAll(async () => {
    await plain?.close();
    for (const each of [direct, fooled, unaware, census]) await each?.close();
    for (const peer of peers) await peer.close();
    await front?.close();
    if (behind !== front) await behind?.close();
  });

  const askFooled = async (): Promise<Outcome> =>
    await outcomeOf(fooled.census.send<unknown, unknown>('guarded.many', own({})));

  const ALL = [{ n: 0 }, { n: 1 }, { n: 2 }];

  it('MS-30 believes honest answers that pass through others', async () => {
    tamper = (honest) => (recorded = honest);
    expect(await askFooled()).toEqual({ values: ALL });
    const parts = recorded.filter(({ response }) => response !== undefined);
    const places = parts.map((packet) => decodeClaims(envelopeOf(packet).JWT)['seq']);
    expect(places).toEqual([0, 1, 2]);
  });

  const without = (packet: Packet | undefined): Packet => ({ ...packet, isDisposed: undefined });

  const TAMPERED: readonly [string, string, (honest: readonly Packet[]) => Packet[]][] = [
    ['reordered', 'answer_mismatch', ([a, b, c]) => [b!, a!, c!]],
    ['without the first', 'answer_mismatch', ([, b, c]) => [b!, c!]],
    ['without one between', 'answer_mismatch', ([a, , c]) => [a!, c!]],
    ['doubled', 'answer_mismatch', ([a, b, c]) => [a!, a!, b!, c!]],
    ['doubled at the end', 'answer_mismatch', ([a, b, c]) => [a!, b!, without(c), c!]],
    ['ended early', 'answer_mismatch', ([a, b]) => [a!, { ...b, isDisposed: true }]],
    ['ended early without a part', 'answer_mismatch', ([a]) => [a!, { isDisposed: true }]],
    ['ended before it began', 'answer_mismatch', () => [{ isDisposed: true }]],
    [
      'ended with an error of nobody',
      'answer_unsigned',
      ([a]) => [a!, { err: 'stop', isDisposed: true }],
    ],
    ['of another message', 'answer_mismatch', () => [...recorded]],
    [
      'with the text of another part',
      'answer_invalid',
      ([a, b]) => [{ response: { ...envelopeOf(a), text: envelopeOf(b).text } }],
    ],
    ['without its text', 'answer_invalid', ([a]) => [{ response: { JWT: envelopeOf(a).JWT } }]],
    ['without its token', 'answer_unsigned', ([a]) => [{ response: { text: envelopeOf(a).text } }]],
    [
      'with a value of nobody between',
      'answer_unsigned',
      ([a, b, c]) => [a!, { response: 'forged' }, b!, c!],
    ],
    [
      'that a guard refuses',
      'answer_unsigned',
      () => [{ err: { status: 'error', code: 'issuer_unknown', message: '' } }],
    ],
  ];

  it.each(TAMPERED)('MS-31 does not believe an answer %s: %s', async (_, code, change) => {
    tamper = change;
    const outcome = await askFooled();
    expect(codeOf(outcome)).toBe(code);
    expect(outcome.values).toEqual(ALL.slice(0, outcome.values.length));
  });

  it('MS-31 names the code that somebody claims as a hint', async () => {
    tamper = () => [{ err: { status: 'error', code: 'issuer_unknown', message: '' } }];
    const { error } = await askFooled();
    expect(error).toMatchObject({
      code: 'answer_unsigned',
      detail: expect.stringContaining('issuer_unknown') as string,
    });
  });

  it('MS-32 believes none of 1,000 forged answers', async () => {
    let count = 0;
    tamper = (honest, frame) => [forged(count++, honest, frame)];
    const ask = async () => await askFooled();
    const outcomes = await lastValueFrom(range(0, 1000).pipe(mergeMap(ask, 25), toArray()));
    expect(outcomes.filter(({ values }) => values.length > 0)).toEqual([]);
    const codes = new Set(outcomes.map(codeOf));
    expect(codes).toEqual(new Set(['answer_invalid', 'answer_mismatch', 'answer_unsigned']));
  }, 120_000);

  /** One of ten ways to forge an answer. */
  function forged(count: number, honest: readonly Packet[], frame: Frame): Packet {
    const text = '"forged"';
    const claims = { ...decodeClaims(envelopeOf(honest[0]).JWT), end: true, bdy: sha256(text) };
    const header = { alg: 'ES256', kid: censusKey.keyId, typ: 'ans+jwt' };
    const signed = (JWT: string): Packet => ({ response: { JWT, text }, isDisposed: true });
    const asked = decodeClaims(tokenOf(frame));
    const ways: (() => Packet)[] = [
      () => ({ response: 'forged', isDisposed: true }),
      () => ({ response: { text }, isDisposed: true }),
      () => signed(forge(header, claims, strangerKey)),
      () => signed(forge({ ...header, kid: strangerKey.keyId }, claims, strangerKey)),
      () => signed(forge({ ...header, kid: heraldKey.keyId }, claims, heraldKey)),
      () =>
        signed(`${encode('{"alg":"none","typ":"ans+jwt"}')}.${encode(JSON.stringify(claims))}.`),
      () => signed(envelopeOf(honest[0]).JWT),
      () => signed(tokenOf(frame)),
      () => ({ ...recorded[0], isDisposed: true }),
      () =>
        signed(forge({ ...header, typ: 'msg+jwt' }, { ...claims, rid: asked['jti'] }, censusKey)),
    ];
    return ways[count % ways.length]!();
  }

  function tokenOf({ text, headers }: Frame): string {
    const { metadata = headers } = JSON.parse(text) as { metadata?: Frame['headers'] };
    return String([metadata['JWT']].flat()[0]);
  }

  it('MS-32 believes 100 honest answers', async () => {
    tamper = (honest) => honest;
    const ask = async () => await askFooled();
    const outcomes = await lastValueFrom(range(0, 100).pipe(mergeMap(ask, 25), toArray()));
    for (const outcome of outcomes) expect(outcome).toEqual({ values: ALL });
  });

  it.each([
    ['iss', { iss: HERALD }, 'answer_mismatch'],
    ['aud', { aud: CENSUS }, 'answer_mismatch'],
    ['rid', { rid: 'other' }, 'answer_mismatch'],
    ['seq', { seq: 1 }, 'answer_mismatch'],
    ['seq', { seq: '0' }, 'answer_mismatch'],
    ['end', { end: 'true' }, 'answer_invalid'],
    ['nothing', {}, undefined],
  ])('MS-33 judges an answer of the service whose %s differs: %j', async (_, change, code) => {
    tamper = ([first]) => {
      const claims = { ...decodeClaims(envelopeOf(first).JWT), end: true, ...change };
      const header = { alg: 'ES256', kid: censusKey.keyId, typ: 'ans+jwt' };
      const JWT = forge(header, claims, censusKey);
      return [{ response: { JWT, text: envelopeOf(first).text }, isDisposed: true }];
    };
    const outcome = await askFooled();
    expect(codeOf(outcome)).toBe(code);
    expect(outcome.values).toEqual(code === undefined ? [{ n: 0 }] : []);
  });

  it.each(STREAMS)('MS-34 hands on what a handler answers: %s', async (stream) => {
    const bare = await outcomeOf(plain.send<unknown, unknown>(`bare.${stream}`, {}));
    const guarded = `guarded.${stream}`;
    const signed = await outcomeOf(direct.census.send<unknown, unknown>(guarded, own({})));
    const unsigned = await outcomeOf(unaware.census.send<unknown, unknown>(guarded, own({})));
    expect(unsigned).toEqual(bare);
    expect(signed).toEqual(bare);
  });

  // Without signatures, a client of RabbitMQ takes the packet of such a value for the end.
  it.each([
    ['nothings', [undefined, 1, undefined, null]],
    ['nothing-late', [undefined, undefined, 0]],
  ])('MS-34 hands on undefined, where no end comes with it: %s', async (stream, values) => {
    const signed = direct.census.send<unknown, unknown>(`guarded.${stream}`, own({}));
    expect(await outcomeOf(signed)).toEqual({ values });
  });

  it('MS-35 gives a consumer without the module the same data, as the same text', async () => {
    const data = { b: 1, a: ['\u2028', null, 1e21, { '2': 'x', '1': 'y' }], ü: 0.1 };
    const expected = await lastValueFrom(plain.send<unknown, unknown>('bare.echo', data));
    expect(expected).toEqual({ data, text: JSON.stringify(data) });
    expect(await unaware.ask('bare.echo', own(data))).toEqual(expected);
    expect(await direct.ask('guarded.echo', own(data))).toEqual(expected);
  });

  it('MS-36 drops an answer that comes after its caller has left', async () => {
    const { promise: answered, resolve: answer } = withResolvers();
    const asked = withResolvers();
    tamper = async (honest) => {
      asked.resolve();
      await answered;
      return honest as never;
    };
    const stop = new Subject<void>();
    const left = outcomeOf(
      fooled.census.send<unknown, unknown>('guarded.many', own({})).pipe(takeUntil(stop)),
    );
    await asked.promise;
    stop.next();
    expect(await left).toEqual({ values: [] });
    answer();
    tamper = (honest) => honest;
    expect(await askFooled()).toEqual({ values: ALL });
  });

  it('MS-36 keeps concurrent answers apart', async () => {
    const ask = async (id: number) => await direct.ask('guarded.echo', own({ id }));
    const ids = Array.from({ length: 100 }, (_, id) => id);
    const answers = await Promise.all(ids.map(ask));
    expect(answers).toEqual(ids.map((id) => ({ data: { id }, text: JSON.stringify({ id }) })));
  });
});

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
