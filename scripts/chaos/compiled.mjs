// The library and the support of the tests as JavaScript, for processes of their own.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { toJavaScript } from '../../test/transform.mjs';
import { ROOT } from '../run.mjs';

const EXPORTS = { '.': './lib/index.js', './*': './lib/*.js' };

/** A folder with the sources as JavaScript, which is removed when this process ends. */
export class Compiled {
  folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-chaos-'));

  /** @param {readonly string[]} sources files besides `lib` and `test/support`, named from the root of the project */
  constructor(sources) {
    for (const source of [...sourcesIn('lib'), ...sourcesIn('test/support'), ...sources]) {
      mkdirSync(dirname(this.path(source)), { recursive: true });
      const text = readFileSync(join(ROOT, source), 'utf8');
      writeFileSync(this.path(source), toJavaScript(text, source).code);
    }
    const manifest = { name: 'nestjs-service-auth', type: 'module', exports: EXPORTS };
    writeFileSync(join(this.folder, 'package.json'), JSON.stringify(manifest));
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'), 'junction');
    process.once('exit', () => rmSync(this.folder, { recursive: true, force: true }));
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
    // Some of what starts brokers names tests of others when it is loaded.
    const describe = Object.assign(() => undefined, { skip: () => undefined });
    Reflect.set(globalThis, 'describe', describe);
  }

  /** @param {string} source */
  path(source) {
    return join(this.folder, source.replace(/\.ts$/, '.js'));
  }

  /** @param {string} source @returns {Promise<unknown>} its exports */
  async load(source) {
    return await import(pathToFileURL(this.path(source)).href);
  }
}

/** @param {string} part */
function sourcesIn(part) {
  return readdirSync(join(ROOT, part), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(part, name));
}
