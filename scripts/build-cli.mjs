// Bundles the command line: what dist/cli is made of becomes one file, with the library that parses
// arguments in it, so that whoever installs this package installs nothing more for it.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, sep } from 'node:path';
import { rolldown } from 'rolldown';
import { ROOT } from './run.mjs';

const FOLDER = join(ROOT, 'dist', 'cli');
const PROGRAM = 'main.js';
const PARSER = 'commander';
const BUNDLED = [FOLDER, join(ROOT, 'node_modules', PARSER)].map((folder) => folder + sep);

/** The rest of the library stays where it is, so that a process has one copy of it; so does jose. */
function isExternal(/** @type {string} */ id) {
  if (isAbsolute(id)) return !BUNDLED.some((folder) => id.startsWith(folder));
  return !id.startsWith('.') && id !== PARSER;
}

/** The licence of what is bundled asks to go with it. */
function licenceComment() {
  const licence = readFileSync(join(ROOT, 'node_modules', PARSER, 'LICENSE'), 'utf8').trim();
  const lines = [`This file contains ${PARSER}:`, '', ...licence.split('\n')];
  return ['/*!', ...lines.map((line) => ` * ${line}`.trimEnd()), ' */'].join('\n');
}

const bundle = await rolldown({
  input: join(FOLDER, PROGRAM),
  platform: 'node',
  external: isExternal,
  makeAbsoluteExternalsRelative: true,
});
const { output } = await bundle.generate({ format: 'es', banner: licenceComment() });
await bundle.close();
const [program, ...others] = output;
if (others.length > 0) throw new Error(`one file was expected, and ${others.length} more came`);

for (const name of readdirSync(FOLDER)) rmSync(join(FOLDER, name), { recursive: true });
writeFileSync(join(FOLDER, PROGRAM), program.code, { mode: 0o755 });
