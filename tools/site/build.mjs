// Builds the site: `node tools/site/build.mjs [--tags]`. Into tools/site/dist goes the checkout, and with `--tags` a folder
// for each released minor, built from its newest tag. Needs no network but for `npm ci` in this folder.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { downloadsOf, imagesOf, placesOf, summaryOf, textOf } from './pages.mjs';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '..', '..');
const DIST = join(HERE, 'dist');

const { values } = parseArgs({ options: { tags: { type: 'boolean', default: false } } });

const run = (/** @type {string} */ program, /** @type {string[]} */ args, cwd = HERE) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** The newest tag of each minor, the newest minor first: `v1.4.2` of 1.4. */
function minors() {
  const tags = run('git', ['tag', '--list', 'v*', '--sort=-v:refname'], ROOT).split('\n');
  const byMinor = new Map();
  for (const tag of tags) {
    const minor = /^v(\d+\.\d+)\.\d+$/.exec(tag)?.[1];
    if (minor !== undefined && !byMinor.has(minor)) byMinor.set(minor, tag);
  }
  return byMinor;
}

/** @param {string} root the folder of a checkout whose dependencies are installed */
function buildVersion(root, { label = '', base = '/', versions = /** @type {string[]} */ ([]) }) {
  const source = mkdtempSync(join(tmpdir(), 'site-'));
  try {
    writePages(root, source);
    writeReference(root, join(source, 'reference'));
    const settings = { label, base, versions, sidebar: sidebarOf(root) };
    writeFileSync(join(source, 'site.json'), JSON.stringify(settings));
    cpSync(join(HERE, 'config.mjs'), join(source, '.vitepress', 'config.mjs'), { recursive: true });
    cpSync(join(HERE, 'theme'), join(source, '.vitepress', 'theme'), { recursive: true });
    // Pages import nothing, but the bundler looks for the theme from where they are.
    cpSync(join(HERE, 'package.json'), join(source, 'package.json'));
    run('ln', ['-s', join(HERE, 'node_modules'), join(source, 'node_modules')]);
    const out = join(DIST, base);
    run('npx', ['vitepress', 'build', source, '--outDir', out]);
    console.log(`built ${label} into ${out}`);
  } finally {
    rmSync(source, { recursive: true });
  }
}

/** @param {string} root @param {string} source */
function writePages(root, source) {
  const places = placesOf(root);
  const downloads = downloadsOf(root);
  const images = imagesOf(root);
  const { repository } = releaseOf(root);
  const site = { root, places, downloads, images, repository };
  const pages = [...places].map(([page, place]) => ({ place, text: textOf(page, site) }));
  for (const { place, text } of pages) {
    // Nothing on a page is a template.
    write(join(source, place), `::: v-pre\n\n${text}\n\n:::\n`);
  }
  for (const [file, place] of images) cpSync(join(root, file), join(source, place));
  for (const [file, place] of downloads) {
    mkdirSync(join(source, 'public', dirname(place)), { recursive: true });
    cpSync(join(root, file), join(source, 'public', place));
  }
  writeForMachines(join(source, 'public'), pages);
}

/**
 * For programs that read: an index of the pages, and all of them in one text.
 *
 * @param {string} folder @param {{ place: string, text: string }[]} pages
 * @see https://llmstxt.org
 */
function writeForMachines(folder, pages) {
  const [first, ...others] = pages.toSorted(
    (one, other) => Number(other.place === 'index.md') - Number(one.place === 'index.md'),
  );
  const index = others.map(({ place, text }) => {
    const { title, summary } = summaryOf(text);
    return `- [${title}](${place.replace(/\.md$/, '.html')}): ${summary}`;
  });
  const { title, summary } = summaryOf(first?.text ?? '');
  write(
    join(folder, 'llms.txt'),
    `# ${title}\n\n> ${summary}\n\n## Pages\n\n${index.join('\n')}\n`,
  );
  write(join(folder, 'llms-full.txt'), pages.map(({ text }) => text.trim()).join('\n\n---\n\n'));
}

/** The reference of every name that users import. @param {string} root @param {string} folder */
function writeReference(root, folder) {
  const modules = join(HERE, 'node_modules');
  const plugin = join(modules, 'typedoc-plugin-markdown', 'dist', 'index.js');
  const options = [
    '--plugin',
    plugin,
    '--out',
    folder,
    '--entryFileName',
    'index.md',
    '--hidePageHeader',
  ];
  // The plugin finds the TypeDoc beside it.
  run('node', [join(modules, 'typedoc', 'bin', 'typedoc'), ...options], root);
}

/** What links lead to; empty where nothing is published yet. @param {string} root */
function releaseOf(root) {
  const file = join(root, 'scripts', 'release.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { repository: '' };
}

/** In the order of the page that lists all guides. @param {string} root */
function sidebarOf(root) {
  const places = placesOf(root);
  const index = readFileSync(join(root, 'docs', 'README.md'), 'utf8');
  const links = [...index.matchAll(/\[([^\]]+)\]\(([^)]+\.md)\)/g)];
  return links.map(([, text = '', link = '']) => {
    const page = join('docs', link);
    return { text, link: `/${(places.get(page) ?? link).replace(/\.md$/, '')}` };
  });
}

function write(/** @type {string} */ file, /** @type {string} */ text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

rmSync(DIST, { recursive: true, force: true });
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const released = values.tags ? minors() : new Map();
const versions = [...released.keys()];
buildVersion(ROOT, { label: `${version} (next)`, base: '/', versions });
for (const [minor, tag] of released) {
  const checkout = mkdtempSync(join(tmpdir(), 'site-tag-'));
  try {
    run('git', ['worktree', 'add', '--detach', checkout, tag], ROOT);
    run('ln', ['-s', join(ROOT, 'node_modules'), join(checkout, 'node_modules')]);
    buildVersion(checkout, { label: tag, base: `/${minor}/`, versions });
  } finally {
    run('git', ['worktree', 'remove', '--force', checkout], ROOT);
  }
}
