// Compares what users can import with test/package/public-api.txt. Needs a build:
//   npm run build && node scripts/public-api.mjs [--update]
// Every name is a promise: one that appears, goes or changes its kind has to be in that file. --update writes it.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, sep } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { ENTRY_POINTS } from './entry-points.mjs';
import { ROOT } from './run.mjs';

/** @typedef {(typeof ENTRY_POINTS)[number]} EntryPoint */
/** @typedef {{ entry: EntryPoint, symbols: Map<string, ts.Symbol>, values: Set<string> }} Surface */

const PAGE = join(ROOT, 'test/package/public-api.txt');
const DIST = join(ROOT, 'dist') + sep;

/** What an entry point may leave to another one: its users can import it there too, with the same peers. */
const LEFT_TO = {
  '.': ['./core'],
  './core': [],
  './opentelemetry': ['./core'],
  './redis': ['./core'],
  './undici': ['./core'],
};
const LEFT_TO_WITH_NEST = ['.', './core'];

/** Base classes that Nest's ConfigurableModuleBuilder makes: users see what `forRoot` and `register` take. */
const BASES = new Set(['ConfigurableModuleClass']);

const program = ts.createProgram(
  ENTRY_POINTS.map(({ types }) => join(ROOT, types)),
  {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    types: ['node'],
    strict: true,
    noEmit: true,
  },
);
const checker = program.getTypeChecker();

/** @param {EntryPoint} entry @returns {Promise<Surface>} */
async function readSurface(entry) {
  const file = program.getSourceFile(join(ROOT, entry.types));
  const module = file && checker.getSymbolAtLocation(file);
  if (!module) throw new Error(`${entry.types} is missing: run \`npm run build\` first`);
  const exported = checker.getExportsOfModule(module);
  const symbols = new Map(exported.map((symbol) => [symbol.name, resolved(symbol)]));
  return { entry, symbols, values: await readValues(entry) };
}

/** The names that exist when the program runs, which must be the same in both builds. @param {EntryPoint} entry */
async function readValues({ subpath, imported, required }) {
  const modules = /** @type {object} */ (await import(join(ROOT, imported)));
  const commonJs = /** @type {object} */ (createRequire(import.meta.url)(join(ROOT, required)));
  const names = Object.keys(modules).sort();
  const others = Object.keys(commonJs).sort();
  if (names.join() === others.join()) return new Set(names);
  throw new Error(`${subpath} exports ${names.join(', ')}, and as CommonJS ${others.join(', ')}`);
}

