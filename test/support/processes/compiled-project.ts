import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toJavaScript } from '../../transform.mjs';
import { createFolderWithPackages } from './folder-with-packages.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Each entry point is built from the file of `lib` that has its name. */
const EXPORTS = { '.': './lib/index.js', './*': './lib/*.js' };

/** The library and the support of the tests as JavaScript, for processes and threads of their own. */
export interface CompiledProject {
  /** Where a source file went, named from the root of the project. */
  path(source: string): string;
  remove(): void;
}

/** @param sources files besides `lib` and `test/support`, named from the root of the project */
export function compileProject(sources: readonly string[]): CompiledProject {
  const folder = createFolderWithPackages('compiled');
  const path = (source: string): string => join(folder.path, source.replace(/\.ts$/, '.js'));
  for (const source of [...sourcesIn('lib'), ...sourcesIn('test/support'), ...sources]) {
    mkdirSync(dirname(path(source)), { recursive: true });
    const text = readFileSync(join(ROOT, source), 'utf8');
    writeFileSync(path(source), toJavaScript(text, source).code);
  }
  const manifest = { name: 'nestjs-service-auth', type: 'module', exports: EXPORTS };
  writeFileSync(join(folder.path, 'package.json'), JSON.stringify(manifest));
  return { path, remove: () => folder.remove() };
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}
