import { join } from 'node:path';
import { readJson, ROOT } from './run.mjs';

/** @typedef {{ types: string, default: string }} Built */
/** @typedef {Record<'module-sync' | 'import' | 'require', Built>} Conditions */
/** @typedef {Record<string, string>} Ranges */
/**
 * @typedef {{
 *   name: string,
 *   bin: Record<string, string>,
 *   exports: Record<string, string | Conditions>,
 *   dependencies: Ranges,
 *   peerDependencies: Ranges,
 * }} Manifest
 */

/** The project's package.json. */
export const MANIFEST = /** @type {Manifest} */ (readJson(join(ROOT, 'package.json')));

/**
 * What users import, as package.json exports it: nothing else says which entry points there are.
 * `specifier` is what an `import` names, `types` the file of its declarations, `required` that of the CommonJS build.
 *
 * @type {{ subpath: string, specifier: string, types: string, imported: string, required: string }[]}
 */
export const ENTRY_POINTS = Object.entries(MANIFEST.exports).flatMap(([subpath, target]) => {
  if (typeof target === 'string') return [];
  const specifier = subpath.replace('.', MANIFEST.name);
  const { types, default: imported } = target.import;
  return [{ subpath, specifier, types, imported, required: target.require.default }];
});
