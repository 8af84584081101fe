import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const CONFIG = join(ROOT, 'test/testing/vitest/vitest.config.mjs');

/** One test as Vitest and Jest report it with `--json`. */
export interface ReportedTest {
  readonly fullName: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

/** What the JSON reporters of Vitest and Jest have in common. */
interface Report {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly ReportedTest[];
  }[];
}

/** Runs Vitest, in a process of its own, over the `*.test.ts` and `*.e2e-spec.ts` of a folder. */
export async function runVitest(folder: string): Promise<readonly ReportedTest[]> {
  const manifest = createRequire(import.meta.url).resolve('vitest/package.json');
  const vitest = join(dirname(manifest), 'vitest.mjs');
  const flags = ['--config', CONFIG, '--root', folder, '--reporter', 'json', '--maxWorkers', '1'];
  return await testsOf([vitest, 'run', ...flags], folder);
}

/**
 * Runs a test runner that writes its report as JSON to its output.
 *
 * @throws with what it wrote where it gave no report, or a file of tests did not even load
 */
export async function testsOf(args: readonly string[], cwd: string): Promise<ReportedTest[]> {
  const { stdout, stderr } = await output(args, cwd);
  const json = stdout.slice(stdout.indexOf('{'));
  try {
    const { testResults } = JSON.parse(json) as Report;
    const empty = testResults.find(({ assertionResults }) => assertionResults.length === 0);
    if (empty) throw new Error(empty.message);
    return testResults.flatMap(({ assertionResults }) => assertionResults);
  } catch (cause) {
    throw new Error(`No report of tests:\n${stdout}\n${stderr}`, { cause });
  }
}

/** A runner whose tests fail ends with a code of its own, and has written its report all the same. */
async function output(args: readonly string[], cwd: string) {
  // What tells tools that they run inside of Jest is not theirs to know.
  const { JEST_WORKER_ID: _worker, NODE_OPTIONS: _options, ...env } = process.env;
  const run = promisify(execFile)(process.execPath, args, {
    cwd,
    env,
    maxBuffer: 64 * 1024 * 1024,
    timeout: 240_000,
  });
  return await run.catch((error: Error & { stdout: string; stderr: string }) => error);
}
