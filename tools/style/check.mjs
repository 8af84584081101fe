// Reads the pages, and the comments of lib, for style: `node tools/style/check.mjs [--averages] [file ...]`.
// Needs `npm ci --prefix tools/style`, and the TypeScript of the repository.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createLinter } from 'textlint';
import { TextlintKernelDescriptor } from '@textlint/kernel';
import markdown from '@textlint/textlint-plugin-markdown';
import { commentsOf } from './comments.mjs';
import opening from './rules/opening.js';
import plainWords from './rules/plain-words.js';
import sentences from './rules/sentences.js';

const ROOT = join(import.meta.dirname, '..', '..');
/** A script writes them, from texts that are read in its source. */
const WRITTEN_BY_SCRIPTS = new Set(['docs/attacks.md', 'docs/errors.md', 'docs/removed-checks.md']);
const SOURCE = /\.(?:ts|mjs|js)$/;

const { values, positionals } = parseArgs({
  options: { averages: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const files = positionals.length > 0 ? positionals : [...allPages(), ...allSources()];
/** The numbers of words of each file's sentences. */
const lengths = new Map();
const rules = { opening, plainWords, sentences };
const linter = createLinter({
  descriptor: new TextlintKernelDescriptor({
    rules: Object.entries(rules).map(([ruleId, rule]) => ({
      ruleId,
      rule,
      options: { measured: (path, words) => lengths.set(nameOf(path), words) },
    })),
    plugins: [{ pluginId: 'markdown', plugin: markdown.default ?? markdown }],
    filterRules: [],
  }),
});
let count = 0;
for (const file of files) {
  for (const { line, column, message } of await reportsOf(file)) {
    console.error(`${file}:${line}:${column} ${message}`);
    count += 1;
  }
}
if (values.averages) printAverages();
console.log(`${files.length} files, ${count} reports`);
process.exitCode = count === 0 ? 0 : 1;

async function reportsOf(file) {
  const path = join(ROOT, file);
  const text = readFileSync(path, 'utf8');
  if (!SOURCE.test(file)) return (await linter.lintText(text, path)).messages;
  const { page, lines } = commentsOf(text);
  const { messages } = await linter.lintText(page, `${path}.md`);
  return messages.map((message) => ({ ...message, line: lines[message.line - 1], column: 1 }));
}

function nameOf(path) {
  return path.slice(ROOT.length + 1).replace(/(?<=\.(?:ts|mjs|js))\.md$/, '');
}

/** Of each page, of each folder of sources, and the words that precede the code of README.md. */
function printAverages() {
  const folders = new Map();
  for (const [file, words] of lengths) {
    const name = SOURCE.test(file) ? file.split('/').slice(0, -1).slice(0, 2).join('/') : file;
    folders.set(name, [...(folders.get(name) ?? []), ...words]);
  }
  for (const [name, words] of folders) {
    const average = words.reduce((sum, word) => sum + word, 0) / Math.max(1, words.length);
    console.log(`${average.toFixed(1)} words a sentence, ${words.length} sentences: ${name}`);
  }
  const [prose = ''] = readFileSync(join(ROOT, 'README.md'), 'utf8').split('\n```');
  console.log(`${prose.match(/\w[^\s]*/g)?.length ?? 0} words precede the first code of README.md`);
}

function allSources() {
  return readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `lib/${name.replaceAll('\\', '/')}`)
    .toSorted();
}

function allPages() {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).map(
    (name) => `docs/${name}`,
  );
  const others = [
    'README.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    'sample/README.md',
    'scripts/README.md',
    'test/README.md',
    'test/vectors/README.md',
  ];
  return [...docs, ...others].filter(
    (page) => page.endsWith('.md') && !WRITTEN_BY_SCRIPTS.has(page),
  );
}
