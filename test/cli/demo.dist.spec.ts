import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram, temporaryFolder } from './command-line.js';

const ROOT = join(import.meta.dirname, '..', '..');
const ESCAPE = '\u001b[';
/** The demo starts three applications, which takes a while on a busy machine. */
const PATIENCE_MILLISECONDS = 180_000;

const folder = temporaryFolder();
afterAll(() => folder.remove());

/** What differs from run to run: ports, token ids and digests. */
const steady = (text: string): string =>
  text
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:0')
    .replace(/[\w-]{32,}(?:\.\.\.)?|[\w-]{31}\.\.\./g, '*');

const demo = async (args: readonly string[] = [], env: Record<string, string> = {}) =>
  await runProgram(['demo', ...args], {
    cwd: folder.path('.'),
    env: { TMPDIR: folder.path('.'), ...env },
  });

describe('the demo', () => {
  it(
    'sends good and bad requests between real services, and writes no file',
    async () => {
      const { code, stdout, stderr } = await demo();
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^Three Nest services in this process/);
      expect(stdout).toMatch(/herald > census +GET \/user\/42\/ +200\n/);
      expect(stdout).toMatch(/another body +401 body_mismatch +The service token was made for/);
      expect(stdout).toMatch(/the user is not there +403 grant_missing +This service requires/);
      expect(stdout).toMatch(/the user has just asked +200\n/);
      expect(stdout).toContain('Every answer was the expected one.');
      expect(stdout).toContain('What to do next');
      expect(stdout).not.toContain(ESCAPE);
      expect(readdirSync(folder.path('.'))).toEqual([]);
    },
    PATIENCE_MILLISECONDS,
  );

  it(
    'prints its steps as JSON',
    async () => {
      const { code, json } = await demo(['--json']);
      expect(code).toBe(0);
      const steps = json?.['steps'] as Record<string, unknown>[];
      expect(json).toMatchObject({ good: true });
      expect(steps.map(({ kind }) => kind).filter((kind) => kind === 'attempt')).toHaveLength(8);
      for (const step of steps) expect(step['answer']).toBe(step['expected']);
    },
    PATIENCE_MILLISECONDS,
  );

  it.each([
    [{ FORCE_COLOR: '1' }, true],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    [{ FORCE_COLOR: '0' }, false],
    [{ NO_COLOR: '1' }, false],
  ])('has colours where %o says so: %s', async (env, hasColours) => {
    const { stdout } = await runProgram(['explain', 'token_missing'], { env });
    expect(stdout.includes(ESCAPE)).toBe(hasColours);
  });
});

describe('the recording in the README', () => {
  const svg = readFileSync(join(ROOT, 'docs/demo.svg'), 'utf8');
  const recorded = [...svg.matchAll(/<tspan[^>]*>([^<]*)<\/tspan>/g)].map(([, text = '']) =>
    text.replaceAll('&gt;', '>').replaceAll('&lt;', '<').replaceAll('&amp;', '&'),
  );

  it(
    'says what the demo says',
    async () => {
      const { stdout } = await demo();
      const said = steady(`$ npx nestjs-service-auth demo\n${stdout}`);
      expect(recorded.length).toBeGreaterThan(50);
      expect(recorded.filter((text) => !said.includes(steady(text)))).toEqual([]);
    },
    PATIENCE_MILLISECONDS,
  );

  it('is small, has no script, and loads nothing', () => {
    expect(svg.length).toBeLessThan(100_000);
    expect(svg).not.toMatch(/<script|\son\w+=|href|url\(|@import/i);
  });

  it('is shown with a text in its place', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    expect(readme).toMatch(/!\[[^\]]{40,}\]\(docs\/demo\.svg\)/);
  });
});
