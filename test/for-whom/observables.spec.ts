import { jest } from '@jest/globals';
import type { AxiosRequestConfig } from 'axios';
import {
  MemoryReplayStore,
  type ServiceAuthModuleOptions,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf } from 'nestjs-service-auth/axios';
import { lastValueFrom } from 'rxjs';
import { RecordingServer } from '../support/http/recording-server.js';
import { ADAPTERS } from '../support/services/service.js';
import { takeSubjects, type Turn, TurnService } from './turns.js';

// The tables follow from the rules of docs/for-whom.md and were written before the code ran against them.
//
// Places: where a call is created, and where its Observable is subscribed to.
//   nobody     no request, and nobody chosen
//   Alice      while Alice's request is served; created and subscribed there, it is the same request
//   Bob        while Bob's request is served, Alice's being open too
//   Carol      inside runOnBehalfOf(Carol), outside of any request
//   answered   in what Alice's request left behind, after its answer; a call that is created as Alice is of that request
//   later      the same, more than 60 seconds after the answer
//   unguarded  while a request is served that no guard verifies
//
// Cells: the user in the token, `itself` for none, or why the call is refused:
//   no-request   nobody is named, and no request is served
//   no-words     an explicit service calls without words: the message shows the line to write
//   no-user      the request has no verified user
//   over         created after the answer
//   defer        created for nobody, subscribed to in a request: the message says to write defer(() => ...)
//   other        created in another request than the one that subscribes to it
//   two          created for one user, subscribed to where runOnBehalfOf() names another
//   old          the request that it was created in was answered more than 60 seconds ago

type Mode = Pick<ServiceAuthModuleOptions, 'subjectPropagation' | 'subjectOutsideRequest'>;

const TABLES: readonly (readonly [Mode, string])[] = [
  [
    { subjectPropagation: 'ambient', subjectOutsideRequest: 'refuse' },
    // Row nobody, rule 3: at subscription, with the advice to write defer() where a request subscribes.
    // Row Alice, rule 3: another live request is refused, none goes on; "two opinions are no opinion" for Carol.
    // Row Bob: what Alice's request left behind is no live request, so it goes on as created.
    // Row Carol, rule 3: created by explicit words, never compared. Row answered, rule 4: over, so nobody.
    `
    created in | nobody     | Alice      | Bob        | Carol      | answered   | later      | unguarded
    nobody     | no-request | defer      | defer      | no-request | defer      | defer      | defer
    Alice      | Alice      | Alice      | other      | two        | Alice      | old        | other
    Bob        | Bob        | other      | Bob        | two        | Bob        | Bob        | other
    Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol
    answered   | over       | over       | over       | over       | over       | over       | over
    unguarded  | no-user    | no-user    | no-user    | no-user    | no-user    | no-user    | no-user
    `,
  ],
  [
    { subjectPropagation: 'ambient', subjectOutsideRequest: 'act-as-itself' },
    // Row nobody: the service itself where no request is, rule 3: refused once a request subscribes, rule 4: also in
    // what a request left behind. The other rows do not change: 'act-as-itself' is for code that no request started.
    `
    created in | nobody     | Alice      | Bob        | Carol      | answered   | later      | unguarded
    nobody     | itself     | defer      | defer      | two        | defer      | defer      | defer
    Alice      | Alice      | Alice      | other      | two        | Alice      | old        | other
    Bob        | Bob        | other      | Bob        | two        | Bob        | Bob        | other
    Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol
    answered   | over       | over       | over       | over       | over       | over       | over
    unguarded  | no-user    | no-user    | no-user    | no-user    | no-user    | no-user    | no-user
    `,
  ],
  [
    { subjectPropagation: 'explicit', subjectOutsideRequest: 'refuse' },
    // Rule 5: without words it is refused, but for runOnBehalfOf().
    `
    created in | nobody     | Alice      | Bob        | Carol      | answered   | later      | unguarded
    nobody     | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    Alice      | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    Bob        | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol
    answered   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    unguarded  | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    `,
  ],
  [
    { subjectPropagation: 'explicit', subjectOutsideRequest: 'act-as-itself' },
    // Row nobody as above. The rows of requests, rules 4 and 5: the service itself is never taken for a lost user.
    `
    created in | nobody     | Alice      | Bob        | Carol      | answered   | later      | unguarded
    nobody     | itself     | defer      | defer      | two        | defer      | defer      | defer
    Alice      | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    Bob        | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol      | Carol
    answered   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    unguarded  | no-words   | no-words   | no-words   | no-words   | no-words   | no-words   | no-words
    `,
  ],
];

