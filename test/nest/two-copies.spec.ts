import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type CompiledProject, compileProject } from '../support/compiled-project.js';
import { ADAPTERS } from '../support/service.js';

const PROCESS = 'test/nest/processes/two-copies.process.ts';
/** Built by `npm run build`; where the suite runs on Nest 11 there is none. */
const COMMON_JS = join(import.meta.dirname, '..', '..', 'dist', 'cjs', 'index.js');

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly text: string;
  readonly errors: readonly string[];
}

describe('two copies of the package in one process', () => {
  let one: CompiledProject;
  let two: CompiledProject;
  beforeAll(() => {
    [one, two] = [compileProject([PROCESS]), compileProject([])];
  });
  afterAll(() => [one, two].forEach((project) => project.remove()));

  const COPIES: [name: string, path: () => string][] = [
    ['installed twice', () => two.path('lib/index.ts')],
    ...(existsSync(COMMON_JS)
      ? [['imported and required', () => COMMON_JS] satisfies [string, () => string]]
      : []),
  ];

  describe.each(ADAPTERS)('TF-31 on %s', (adapter) => {
    it.each(COPIES)('%s: nothing opens, and the error says what to do', async (_name, path) => {
      const child = fork(one.path(PROCESS), [adapter, path()], { timeout: 25_000 });
      const [answers] = (await once(child, 'message')) as [Record<string, Answer>];
      expect(answers['one-copy']).toMatchObject({ status: 200, errors: [] });
      for (const name of ['other-copy', 'other-caller']) {
        const { status, errors } = answers[name] ?? {};
        expect(status).toBe(500);
        expect(errors).toEqual([expect.stringMatching(/two copies.*npm ls nestjs-service-auth/)]);
      }
      expect(answers['no-guard']).toMatchObject({
        status: 500,
        errors: [expect.stringContaining('add @UseGuards(ServiceJwtGuard)')],
      });
      expect(answers['other-mark']).toMatchObject({ status: 403, code: 'issuer_not_allowed' });
      expect(
        Object.values(answers)
          .map(({ text }) => text)
          .join(),
      ).not.toMatch(/two copies/);
    });
  });
});
