// What the hosts run: the modules that docs/hosts.md shows, and the application they import.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { readBlocks } from '../../test/docs/page-blocks.mjs';
import { ROOT } from '../run.mjs';

const PAGE = 'docs/hosts.md';
/** Where the application is made, each with a module `nest.js` of its own. */
const FOLDERS = ['express', 'fastify', 'fastify-after-parser'];
/** The versions of a package that run the same module. @type {Record<string, [name: string, file: string]>} */
const OTHER_VERSIONS = {
  'serverless-express-5': ['@codegenie/serverless-express', 'serverless-express.js'],
  'serverless-http-3': ['serverless-http', 'serverless-http.js'],
};
const COMPILER = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
};

/** The modules of the page: those without a folder go to each. @param {string} folder */
function writePage(folder) {
  const blocks = readBlocks(PAGE).filter(({ language, file }) => language === 'js' && file);
  for (const { file = '', code } of blocks) {
    const places = file.includes('/') ? [''] : FOLDERS;
    for (const place of places) write(join(folder, place, file), code);
  }
}

/** @param {string} folder */
function writeOtherVersions(folder) {
  for (const [alias, [name, file]] of Object.entries(OTHER_VERSIONS)) {
    for (const place of FOLDERS) {
      const code = readFileSync(join(folder, place, file), 'utf8');
      if (!code.includes(`'${name}'`)) throw new Error(`${file} does not import ${name}`);
      write(join(folder, place, `${alias}.js`), code.replace(`'${name}'`, `'${alias}'`));
    }
  }
}

/** @param {string} folder */
function writeApplication(folder) {
  const source = readFileSync(join(ROOT, 'test/hosts/app.module.ts'), 'utf8');
  const { outputText } = ts.transpileModule(source, { compilerOptions: COMPILER });
  const manifest = JSON.stringify({ type: 'module', main: 'cloud-function.js' });
  for (const place of FOLDERS) {
    write(join(folder, place, 'app.module.js'), outputText);
    write(join(folder, place, 'package.json'), manifest);
  }
}

/** @param {string} path @param {string} text */
function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Writes all of them for the hosts in `folder`. @param {string} folder */
export function writeModules(folder) {
  writePage(folder);
  writeOtherVersions(folder);
  writeApplication(folder);
}
