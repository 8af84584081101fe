// The reference of everything that can be imported: `npm run docs`. A symbol without a docstring fails it.
import { readFileSync } from 'node:fs';

const { name, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
/** @type {import('typedoc').TypeDocOptions} */
export default {
  name,
  // Each is built from the file of `lib` that has its name.
  entryPoints: Object.keys(exports)
    .filter((subpath) => !subpath.endsWith('.json'))
    .map((subpath) => `lib/${subpath === '.' ? 'index' : subpath.slice(2)}.ts`),
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
