/**
 * Feeds random inputs, guided by coverage, to what reads untrusted ones:
 * `node scripts/fuzz.mjs [--seconds 60] [target ...]`. Without a target: all of them, one after the other.
 *
 * Jazzer.js instruments CommonJS alone, so the sources are compiled to that in coverage/fuzz. It is run by
 * npx and is no dependency of the project. Where its add-on cannot be loaded (it wants glibc 2.38), a simpler
 * loop of our own runs instead. What is found is to be kept in test/fuzz/corpus.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { ROOT, run } from './run.mjs';

const JAZZER = '@jazzer.js/core@4.0.0';
const OUTPUT = join(ROOT, 'coverage/fuzz');
const BUILD = join(OUTPUT, 'build');
const FUZZ = join(ROOT, 'test/fuzz');
const SUFFIX = '.fuzz.ts';
const LONGEST_INPUT = 16_384;

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' } },
  allowPositionals: true,
});

/** @param {string} folder */
function compile(folder) {
  for (const entry of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.ts') || entry.endsWith('.spec.ts')) continue;
    const source = readFileSync(join(ROOT, folder, entry), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      fileName: join(folder, entry),
      compilerOptions: {
        module: ts.ModuleKind.CommonJS,
        target: ts.ScriptTarget.ES2022,
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
        useDefineForClassFields: false,
        esModuleInterop: true,
      },
    });
    const file = join(BUILD, folder, entry.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, outputText);
  }
}

/** Makes the sources a CommonJS package of the same name, so that they import it as users do. */
function build() {
  rmSync(BUILD, { recursive: true, force: true });
  for (const folder of ['lib', 'test/fuzz', 'test/support']) compile(folder);
  const manifest = {
    name: 'nestjs-service-auth',
    type: 'commonjs',
    exports: { '.': './lib/index.js', './*': './lib/*.js' },
  };
  writeFileSync(join(BUILD, 'package.json'), JSON.stringify(manifest));
}

const VIA_NPX = ['--yes', '--package', JAZZER, '--', 'jazzer'];

/** Whether Jazzer.js can be had and its native add-on fits this system. */
function hasJazzer() {
  const { status } = spawnSync('npx', [...VIA_NPX, '--help'], { stdio: 'ignore' });
  return status === 0;
}

/**
 * @param {string} target
 * @param {boolean} isGuidedByJazzer
 */
function fuzz(target, isGuidedByJazzer) {
  console.log(`\n=== ${target}`);
  const grown = join(OUTPUT, 'corpus', target);
  const findings = join(OUTPUT, 'findings', target);
  for (const folder of [grown, findings]) mkdirSync(folder, { recursive: true });
  const seconds = Number(values.seconds);
  const module = join(BUILD, 'test/fuzz', `${target}.fuzz.js`);
  const corpora = [grown, join(FUZZ, 'corpus', target)];
  const coverage = ['--includes', join(BUILD, 'lib/'), '--excludes', 'node_modules/'];
  const libFuzzer = [
    `-max_total_time=${seconds}`,
    `-max_len=${LONGEST_INPUT}`,
    `-dict=${join(FUZZ, 'dictionary.txt')}`,
    `-artifact_prefix=${findings}/`,
    '-print_final_stats=1',
  ];
  const minutes = seconds / 60 + 5;
  if (!isGuidedByJazzer) {
    const loop = join(ROOT, 'scripts/fuzz-loop.mjs');
    const dictionary = join(FUZZ, 'dictionary.txt');
    const seeds = join(FUZZ, 'corpus', target);
    run('node', [loop, module, String(seconds), dictionary, findings, seeds], { minutes });
    return;
  }
  run('npx', [...VIA_NPX, module, ...corpora, ...coverage, '--', ...libFuzzer], { minutes });
}

const targets = readdirSync(FUZZ)
  .filter((name) => name.endsWith(SUFFIX))
  .map((name) => name.slice(0, -SUFFIX.length));
const unknown = positionals.find((name) => !targets.includes(name));
if (unknown !== undefined || !(Number(values.seconds) > 0)) {
  console.error(`usage: node scripts/fuzz.mjs [--seconds 60] [${targets.join(' | ')}]`);
  process.exit(1);
}
build();
const isGuidedByJazzer = hasJazzer();
console.log(
  isGuidedByJazzer ? JAZZER : `${JAZZER} cannot be loaded here; our own loop runs instead`,
);
try {
  for (const target of positionals.length > 0 ? positionals : targets) {
    fuzz(target, isGuidedByJazzer);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
