/**
 * Builds the package into `dist`: `npm run build`. TypeScript checks the sources and writes the declarations. rolldown
 * bundles the sources: all entry points at once, so a process has one copy of each class, whatever it imports.
 */
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import ts from 'typescript';
import { ENTRY_POINTS, MANIFEST } from './entry-points.mjs';
import { ROOT, runBeside } from './run.mjs';

const DIST = join(ROOT, 'dist');
const CJS = join(DIST, 'cjs');
const PROGRAM = join(ROOT, MANIFEST.bin[MANIFEST.name] ?? '');
const SETTINGS = join('lib', 'tsconfig.lib.json');

/** What is part of a build, with its licence: jose is ES modules alone. All else that the library imports stays an import. */
const BUNDLED = { es: ['commander'], cjs: ['jose'] };
/** What the transformation of decorators adds. */
const HELPERS = '@oxc-project/runtime/';

/** Two files hold what entry points share: as one file for each source, the first import took twice as long. */
const SHARED = [
  { name: 'core', test: /[\\/]lib[\\/](?:(?:core|clients)[\\/]|service-auth\.ts$)/ },
  { name: 'nest', test: /[\\/]lib[\\/](?:for-whom[\\/]|nest[\\/][^\\/]+$)/ },
];

/** @param {string} id @param {readonly string[]} bundled */
function isExternal(id, bundled) {
  if (id.startsWith('.') || isAbsolute(id) || id.startsWith(HELPERS)) return false;
  return !bundled.some((name) => id === name || id.startsWith(`${name}/`));
}

/**
 * The licences of what a file contains, at its head.
 *
 * @param {{ moduleIds: readonly string[] }} chunk
 */
function licencesIn({ moduleIds }) {
  const contained = Object.values(BUNDLED)
    .flat()
    .filter((name) => {
      const folder = join(ROOT, 'node_modules', name);
      return moduleIds.some((id) => id.startsWith(folder));
    });
  return contained.map(licenceComment).join('\n');
}

/** @param {string} name */
function licenceComment(name) {
  const folder = join(ROOT, 'node_modules', name);
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) throw new Error(`${name} has no licence to go with its code`);
  const licence = readFileSync(join(folder, file), 'utf8').trim().split('\n');
  const lines = [`This file contains ${name}:`, '', ...licence];
  return ['/*!', ...lines.map((line) => ` * ${line}`.trimEnd()), ' */'].join('\n');
}

/**
 * @param {'es' | 'cjs'} format
 * @param {string} folder
 * @param {readonly string[]} files what is built there, each from the source of its name
 */
async function bundle(format, folder, files) {
  const stems = files.map((file) => relative(folder, file).replace(/\.js$/, ''));
  const input = Object.fromEntries(stems.map((stem) => [stem, join(ROOT, 'lib', `${stem}.ts`)]));
  const build = await rolldown({
    input,
    external: (id) => isExternal(id, BUNDLED[format]),
    platform: 'node',
    tsconfig: join(ROOT, SETTINGS),
    transform: { target: 'node20.19' },
  });
  await build.write({
    dir: folder,
    format,
    exports: 'named',
    entryFileNames: '[name].js',
    chunkFileNames: 'shared/[name].js',
    codeSplitting: { groups: SHARED },
    // The declarations have them.
    comments: { jsdoc: false },
    banner: licencesIn,
    // Jest has no import() without its flag for ES modules.
    dynamicImportInCjs: false,
  });
  await build.close();
}

/**
 * The declarations that some need, themselves included.
 *
 * @param {readonly string[]} files
 */
function declarationsNeededBy(files) {
  const needed = new Set(files);
  for (const file of needed) {
    const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'));
    for (const { fileName } of importedFiles.filter((each) => each.fileName.startsWith('.'))) {
      needed.add(resolve(dirname(file), fileName.replace(/\.js$/, '.d.ts')));
    }
  }
  return needed;
}

/** Checks the types, and writes the declarations that an entry point needs: the same for both builds. */
async function writeDeclarations() {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const options = ['-p', SETTINGS, '--emitDeclarationOnly', '--outDir', CJS];
  await runBeside(process.execPath, [tsc, ...options]);
  const needed = declarationsNeededBy(
    ENTRY_POINTS.map(({ required }) => join(ROOT, required.replace(/\.js$/, '.d.ts'))),
  );
  const written = readdirSync(CJS, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.d.ts'))
    .map(({ parentPath, name }) => join(parentPath, name));
  for (const file of written) {
    if (needed.has(file)) cpSync(file, join(DIST, relative(CJS, file)));
    else rmSync(file);
  }
}

async function bundleCommonJs() {
  const required = ENTRY_POINTS.map((entry) => join(ROOT, entry.required));
  await bundle('cjs', CJS, required);
  // TypeScript reads the declarations there as those of CommonJS modules.
  writeFileSync(join(CJS, 'package.json'), '{ "type": "commonjs" }\n');
}

rmSync(DIST, { recursive: true, force: true });
await Promise.all([writeDeclarations(), bundleCommonJs()]);
// Last: `scripts/build-if-stale.mjs` takes the program for the end of a build.
const imported = ENTRY_POINTS.map((entry) => join(ROOT, entry.imported));
await bundle('es', DIST, [...imported, PROGRAM]);
chmodSync(PROGRAM, 0o755);
