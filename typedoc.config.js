// The reference of everything that can be imported: `npx typedoc`. A symbol without a docstring fails it.
import { readFileSync } from 'node:fs';

const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const { paths } = JSON.parse(readFileSync('tsconfig.json', 'utf8')).compilerOptions;

/**
 * The source that a subpath of the package is built from.
 *
 * @param {string} subpath
 */
function sourceOf(subpath) {
  const source = paths[subpath.replace('.', name)]?.[0];
  if (source === undefined) throw new Error(`tsconfig.json has no path for ${subpath}`);
  return source;
}

/** @type {import('typedoc').TypeDocOptions} */
export default {
  name,
  entryPoints: Object.keys(exports)
    .filter((subpath) => !subpath.endsWith('.json'))
    .map(sourceOf),
  tsconfig: 'lib/tsconfig.lib.json',
  out: 'api',
  readme: 'none',
  disableSources: true,
  excludePrivate: true,
  treatWarningsAsErrors: true,
  validation: { notDocumented: true, notExported: false, invalidLink: true },
  // Nest's ConfigurableModuleBuilder makes them; the docstring of the class describes both.
  intentionallyNotDocumented: [
    'index.ServiceAuthModule.forRoot',
    'index.ServiceAuthModule.forRootAsync',
    'fetch.ServiceFetchModule.register',
    'fetch.ServiceFetchModule.registerAsync',
  ],
  requiredToBeDocumented: [
    'Class',
    'Interface',
    'TypeAlias',
    'Function',
    'Variable',
    'Method',
    'Accessor',
  ],
};
