// Does what docs/getting-started.md says, word for word, with Nest 11 and with Nest 12:
//   node test/docs/getting-started.mjs, or with `nest-12`: that one alone
// Only the package itself comes from a tarball of this project, and the ports are free ones.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ROOT, run } from '../../scripts/run.mjs';
import { readBlocks } from './page-blocks.mjs';

/** @typedef {import('./page-blocks.mjs').Block} Block */
/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

const PAGE = 'docs/getting-started.md';
const VARIANTS = ['nest-11', 'nest-12'];
const STARTED = 'Nest application successfully started';
const START_MILLISECONDS = 120_000;

/** A page that is followed, in a folder of its own. */
class Walkthrough {
  /** @type {ChildProcess[]} */
  services = [];
  lastOutput = '';

  /**
   * @param {{ folder: string, tarball: string }} places
   * @param {(text: string) => string} adapt
   */
  constructor({ folder, tarball }, adapt) {
    this.folder = folder;
    this.tarball = tarball;
    this.adapt = adapt;
  }

  /** @param {Block} block */
  async follow({ file, role, code, line }) {
    const text = this.adapt(code);
    if (file) this.write(file, text);
    else if (role === 'package')
      copyFileSync(this.tarball, join(this.folder, basename(this.tarball)));
    else if (role === 'run') this.lastOutput = this.runBlock(text, line);
    else if (role === 'start') await this.start(text, line);
    else if (role === 'output' && this.lastOutput.trim() !== text.trim()) {
      throw new Error(`${PAGE}:${line}: printed ${this.lastOutput}`);
    }
  }

  /**
   * @param {string} file
   * @param {string} text
   */
  write(file, text) {
    const path = join(this.folder, file);
    if (!existsSync(path)) throw new Error(`${PAGE} replaces ${file}, which nest new did not make`);
    writeFileSync(path, text);
  }

  /**
   * @param {string} text
   * @param {number} line
   */
  runBlock(text, line) {
    console.log(`$ ${text.trim().replaceAll('\n', '\n$ ')}`);
    const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: this.folder,
      encoding: 'utf8',
      timeout: 10 * 60_000,
    });
    if (status !== 0) throw new Error(`${PAGE}:${line}: exit code ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /**
   * @param {string} text
   * @param {number} line
   */
  async start(text, line) {
    console.log(`$ ${text.trim()} &`);
    // A group of its own, so that npm's children end with it.
    const service = spawn('bash', ['-c', text], { cwd: this.folder, detached: true });
    this.services.push(service);
    let log = '';
    await new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`${PAGE}:${line}: did not start\n${log}`));
      const timer = setTimeout(fail, START_MILLISECONDS);
      service.once('exit', fail);
      service.once('error', reject);
      for (const stream of [service.stdout, service.stderr]) {
        stream.on('data', (/** @type {Buffer} */ chunk) => {
          log += chunk.toString();
          if (!log.includes(STARTED)) return;
          clearTimeout(timer);
          service.off('exit', fail);
          resolve(undefined);
        });
      }
    });
  }

  async end() {
    for (const service of this.services) {
      if (service.exitCode !== null || service.pid === undefined) continue;
      const ended = new Promise((resolve) => service.once('close', resolve));
      process.kill(-service.pid, 'SIGTERM');
      await ended;
    }
  }
}

/** @returns {Promise<number>} a port that nobody has at the moment */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, () => resolve(undefined)));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

/**
 * @param {string} variant
 * @param {string} tarball
 */
async function follow(variant, tarball) {
  console.log(`\n# ${PAGE} with ${variant}`);
  const [census, herald] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), `getting-started-${variant}-`));
  const walkthrough = new Walkthrough({ folder, tarball }, (text) =>
    text
      .replaceAll(/(?<=localhost:|PORT=)3000/g, `${census}`)
      .replaceAll(/(?<=localhost:|PORT=)3001/g, `${herald}`),
  );
  try {
    for (const block of readBlocks(PAGE)) {
      if (!block.variant || block.variant === variant) await walkthrough.follow(block);
    }
    return true;
  } catch (error) {
    console.error('FAILED', error instanceof Error ? error.message : error);
    return false;
  } finally {
    await walkthrough.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns {string[]} those named on the command line, or all */
function chosenVariants() {
  const named = process.argv.slice(2);
  const unknown = named.filter((variant) => !VARIANTS.includes(variant));
  if (unknown.length > 0) throw new Error(`${unknown.join()}: write ${VARIANTS.join(' or ')}`);
  return named.length > 0 ? named : VARIANTS;
}

const place = mkdtempSync(join(tmpdir(), 'getting-started-'));
try {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', place], { cwd: ROOT });
  const [tarball = ''] = readdirSync(place);
  const results = [];
  for (const variant of chosenVariants()) results.push(await follow(variant, join(place, tarball)));
  const passed = results.filter(Boolean).length;
  console.log(`\n${passed} passed, ${results.length - passed} failed`);
  if (passed < results.length) process.exitCode = 1;
} finally {
  rmSync(place, { recursive: true, force: true });
}
