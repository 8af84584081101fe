// Builds dist/cjs from what tsc made, for consumers that cannot load ES modules: Jest without flags.
// The runtime dependencies are ES modules only, so they are part of it, each with its licence.
import { copyFileSync, cpSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { rolldown } from 'rolldown';
import { ENTRY_POINTS, MANIFEST } from './entry-points.mjs';
import { ROOT } from './run.mjs';

const DIST = join(ROOT, 'dist');
const CJS = join(DIST, 'cjs');
const BUNDLED = Object.keys(MANIFEST.dependencies);

/** All entry points at once: what two of them share stands in one file, so no class exists twice. */
async function bundle() {
  const input = Object.fromEntries(
    ENTRY_POINTS.map(({ imported, required }) => [
      relative(CJS, join(ROOT, required)).replace(/\.js$/, ''),
      join(ROOT, imported),
    ]),
  );
  const build = await rolldown({ input, external: isExternal, platform: 'node' });
  try {
    await build.write({
      dir: CJS,
      format: 'cjs',
      exports: 'named',
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name].js',
      // Jest has no import() without its flag for ES modules.
      dynamicImportInCjs: false,
    });
  } finally {
    await build.close();
  }
}

/** @param {string} id */
function isExternal(id) {
  if (id.startsWith('.') || isAbsolute(id)) return false;
  return !BUNDLED.some((name) => id === name || id.startsWith(`${name}/`));
}

/** The same declarations, which TypeScript reads as those of CommonJS modules there. */
function copyDeclarations() {
  for (const name of readdirSync(DIST).filter((each) => join(DIST, each) !== CJS)) {
    cpSync(join(DIST, name), join(CJS, name), {
      recursive: true,
      filter: (path) => statSync(path).isDirectory() || path.endsWith('.d.ts'),
    });
  }
}

function copyLicences() {
  for (const name of BUNDLED) {
    const folder = join(ROOT, 'node_modules', name);
    const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
    if (licence === undefined) throw new Error(`${name} has no licence to go with its code`);
    copyFileSync(join(folder, licence), join(CJS, `${name}.${licence}`));
  }
}

if (!existsSync(DIST)) throw new Error('dist is missing: `npm run build` makes both builds');
await bundle();
copyDeclarations();
copyLicences();
writeFileSync(join(CJS, 'package.json'), '{ "type": "commonjs" }\n');
