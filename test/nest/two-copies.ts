import { fork } from 'node:child_process';
import { once } from 'node:events';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { ADAPTERS } from '../support/services/service.js';

const PROCESS = 'test/nest/processes/two-copies.process.ts';

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly text: string;
  readonly errors: readonly string[];
}

/** What a second copy does to one process. `pathOf` names the second copy: a module whose exports it uses. */
export function describeTwoCopies(name: string, pathOf: (second: CompiledProject) => string): void {
  describe('two copies of the package in one process', () => {
    let one: CompiledProject;
    let two: CompiledProject;
    beforeAll(() => {
      [one, two] = [compileProject([PROCESS]), compileProject([])];
    });
    afterAll(() => [one, two].forEach((project) => project.remove()));

    describe.each(ADAPTERS)('TF-31 on %s', (adapter) => {
      it(`${name}: nothing opens, and the error says what to do`, async () => {
        const child = fork(one.path(PROCESS), [adapter, pathOf(two)], { timeout: 25_000 });
        const [answers] = (await once(child, 'message')) as [Record<string, Answer>];
        expect(answers['one-copy']).toMatchObject({ status: 200, errors: [] });
        for (const copy of ['other-copy', 'other-caller']) {
          const { status, errors } = answers[copy] ?? {};
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
}