/** Rule 2: words in the call win over everything, wherever it is created and subscribed to. */
const WORDS = [
  ['onBehalfOf(Dave)', () => onBehalfOf(USERS.Dave), 'Dave'],
  ['actingAsItself()', () => actingAsItself(), 'itself'],
] as const;

/** In this order: Alice's request is answered once the places in which it is served are done. */
const PLACES = ['nobody', 'Alice', 'Bob', 'Carol', 'unguarded', 'answered', 'later'] as const;
type Place = (typeof PLACES)[number];

const userUri = (name: string): string => `https://census.service/user/${name}/`;
const USERS = {
  Alice: userUri('alice'),
  Bob: userUri('bob'),
  Carol: userUri('carol'),
  Dave: userUri('dave'),
} as const;

/** What the message of each refusal has to say. */
const REASONS: Readonly<Record<string, RegExp>> = {
  'no-request': /no request is being served/,
  'no-words': /onBehalfOf\(caller\)/,
  'no-user': /no guard/,
  over: /has been answered\)$/,
  defer: /created where no request.*defer\(\(\) => http\.get\(\.\.\.\)\)/,
  other: /another request/,
  two: /another user.*runOnBehalfOf\(\)/,
  old: /more than 60 seconds ago/,
};

interface Row {
  readonly created: Place;
  readonly cells: Readonly<Record<string, string>>;
}

