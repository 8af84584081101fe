// Reads the pages for style: `node tools/style/check.mjs [page ...]`. Needs `npm ci --prefix tools/style`.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createLinter } from 'textlint';
import { TextlintKernelDescriptor } from '@textlint/kernel';
import markdown from '@textlint/textlint-plugin-markdown';
import opening from './rules/opening.js';
import plainWords from './rules/plain-words.js';
import sentences from './rules/sentences.js';

const ROOT = join(import.meta.dirname, '..', '..');
/** A script writes them, from texts that are read where they stand. */
const WRITTEN_BY_SCRIPTS = new Set(['docs/attacks.md', 'docs/errors.md', 'docs/removed-checks.md']);

const pages = process.argv.length > 2 ? process.argv.slice(2) : allPages();
const linter = createLinter({
  descriptor: new TextlintKernelDescriptor({
    rules: Object.entries({ opening, plainWords, sentences }).map(([ruleId, rule]) => ({
      ruleId,
      rule,
    })),
    plugins: [{ pluginId: 'markdown', plugin: markdown.default ?? markdown }],
    filterRules: [],
  }),
});
const results = await linter.lintFiles(pages.map((page) => join(ROOT, page)));
let count = 0;
for (const { filePath, messages } of results) {
  for (const { line, column, message } of messages) {
    console.error(`${filePath.slice(ROOT.length + 1)}:${line}:${column} ${message}`);
    count += 1;
  }
}
console.log(`${pages.length} pages, ${count} reports`);
process.exitCode = count === 0 ? 0 : 1;

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
