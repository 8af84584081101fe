import { join } from 'node:path';
import { type ReportedTest, runVitest } from '../support/processes/vitest-run.js';

describe('under Vitest', () => {
  let tests: readonly ReportedTest[];
  beforeAll(async () => {
    tests = await runVitest(join(import.meta.dirname, 'vitest'));
  }, 300_000);

  it('the testing kit does what it does under Jest', () => {
    expect(tests.filter(({ status }) => status === 'failed')).toEqual([]);
    const passed = tests.filter(({ status }) => status === 'passed');
    // Each flaw and each client on both adapters, and app.inject() on one.
    expect(passed.length).toBe(39);
  });
});
