// Makes JavaScript of a test or a source, as the build does: decorators with their types, for Nest. Jest calls it for each file.
import { createHash } from 'node:crypto';
import { transformSync } from 'rolldown/utils';

const OPTIONS = /** @type {const} */ ({
  lang: 'ts',
  target: 'es2022',
  sourcemap: true,
  tsconfig: false,
  decorator: { legacy: true, emitDecoratorMetadata: true },
  // A field without a value is no field: constructors of Nest's classes assign them.
  assumptions: { setPublicClassFields: true },
  typescript: { removeClassFieldsWithoutInitializer: true },
});

/**
 * @param {string} source TypeScript
 * @param {string} path of its file, for messages
 * @throws where it cannot be parsed
 */
export function toJavaScript(source, path) {
  const { code, map, errors } = transformSync(path, source, OPTIONS);
  const [first] = errors;
  if (first) throw new SyntaxError(`${path}: ${first.message}`);
  return map ? { code, map: JSON.stringify(map) } : { code };
}

/** The transformer, as Jest takes it. */
export default {
  process: toJavaScript,
  /** @param {string} source @param {string} path @param {{ configString: string }} options */
  getCacheKey(source, path, { configString }) {
    const parts = [source, path, configString, JSON.stringify(OPTIONS)];
    return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
  },
};