function rowsOf(table: string): Row[] {
  const [head = [], ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return rows.map(([created, ...cells]) => ({
    created: created as Place,
    cells: Object.fromEntries(cells.map((cell, at) => [head[at + 1] ?? '', cell])),
  }));
}

const wire = new RecordingServer();
/** Only goes forward: the library has seen the later time. */
let elapsed = 0;
const realNow = performance.now.bind(performance);
beforeAll(async () => {
  await wire.start();
  jest.spyOn(performance, 'now').mockImplementation(() => realNow() + elapsed);
});
afterAll(async () => {
  jest.restoreAllMocks();
  await wire.close();
});

/** The places of one row: Alice's request and Bob's are the same ones wherever they are named. */
class Stage {
  private readonly turns: Turn[] = [];
  private alice: Turn | undefined;
  private answered: Turn | undefined;
  private bob: Turn | undefined;

  constructor(private readonly service: TurnService) {}

  async in<T>(place: Place, fn: () => T): Promise<Awaited<T>> {
    switch (place) {
      case 'nobody':
        return await fn();
      case 'Carol':
        return await this.service.context.runOnBehalfOf(USERS.Carol, fn);
      case 'unguarded':
        return await (await this.opened(this.service.openUnguarded())).run(fn);
      case 'Bob':
        this.bob ??= await this.opened(this.service.openFor(USERS.Bob));
        return await this.bob.run(fn);
      case 'Alice':
        if (this.alice?.isAnswered !== false) this.alice = await this.openAlice();
        return await this.alice.run(fn);
      case 'answered':
      case 'later':
        this.answered ??= this.alice ?? (await this.openAlice());
        await this.answered.end();
        if (place === 'later') elapsed += 60_001;
        return await this.answered.run(fn);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.turns.map(async (turn) => await turn.close()));
  }

  private async openAlice(): Promise<Turn> {
    return await this.opened(this.service.openFor(USERS.Alice));
  }

  private async opened(opening: Promise<Turn>): Promise<Turn> {
    const turn = await opening;
    this.turns.push(turn);
    return turn;
  }
}

/** A cell of the tables: whose token was on the wire, or the reason in the message. */
async function outcomeOf(sending: () => Promise<unknown>): Promise<string> {
  try {
    await sending();
  } catch (error) {
    expect(wire.takeAll()).toEqual([]);
    if (!(error instanceof ServiceSigningError)) throw error;
    expect(error.code).toBe('subject_undecided');
    const reasons = Object.keys(REASONS).filter((name) => REASONS[name]?.test(error.message));
    return reasons.join(' and ') || error.message;
  }
  const subjects = takeSubjects(wire);
  return subjects.map((subject) => nameOf(subject)).join(' and ');
}

function nameOf(subject: string | undefined): string {
  if (subject === undefined) return 'itself';
  return Object.entries(USERS).find(([, uri]) => uri === subject)?.[0] ?? subject;
}

const nameOfMode = ({ subjectPropagation, subjectOutsideRequest }: Mode): string =>
  `${subjectPropagation} and ${subjectOutsideRequest}`;

describe.each(ADAPTERS)('for whom a call is made on %s', (adapter) => {
  describe.each(TABLES.map(([mode, table]) => ({ name: nameOfMode(mode), mode, table })))(
    'in a service that is $name',
    ({ mode, table }) => {
      let service: TurnService;
      beforeAll(async () => {
        // With a clock of its own: a store refuses to decide where its two clocks disagree.
        const replayStore = new MemoryReplayStore({ monotonicNow: realNow });
        service = await TurnService.start(adapter, wire, { ...mode, replayStore });
      });
      afterAll(async () => await service.close());
      const rows = rowsOf(table);

      /** A row: what comes of calls that are created in one place, and subscribed to in each. */
      async function observed(created: Place, config?: AxiosRequestConfig) {
        const stage = new Stage(service);
        const create = () => ({ call: service.http.get<unknown>(wire.url, config) });
        const calls: ReturnType<typeof create>[] = [];
        // Put down, not returned: what is returned to runOnBehalfOf() belongs to it.
        await stage.in(created, () => void calls.push(...PLACES.map(create)));
        const row = await inEach(stage, (at) => {
          const made = calls[PLACES.indexOf(at)];
          return made && lastValueFrom(made.call);
        });
        await stage.close();
        return row;
      }

      /** The same of a client that creates and subscribes at once. */
      async function sent(send: () => Promise<unknown>) {
        const stage = new Stage(service);
        const row = await inEach(stage, send);
        await stage.close();
        return row;
      }

      async function inEach(stage: Stage, send: (at: Place) => unknown) {
        const cells: Record<string, string> = {};
        for (const at of PLACES) {
          cells[at] = await outcomeOf(async () => await stage.in(at, () => send(at)));
        }
        return cells;
      }

      it.each(rows)(
        'FW-01 an Observable of HttpService without words, created in: $created',
        async ({ created, cells }) => {
          expect(await observed(created)).toEqual(cells);
        },
      );

      describe.each(WORDS)('FW-02 with %s', (_words, config, expected) => {
        const all = Object.fromEntries(PLACES.map((place) => [place, expected]));

        it.each(PLACES)('an Observable of HttpService, created in: %s', async (created) => {
          expect(await observed(created, config())).toEqual(all);
        });

        it('a call of axiosRef', async () => {
          const send = async () => await service.http.axiosRef.get(wire.url, config());
          expect(await sent(send)).toEqual(all);
        });

        it('a call of fetch', async () => {
          const send = async () => await service.fetch(wire.url, config() as RequestInit);
          expect(await sent(send)).toEqual(all);
        });
      });

      // Created and subscribed in one place; sixty seconds after the answer, as after the answer.
      const diagonal = Object.fromEntries(
        PLACES.map((place) => {
          const created = place === 'later' ? 'answered' : place;
          return [place, rows.find((each) => each.created === created)?.cells[place]];
        }),
      );

      it('FW-03 a call of axiosRef without words', async () => {
        const send = async () => await service.http.axiosRef.get(wire.url);
        expect(await sent(send)).toEqual(diagonal);
      });

      it('FW-03 a call of fetch without words', async () => {
        const send = async () => await service.fetch(wire.url);
        expect(await sent(send)).toEqual(diagonal);
      });
    },
  );
});
