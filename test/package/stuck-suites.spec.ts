import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const ROOT = join(import.meta.dirname, '..', '..');

/** Jest limits the time of a test, but not that of loading a file. */
const GOOD = 'test("is good", () => {});';
const BAD = 'test("is bad", () => { throw new Error("bad"); });';
const WAITS = 'await new Promise(() => setInterval(() => {}, 1000));';
const WAITS_ONCE = `
  import { existsSync, writeFileSync } from 'node:fs';
  const tried = new URL('tried', import.meta.url);
  if (!existsSync(tried)) {
    writeFileSync(tried, '');
    ${WAITS}
  }
  ${GOOD}`;
const WORKS_FOR_EVER = 'function work() { for (;;); } work();';

/** Runs suites, each of which is `others` but for the last, as `npm test` does. */
async function run(suite: string): Promise<{ code: number | null; output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-suites-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'good.spec.js'), GOOD);
    writeFileSync(join(folder, 'tried.spec.js'), suite);
    const reporters = ['default', join(ROOT, 'scripts/stuck-suites.reporter.mjs')];
    const config = { rootDir: folder, transform: {}, reporters, maxWorkers: 2 };
    writeFileSync(join(folder, 'jest.config.json'), JSON.stringify(config));
    const args = ['scripts/run-suites.mjs', '-c', join(folder, 'jest.config.json')];
    const env = { ...process.env, STUCK_AFTER_SECONDS: '4' };
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exit = once(child, 'exit') as Promise<[code: number | null]>;
    const [output, [code]] = await Promise.all([text(child.stderr), exit]);
    return { code, output };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Elsewhere no proc(5) tells a worker that waits from one that works, so nothing runs once more.
const onLinux = process.platform === 'linux' ? it : it.skip;

describe('suites that are stuck', () => {
  onLinux('run once more where their process waits', async () => {
    const { code, output } = await run(WAITS_ONCE);
    expect(code).toBe(0);
    expect(output).toMatch(/Stuck: \S*tried\.spec\.js, 0\.\d s of CPU in 4 s\n/);
    expect(output).toContain('run once more');
  });

  onLinux('fail where they wait again', async () => {
    const { code, output } = await run(WAITS);
    expect(code).not.toBe(0);
    expect(output.match(/Stuck: /g)).toHaveLength(2);
  });

  onLinux('fail where their process works', async () => {
    const { code, output } = await run(WORKS_FOR_EVER);
    expect(code).toBe(1);
    expect(output).toMatch(/Stuck: \S*tried\.spec\.js, \d\.\d s of CPU/);
    expect(output).not.toContain('run once more');
  });

  it('are not those that fail', async () => {
    const { code, output } = await run(BAD);
    expect(code).toBe(1);
    expect(output).not.toMatch(/Stuck|run once more/);
  });
});
