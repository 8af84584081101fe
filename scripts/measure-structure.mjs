/**
 * Counts what a reader of the sources meets: `node scripts/measure-structure.mjs [--in <folder>]`.
 * With `--in` it counts another checkout of the project, such as that of an earlier commit; both need node_modules.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { readJson, ROOT } from './run.mjs';
import { installedProgram } from './with-packages.mjs';

/** @typedef {{ from: string, to: string, isType: boolean }} Import */
/** @typedef {{ exports: Record<string, string | { import: { default: string } }>, scripts: object, dependencies: object, devDependencies: object }} Manifest */
/** @typedef {{ diagnostics: { code: string }[] }} LintReport */

const { values } = parseArgs({ options: { in: { type: 'string', default: ROOT } } });
const FOLDER = resolve(values.in);
const LIBRARY = join(FOLDER, 'lib');

/** The limits that CONTRIBUTING.md names, as rules of oxlint. */
const LIMITS = {
  'eslint/max-params': ['error', 3],
  'eslint/max-depth': ['error', 2],
  'eslint/max-lines-per-function': ['error', { max: 45, skipBlankLines: true, skipComments: true }],
};
const DUPLICATE_LINES = 6;
/** Imports, comments, and names in a list of imports or exports. */
const NO_CODE = /^(import |export \*|\/?\*|\/\/|(type )?\w+,$)/;

/** @param {string} folder @param {string} suffix */
function filesIn(folder, suffix) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .map((name) => join(folder, name));
}

/** @param {string} file */
const linesOf = (file) => readFileSync(file, 'utf8').trimEnd().split('\n');

/** @param {string} file @returns {Import[]} */
function importsOf(file) {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023);
  return source.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const specifier = statement.moduleSpecifier;
    if (!specifier || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return [];
    const to = join(dirname(file), specifier.text.replace(/\.js$/, '.ts'));
    return [{ from: file, to, isType: isTypeOnly(statement) }];
  });
}

/** @param {ts.ImportDeclaration | ts.ExportDeclaration} statement */
function isTypeOnly(statement) {
  if (ts.isExportDeclaration(statement)) return statement.isTypeOnly;
  const clause = statement.importClause;
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const names = clause.namedBindings;
  const isEachType =
    names !== undefined &&
    ts.isNamedImports(names) &&
    names.elements.every(({ isTypeOnly: isType }) => isType);
  return clause.name === undefined && isEachType;
}

/** The files that import themselves through others. @param {readonly Import[]} imports */
function filesInCycles(imports) {
  /** @type {Map<string, string[]>} */
  const graph = new Map();
  for (const { from, to } of imports) graph.set(from, [...(graph.get(from) ?? []), to]);
  return [...graph.keys()].filter((file) => reaches(graph, file));
}

/** @param {ReadonlyMap<string, string[]>} graph @param {string} file */
function reaches(graph, file) {
  const seen = new Set();
  const waiting = [...(graph.get(file) ?? [])];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next === file) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    waiting.push(...(graph.get(next) ?? []));
  }
  return false;
}

/** Names that a file exports, directly or through others. @param {readonly string[]} entries */
function exportedNames(entries) {
  const options = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    experimentalDecorators: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const program = ts.createProgram([...entries], options);
  const checker = program.getTypeChecker();
  return entries.map((entry) => {
    const file = program.getSourceFile(entry);
    const module = file && checker.getSymbolAtLocation(file);
    const symbols = (module ? checker.getExportsOfModule(module) : []).map((symbol) =>
      symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
    );
    const atRunTime = symbols.filter(({ flags }) => flags & ts.SymbolFlags.Value).length;
    return {
      entry: relative(LIBRARY, entry).replace(/(\/index)?\.ts$/, ''),
      atRunTime,
      types: symbols.length - atRunTime,
    };
  });
}

function countLimitBreaches() {
  const folder = mkdtempSync(join(tmpdir(), 'limits-'));
  try {
    const config = join(folder, 'limits.json');
    writeFileSync(config, JSON.stringify({ categories: { correctness: 'off' }, rules: LIMITS }));
    const oxlint = installedProgram('tools/lint', 'oxlint');
    const { stdout } = spawnSync(oxlint, ['-c', config, '-f', 'json', LIBRARY], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    return /** @type {LintReport} */ (JSON.parse(stdout)).diagnostics.length;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs of six lines of code that the library has twice. */
function countDuplicates() {
  /** @type {Set<string>} */
  const seen = new Set();
  let duplicates = 0;
  for (const file of filesIn(LIBRARY, '.ts')) {
    const lines = linesOf(file).map((line) => line.trim());
    const kept = lines.filter((line) => line.length > 2 && !NO_CODE.test(line));
    for (let at = 0; at + DUPLICATE_LINES <= kept.length; at += 1) {
      const run = kept.slice(at, at + DUPLICATE_LINES).join('\n');
      if (seen.has(run)) duplicates += 1;
      seen.add(run);
    }
  }
  return duplicates;
}

/** @param {string} built a path such as ./dist/core.js */
const sourceOf = (built) => join(LIBRARY, relative('dist', built).replace(/\.js$/, '.ts'));

/** @param {string} file */
const subjectOf = (file) => basename(file).replace(/(\.dist)?(\.spec)?\.ts$/, '');

const files = filesIn(LIBRARY, '.ts');
const imports = files.flatMap(importsOf);
const manifest = /** @type {Manifest} */ (readJson(join(FOLDER, 'package.json')));
const entries = Object.values(manifest.exports).flatMap((target) =>
  typeof target === 'string' ? [] : [sourceOf(target.import.default)],
);
const specs = new Set(filesIn(join(FOLDER, 'test'), '.spec.ts').map(subjectOf));
const importers = files.map(
  (file) => new Set(imports.filter(({ to }) => to === file).map((each) => each.from)),
);

const lines = files.map((file) => linesOf(file).length).toSorted((one, other) => one - other);
/** @type {[string, number | string][]} */
const rows = [
  ['files in lib', files.length],
  ['lines', lines.reduce((sum, each) => sum + each, 0)],
  ['lines of the median file', lines[Math.floor(lines.length / 2)] ?? 0],
  ['lines of the longest file', lines.at(-1) ?? 0],
  ...exportedNames(entries).map(
    ({ entry, atRunTime, types }) =>
      /** @type {[string, string]} */ ([
        `exported by ${entry}`,
        `${atRunTime} names, ${types} types`,
      ]),
  ),
  ['files in cycles, types included', filesInCycles(imports).length],
  ['files in cycles of values', filesInCycles(imports.filter(({ isType }) => !isType)).length],
  ['breaches of the limits', countLimitBreaches()],
  ['files that one other imports', importers.filter(({ size }) => size === 1).length],
  ['files with a spec of their name', files.filter((file) => specs.has(subjectOf(file))).length],
  ['repeated runs of six lines', countDuplicates()],
  ['npm scripts', Object.keys(manifest.scripts).length],
  ['dependencies', Object.keys(manifest.dependencies).length],
  ['development dependencies', Object.keys(manifest.devDependencies).length],
];
for (const [name, value] of rows) console.log(`${name.padEnd(34)} ${value}`);
