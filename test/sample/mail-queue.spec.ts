import { jest } from '@jest/globals';
import type { SwitchResult } from '../../sample/page/switches/outcome.js';
import { describeRedis } from '../support/redis/redis-server.js';
import { HAS_MEMORY_QUEUE } from './mail-queue-place.js';
import { type PageProcess, startPageProcess } from './page-process.js';

// A busy machine is no failure: a courier that was killed takes its time to come back.
jest.setTimeout(600_000);

const QUEUES = [
  // Where it cannot be, its tests are left out: one that is skipped fails in CI.
  ...(HAS_MEMORY_QUEUE ? ([['memory', 'in the memory of Herald', describe]] as const) : []),
  ['redis', 'BullMQ', describeRedis],
] as const;

for (const [queue, words, tests] of QUEUES) {
  tests(`a courier that is killed, while mails wait in: ${queue}`, () => {
    let page: PageProcess;
    beforeAll(async () => {
      page = await startPageProcess(0, { MAIL_QUEUE: queue });
    });
    afterAll(() => page.remove());

    const turn = async (id: string, action: string, choice?: string): Promise<SwitchResult> => {
      const { status, json } = await page.post('/api/switches', { id, action, choice });
      expect(status).toBe(200);
      return json as unknown as SwitchResult;
    };
    const verdictsOf = ({ outcomes }: SwitchResult) => outcomes.map(({ verdict }) => verdict);

    it('is told in the terminal, with the token of the mail', () => {
      expect(page.printed()).toMatch(new RegExp(`mail queue +.*${words}`));
      expect(page.printed()).toContain('GET /user/42/address/');
      expect(page.printed()).toContain('Everything went as it should.');
    });

    it.each([
      ['before the text: the mail arrives once', 'begun', 'arrived once'],
      ['after the text: the mail comes again, and is known as a copy', 'taken', 'arrived 2 times'],
    ])('%s', async (_name, action, verdict) => {
      const result = await turn('mail', action);
      expect(verdictsOf(result)).toEqual(['201', 'killed', verdict]);
      expect(result.told).toMatch(
        /^Process \d+ was killed. The courier came back as process \d+.$/,
      );
    });

    it('keeps the mail of a courier that is stopped until it is started', async () => {
      const stopped = await turn('service', 'stop', 'courier');
      expect(stopped.outcomes).toEqual([
        expect.objectContaining({ verdict: '201', tone: 'warning' }),
      ]);
      expect(stopped.outcomes[0]?.steps?.map(({ kind }) => kind)).toContain('waiting');
      const started = await turn('service', 'start', 'courier');
      expect(started.outcomes).toEqual([expect.objectContaining({ verdict: '201', tone: 'good' })]);
      expect(started.outcomes[0]?.steps?.at(-1)).toMatchObject({ kind: 'mail', to: 'mail' });
    });
  });
}

it('is refused where it is neither of the two', async () => {
  await expect(startPageProcess(0, { MAIL_QUEUE: 'rabbit' })).rejects.toThrow(
    "MAIL_QUEUE: write 'memory', or 'redis' where a redis-server is on the PATH.",
  );
});
