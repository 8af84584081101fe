import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { heraldKey } from '../support/services/sending-service.js';

const WORKER = 'test/clients/processes/token-ids.worker.ts';
const WORKERS = 4;
/** A million gives the same, in some minutes: `TOKEN_IDS=1000000`. */
const COUNT = Number(process.env['TOKEN_IDS'] ?? 20_000);

describe(`the ids of ${COUNT} tokens, signed by ${WORKERS} threads with one key`, () => {
  let project: CompiledProject;
  let tokenIds: string[] = [];
  beforeAll(async () => {
    project = compileProject([WORKER]);
    const workerData = { privateKey: heraldKey.privatePem, count: COUNT / WORKERS };
    const workers = Array.from({ length: WORKERS }, async () => {
      const worker = new Worker(project.path(WORKER), { workerData });
      const [ids] = (await once(worker, 'message')) as [string[]];
      return ids;
    });
    tokenIds = (await Promise.all(workers)).flat();
  }, 900_000);
  afterAll(() => project.remove());

  it('OS-18 all differ', () => {
    expect(tokenIds).toHaveLength(COUNT);
    expect(new Set(tokenIds).size).toBe(COUNT);
  });

  it('OS-18 are 192 bits each, of which none is more often set than not', () => {
    const set = Array<number>(192).fill(0);
    for (const id of tokenIds) {
      const bytes = Buffer.from(id, 'base64url');
      if (bytes.length !== 24 || !/^[\w-]{32}$/.test(id)) throw new Error(`not 24 bytes: ${id}`);
      for (let bit = 0; bit < 192; bit++) {
        set[bit] = (set[bit] ?? 0) + (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1);
      }
    }
    // Fourteen standard deviations: chance alone does not get there.
    const isUneven = (count: number) => Math.abs(count / COUNT - 0.5) > 7 / Math.sqrt(COUNT);
    expect(set.filter(isUneven)).toEqual([]);
  });
});
