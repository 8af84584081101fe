import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Options, transformFileSync } from '@swc/core';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** As jest.config.js has it. */
const OPTIONS: Options = {
  configFile: false,
  swcrc: false,
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'es6' },
};

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
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-compiled-'));
  const path = (source: string): string => join(folder, source.replace(/\.ts$/, '.js'));
  for (const source of [...sourcesIn('lib'), ...sourcesIn('test/support'), ...sources]) {
    mkdirSync(dirname(path(source)), { recursive: true });
    writeFileSync(path(source), transformFileSync(join(ROOT, source), OPTIONS).code);
  }
  const manifest = { name: 'nestjs-service-auth', type: 'module', exports: EXPORTS };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}
