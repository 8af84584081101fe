import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROGRAM, runProgram, temporaryFolder } from './command-line.js';
import { whereThereIs } from '../support/processes/where-there-is.js';

const ROOT = join(import.meta.dirname, '..', '..');
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  bin: Record<string, string>;
  dependencies: Record<string, string>;
};
const COMMANDS = ['keygen', 'jwks', 'rotate', 'inspect', 'call', 'doctor', 'explain', 'demo'];
const ESCAPE = '\u001b[';

const folder = temporaryFolder();
afterAll(() => folder.remove());

describe('the program', () => {
  it('tells its version', async () => {
    expect(await runProgram(['--version'])).toMatchObject({
      code: 0,
      stdout: `${manifest.version}\n`,
      stderr: '',
    });
  });

  it('has help that names every command and the exit codes', async () => {
    const { code, stdout } = await runProgram(['--help']);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(stdout).toContain('Exit codes: 0');
  });

  it.each(COMMANDS)('has help for %s, with examples and its exit codes', async (command) => {
    const { code, stdout, stderr } = await runProgram([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: nestjs-service-auth ${command} `);
    expect(stdout).toContain(`\n  $ nestjs-service-auth ${command} `);
    expect(stdout).toMatch(/\nExit codes: 0/);
    expect(stdout).toContain('--json');
  });

  it.each([
    ['no command', []],
    ['an unknown command', ['keygne']],
    ['an unknown option', ['--colour']],
    ['a missing argument', ['inspect']],
    ['an argument too many', ['explain', 'token_missing', 'token_expired']],
  ])('takes %s for a wrong command line', async (_what, args) => {
    const { code, stdout, stderr } = await runProgram(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toBe('');
  });

  it('says which file doctor takes', async () => {
    const { code, stderr } = await runProgram(['doctor']);
    expect(code).toBe(2);
    expect(stderr).toContain('the built file of the root module, such as dist/app.module.js');
    expect((await runProgram(['inspect'])).stderr).not.toContain('app.module.js');
  });

  it('guesses what was meant', async () => {
    expect((await runProgram(['keygne'])).stderr).toContain('Did you mean keygen?');
  });

  it('ends quietly when nobody reads on', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'explain']);
    child.stdout.destroy();
    const [stderr, [code]] = await Promise.all([
      text(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

// Only a terminal gets colours, and `script` makes one.
const hasTerminal = spawnSync('script', ['--version']).status === 0;

whereThereIs(
  hasTerminal,
  'script(1)',
  describe,
)('the colours', () => {
  const explain = (env: Record<string, string> = {}) => {
    const command = `'${process.execPath}' '${PROGRAM}' explain token_missing`;
    const { NO_COLOR: _unset, ...others } = process.env;
    const options = { env: { ...others, TERM: 'xterm', ...env }, encoding: 'utf8' } as const;
    return spawnSync('script', ['-qec', command, '/dev/null'], options).stdout;
  };

  it('are for terminals', async () => {
    expect(explain()).toContain(`${ESCAPE}1mtoken_missing`);
    expect((await runProgram(['explain', 'token_missing'])).stdout).not.toContain(ESCAPE);
  });

  it.each<Record<string, string>>([{ NO_COLOR: '1' }, { TERM: 'dumb' }])(
    'are not for those who said %o',
    (env) => {
      expect(explain(env)).toContain('token_missing');
      expect(explain(env)).not.toContain(ESCAPE);
    },
  );
});

describe('the package', () => {
  it('names the program, which can be run as it is', () => {
    expect(manifest.bin).toEqual({ 'nestjs-service-auth': 'dist/cli/main.js' });
    expect(join(ROOT, 'dist/cli/main.js')).toBe(PROGRAM);
    expect(readFileSync(PROGRAM, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(PROGRAM).mode & 0o111).toBe(0o111);
    expect(readdirSync(join(PROGRAM, '..'))).toEqual(['main.js']);
  });

  it('keeps the licence of what is bundled with it', () => {
    expect(readFileSync(PROGRAM, 'utf8')).toMatch(
      /This file contains commander:[^]*Permission is hereby granted[^]*WITHOUT WARRANTY OF ANY KIND/,
    );
  });

  it('runs where nothing but its own dependencies is installed', () => {
    const home = folder.path('node_modules/nestjs-service-auth');
    mkdirSync(home, { recursive: true });
    cpSync(join(ROOT, 'dist'), join(home, 'dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(home, 'package.json'));
    for (const name of Object.keys(manifest.dependencies)) {
      symlinkSync(
        join(ROOT, 'node_modules', name),
        folder.path(`node_modules/${name}`),
        'junction',
      );
    }
    // As npm does it: a link in node_modules/.bin.
    mkdirSync(folder.path('node_modules/.bin'));
    const link = folder.path('node_modules/.bin/nestjs-service-auth');
    symlinkSync(join(home, 'dist/cli/main.js'), link);
    const made = spawnSync(process.execPath, [link, 'keygen', '--stdout'], { encoding: 'utf8' });
    expect(made).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('PRIVATE KEY') as string,
    });
    const options = folder.path('options.mjs');
    writeFileSync(
      options,
      `export default { issuer: 'https://herald.service/', trustedIssuers: [] };`,
    );
    const checked = spawnSync(process.execPath, [link, 'doctor', options], { encoding: 'utf8' });
    expect(checked).toMatchObject({ status: 1, stderr: '' });
    const demo = spawnSync(process.execPath, [link, 'demo'], { encoding: 'utf8' });
    const missing =
      /^error: the demo needs @nestjs\/\S+, which is not installed here\. Run: npm install /;
    expect(demo).toMatchObject({ status: 3, stderr: expect.stringMatching(missing) as string });
  });
});
