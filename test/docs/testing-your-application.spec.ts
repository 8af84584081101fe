import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ClientProxy } from '@nestjs/microservices';
import { FLAWS, GRANT_FLAWS, MESSAGE_FLAWS } from 'nestjs-service-auth/testing';
import { typeScriptOf } from './documentation.js';
import {
  createFolderWithPackages,
  type FolderWithPackages,
} from '../support/processes/folder-with-packages.js';
import { type ReportedTest, runVitest, testsOf } from '../support/processes/vitest-run.js';

const ROOT = join(import.meta.dirname, '..', '..');
const page = readFileSync(join(ROOT, 'docs/testing-your-application.md'), 'utf8');
const blocks = typeScriptOf(page);

/** Ends as a test that fails does, so that a runner which says nothing is noticed. */
const FAILING = "it('fails', () => expect(1).toBe(2));\n";

/** As a reader would write it: the library is its sources. */
const JEST_CONFIG = `import { SOURCES } from '${pathToFileURL(join(ROOT, 'jest.config.js')).href}';
export default {
  ...SOURCES,
  rootDir: '${ROOT}',
  roots: [import.meta.dirname],
  testRegex: '\\\\.e2e-spec\\\\.ts$',
  maxWorkers: 1,
};
`;

/** What Fastify injects with is an ES module that Jest requires from Node 24.9 on. */
const isInjectable = nodeIsAtLeast(24, 9);

/** Packets over TCP have room for a token from Nest 12.0.4 on. */
const hasMetadata = 'setOnDispatchHook' in ClientProxy.prototype;

function nodeIsAtLeast(major: number, minor: number): boolean {
  const [itsMajor = 0, itsMinor = 0] = process.versions.node.split('.').map(Number);
  return itsMajor > major || (itsMajor === major && itsMinor >= minor);
}

function writePage(skipped: readonly string[]): FolderWithPackages {
  const folder = createFolderWithPackages('page');
  for (const { file = '', code } of blocks.filter((block) => !skipped.includes(block.file ?? ''))) {
    writeFileSync(join(folder.path, file), code);
  }
  writeFileSync(join(folder.path, 'failing.e2e-spec.ts'), FAILING);
  writeFileSync(join(folder.path, 'jest.config.mjs'), JEST_CONFIG);
  const compiler = { extends: join(ROOT, 'tsconfig.json'), include: ['*.ts'] };
  writeFileSync(join(folder.path, 'tsconfig.json'), JSON.stringify(compiler));
  writeFileSync(join(folder.path, 'package.json'), '{ "type": "module" }');
  return folder;
}

async function runJest(folder: string): Promise<readonly ReportedTest[]> {
  const jest = [
    join(ROOT, 'node_modules/jest/bin/jest.js'),
    '--config',
    'jest.config.mjs',
    '--json',
  ];
  return await testsOf(['--experimental-vm-modules', '--no-warnings', ...jest], folder);
}

/** How many tests the page has, one for each flaw where it says so. */
function countTests(skipped: readonly string[]): number {
  const code = blocks
    .filter(({ file }) => !skipped.includes(file ?? ''))
    .map((block) => block.code)
    .join('');
  const each = (list: string) =>
    [...code.matchAll(new RegExp(`^it\\.each\\(Object\\.entries\\(${list}\\)`, 'gm'))].length;
  const flaws =
    each('FLAWS') * Object.keys(FLAWS).length +
    each('GRANT_FLAWS') * Object.keys(GRANT_FLAWS).length +
    each('MESSAGE_FLAWS') * Object.keys(MESSAGE_FLAWS).length;
  const settings = 3;
  const plain = [...code.matchAll(/^it\('/gm)].length;
  return plain + flaws + settings;
}

describe('the page about testing', () => {
  it('names the file of every block', () => {
    expect(blocks.filter(({ file }) => file === undefined)).toEqual([]);
    expect(blocks.length).toBeGreaterThan(8);
  });

  it('lists every flaw, and its code', () => {
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \| `([a-z_]+)` \|$/gm)];
    expect(Object.fromEntries(rows.map(([, flaw, code]) => [flaw, code]))).toEqual({
      ...FLAWS,
      ...GRANT_FLAWS,
    });
  });

  it('tests a guarded controller in ten lines', () => {
    const first = blocks.find(({ file }) => file === 'first.e2e-spec.ts')?.code ?? '';
    const lines = first.split('\n').filter((line) => !/^(import .*|\/\/.*)?$/.test(line));
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.length).toBeLessThanOrEqual(10);
  });

  it.each([
    ['Jest', runJest, isInjectable ? [] : ['inject.e2e-spec.ts']],
    ['Vitest', runVitest, []],
  ] as const)(
    'runs under %s',
    async (_runner, run, left) => {
      const skipped = hasMetadata ? left : [...left, 'messages.e2e-spec.ts'];
      const folder = writePage([...skipped, 'vitest.config.ts']);
      try {
        const tests = await run(folder.path);
        const failed = tests.filter(({ status }) => status !== 'passed');
        expect(failed.map(({ fullName }) => fullName)).toEqual(['fails']);
        expect(tests.length).toBe(countTests(skipped) + failed.length);
      } finally {
        folder.remove();
      }
    },
    300_000,
  );
});
