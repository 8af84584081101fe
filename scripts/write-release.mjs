// Writes the addresses of the project from scripts/release.json into package.json, and takes them out where they are empty:
// `node scripts/write-release.mjs`. With `--check` compares. The site takes the links to the repository from there too.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const FILE = join(ROOT, 'package.json');

/** @param {string} file @returns {Record<string, unknown>} */
const readJson = (file) =>
  /** @type {Record<string, unknown>} */ (JSON.parse(readFileSync(file, 'utf8')));

const { repository, homepage, bugs } =
  /** @type {{ repository: string, homepage: string, bugs: string }} */ (
    readJson(join(import.meta.dirname, 'release.json'))
  );
const before = readJson(FILE);
const { repository: _r, homepage: _h, bugs: _b, ...manifest } = before;
const addresses = {
  ...(repository !== '' && { repository: { type: 'git', url: `git+${repository}.git` } }),
  ...(homepage !== '' && { homepage }),
  ...(bugs !== '' && { bugs: { url: bugs } }),
};
const { name, version, description, keywords, ...others } = manifest;
const after = { name, version, description, keywords, ...addresses, ...others };
const text = `${JSON.stringify(after, null, 2)}\n`;

if (!process.argv.includes('--check')) writeFileSync(FILE, text);
else if (JSON.stringify(after) !== JSON.stringify(before)) {
  console.error(
    'package.json has other addresses than scripts/release.json: run `node scripts/write-release.mjs`',
  );
  process.exitCode = 1;
}
