// Loads every entry point in each way there is, and prints what came of it as JSON.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

type Exports = Readonly<Record<string, unknown>>;
type Conditions = Readonly<Record<'require', { default: string }>>;

const NAME = 'nestjs-service-auth';
const require: (id: string) => unknown = createRequire(import.meta.url);
const folder = dirname(createRequire(import.meta.url).resolve(`${NAME}/package.json`));
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
  exports: Record<string, string | Conditions>;
};
const required = new Map(
  Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === 'string' ? [] : [[subpath, target.require.default] as const],
  ),
);

// Jest has the CommonJS build; `require` itself has the ES modules on every Node that can load them.
const ways: Record<string, (subpath: string) => unknown> = {
  import: async (subpath) => (await import(subpath.replace('.', NAME))) as unknown,
  require: (subpath) => require(subpath.replace('.', NAME)),
  'the CommonJS build': (subpath) => require(join(folder, required.get(subpath) ?? '')),
};

const failures: Record<string, string | null> = {};

async function loadAll(way: string): Promise<[subpath: string, Exports][]> {
  const loaded: [string, Exports][] = [];
  for (const subpath of required.keys()) {
    try {
      loaded.push([subpath, (await ways[way]?.(subpath)) as Exports]);
      failures[`${subpath} by ${way}`] = null;
    } catch (error) {
      failures[`${subpath} by ${way}`] = String((error as Error).message);
    }
  }
  return loaded;
}

/** Clients have functions of one name for configurations of their own; of a class there must be one. */
function isPlainFunction(value: unknown): boolean {
  return (
    typeof value === 'function' && !Function.prototype.toString.call(value).startsWith('class')
  );
}

/** The names under which two modules export different things. */
function differing(modules: [subpath: string, Exports][]): string[] {
  const first = new Map<string, unknown>();
  const names: string[] = [];
  for (const [subpath, module] of modules) {
    for (const [name, value] of Object.entries(module)) {
      if (isPlainFunction(value)) continue;
      if (first.has(name) && first.get(name) !== value) names.push(`${subpath} ${name}`);
      else first.set(name, value);
    }
  }
  return names;
}

const copies = [
  ...differing([...(await loadAll('import')), ...(await loadAll('require'))]),
  ...differing(await loadAll('the CommonJS build')),
];
console.log(JSON.stringify({ failures, copies }));