/** @param {ts.Symbol} symbol */
function resolved(symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** @param {Surface} surface */
function describeSurface({ entry, symbols, values }) {
  const names = [...symbols.keys()].sort();
  const lines = names.map((name) => {
    const symbol = symbols.get(name);
    return `  ${symbol && values.has(name) ? describeValue(symbol) : 'type'} ${name}${symbol ? membersOf(symbol) : ''}`;
  });
  for (const name of values) if (!symbols.has(name)) lines.push(`  untyped ${name}`);
  return [entry.specifier, ...lines].join('\n');
}

/** @param {ts.Symbol} symbol */
function describeValue({ flags }) {
  if (flags & ts.SymbolFlags.Class) return 'class';
  return flags & ts.SymbolFlags.Function ? 'function' : 'const';
}

/** What users can call or read of a class. @param {ts.Symbol} symbol */
function membersOf({ flags, members, exports }) {
  if (!(flags & ts.SymbolFlags.Class)) return '';
  const own = [...(members?.values() ?? [])].filter(isPublicMember).map(({ name }) => name);
  const statics = [...(exports?.values() ?? [])].filter(isPublicMember).map(({ name }) => name);
  const names = [...own.sort(), ...statics.sort().map((name) => `static ${name}`)];
  return names.length === 0 ? '' : ` { ${names.join(', ')} }`;
}

/** @param {ts.Symbol} member */
function isPublicMember({ declarations = [] }) {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  return declarations.some(
    (node) =>
      ts.isClassElement(node) &&
      !ts.isConstructorDeclaration(node) &&
      !(ts.getCombinedModifierFlags(node) & hidden),
  );
}

/**
 * The names that the types of an entry point mention, and that its users cannot import.
 *
 * @param {Surface} surface
 * @param {ReadonlySet<ts.Symbol>} importable
 */
function findInternalNames({ entry, symbols }, importable) {
  /** @type {Set<string>} */
  const found = new Set();
  const visited = new Set();
  const visit = (/** @type {ts.Node} */ node) => {
    const name = nameIn(node);
    const symbol = name && checker.getSymbolAtLocation(name);
    if (symbol) follow(resolved(symbol));
    ts.forEachChild(node, visit);
  };
  const follow = (/** @type {ts.Symbol} */ symbol) => {
    if (importable.has(symbol) || BASES.has(symbol.name) || visited.has(symbol)) return;
    visited.add(symbol);
    const own = (symbol.declarations ?? []).filter(isOfLibrary);
    if (own.some((node) => isExported(symbol, node))) found.add(symbol.name);
    // What its own file keeps for itself has no name that anybody could import: what it says is looked at.
    else own.forEach(visit);
  };
  for (const symbol of symbols.values())
    (symbol.declarations ?? []).filter(isOfLibrary).forEach(visit);
  return [...found].map(
    (name) => `${entry.subpath} mentions ${name}, which its users cannot import`,
  );
}

/** The name of a type, where a node mentions one. @param {ts.Node} node */
function nameIn(node) {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  // `keyof typeof TABLE` mentions the keys of a table, and nothing else that is in it.
  if (ts.isTypeQueryNode(node))
    return ts.isTypeOperatorNode(node.parent) ? undefined : node.exprName;
  if (ts.isImportTypeNode(node)) return node.qualifier;
  return ts.isExpressionWithTypeArguments(node) ? node.expression : undefined;
}

/** @param {ts.Declaration} node */
function isOfLibrary(node) {
  return node.getSourceFile().fileName.startsWith(DIST) && !ts.isTypeParameterDeclaration(node);
}

/** @param {ts.Symbol} symbol @param {ts.Declaration} node */
function isExported(symbol, node) {
  const module = checker.getSymbolAtLocation(node.getSourceFile());
  return [...(module?.exports?.values() ?? [])].some((each) => resolved(each) === symbol);
}

/** Each name of a page with its entry point. @param {string} page */
function qualifiedLines(page) {
  return page.split('\n\n').flatMap((paragraph) => {
    const [specifier, ...names] = paragraph.trimEnd().split('\n');
    return names.map((name) => `${specifier}: ${name.trim()}`);
  });
}

/** @param {string} written @param {string} found */
function printDifference(written, found) {
  const before = qualifiedLines(written);
  const after = qualifiedLines(found);
  for (const line of before.filter((each) => !after.includes(each))) console.error(`- ${line}`);
  for (const line of after.filter((each) => !before.includes(each))) console.error(`+ ${line}`);
}

const surfaces = await Promise.all(ENTRY_POINTS.map(readSurface));
const internal = surfaces.flatMap((surface) => {
  const { subpath } = surface.entry;
  const leftTo = /** @type {Record<string, string[]>} */ (LEFT_TO)[subpath] ?? LEFT_TO_WITH_NEST;
  const places = surfaces.filter(
    ({ entry }) => entry.subpath === subpath || leftTo.includes(entry.subpath),
  );
  const importable = new Set(places.flatMap(({ symbols }) => [...symbols.values()]));
  return findInternalNames(surface, importable);
});
const page = `${surfaces.map(describeSurface).join('\n\n')}\n`;
const { values: flags } = parseArgs({ options: { update: { type: 'boolean', default: false } } });
if (flags.update) writeFileSync(PAGE, page);
const written = readFileSync(PAGE, 'utf8');

for (const problem of internal) console.error(problem);
if (written !== page) {
  console.error('The exports are not those of test/package/public-api.txt (--update writes it):');
  printDifference(written, page);
}
process.exitCode = internal.length > 0 || written !== page ? 1 : 0;
