// Which pages of the repository are on the site, and where their links lead.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, posix, relative } from 'node:path';

/** Pages that have another place on the site than in `docs`. */
const OTHER_PLACES = {
  'README.md': 'index.md',
  'docs/README.md': 'guides.md',
  'SECURITY.md': 'security.md',
  'CHANGELOG.md': 'changes.md',
  'CONTRIBUTING.md': 'contributing.md',
  'test/vectors/README.md': 'vectors.md',
};

/** Folders whose files one can download. */
const DOWNLOADS = ['test/vectors', 'docs/observability'];

/**
 * The place of each page: from its path in the repository to its path on the site.
 *
 * @param {string} root the folder of the repository
 * @returns {Map<string, string>}
 */
export function placesOf(root) {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' });
  const pages = docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
  const places = pages.map((page) => [page, page.slice('docs/'.length)]);
  const others = Object.entries(OTHER_PLACES).filter(([page]) => existsSync(join(root, page)));
  return new Map([...places, ...others].map(([page = '', place = '']) => [page, toPlace(place)]));
}

/** A folder's README is its index. */
function toPlace(/** @type {string} */ place) {
  return place.replace(/(^|\/)README\.md$/, '$1index.md');
}

/**
 * The files that one can download, with their paths on the site.
 *
 * @param {string} root
 * @returns {Map<string, string>}
 */
export function downloadsOf(root) {
  const files = DOWNLOADS.filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => posix.join(folder, name)),
  );
  const wanted = files.filter((file) => /\.(?:json|yaml|py)$/.test(file));
  return new Map(wanted.map((file) => [file, `downloads/${basename(file)}`]));
}

/**
 * The pictures of pages, with their paths on the site.
 *
 * @param {string} root
 * @returns {Map<string, string>}
 */
export function imagesOf(root) {
  const names = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.svg'));
  return new Map(names.map((name) => [`docs/${name}`, name]));
}

/**
 * The text of a page as the site has it: its links lead to pages and downloads of the site, its pictures are there too. A
 * link to anything else of the repository leads to `repository`, or is plain text where there is none.
 *
 * @param {string} page its path in the repository
 * @param {{
 *   root: string,
 *   places: Map<string, string>,
 *   downloads: Map<string, string>,
 *   images: Map<string, string>,
 *   repository: string,
 * }} site
 * @throws if a picture is not among the images
 */
export function textOf(page, { root, places, downloads, images, repository }) {
  const text = readFileSync(join(root, page), 'utf8');
  const here = places.get(page) ?? page;
  const imageAt = (/** @type {string} */ target) => {
    const image = images.get(target);
    if (image === undefined)
      throw new Error(`${page} shows ${target}, which the site does not have`);
    return image;
  };
  return outsideOfCode(text, (part) =>
    part.replace(/(!?)\[((?:[^[\]]|\[[^\]]*\])+)\]\(([^()\s]+)\)/g, (whole, mark, label, link) => {
      if (/^(?:[a-z]+:|#)/.test(link)) return whole;
      const [path = '', anchor] = link.split('#');
      const target = posix.normalize(posix.join(dirname(page), path)).replace(/\/$/, '');
      if (mark !== '') return `![${label}](${pathFrom(here, imageAt(target))})`;
      const place = places.get(target);
      if (place) return `[${label}](${pathFrom(here, place)}${anchor ? `#${anchor}` : ''})`;
      const file = downloads.get(target);
      if (file) return `<a href="${pathFrom(here, file)}" download>${label}</a>`;
      const isFolder = existsSync(join(root, target)) && statSync(join(root, target)).isDirectory();
      if (repository === '') return label;
      return `[${label}](${repository}/${isFolder ? 'tree' : 'blob'}/main/${target})`;
    }),
  );
}

/** Relative, so that each version works in its own folder. */
function pathFrom(/** @type {string} */ here, /** @type {string} */ there) {
  const path = relative(dirname(here), there);
  return path.startsWith('.') ? path : `./${path}`;
}

function outsideOfCode(/** @type {string} */ text, /** @type {(part: string) => string} */ change) {
  return text
    .split(/(^```[^]*?^```$)/m)
    .map((part) => (part.startsWith('```') ? part : change(part)))
    .join('');
}

/** The first heading of a page, and the first sentences below it. */
export function summaryOf(/** @type {string} */ text) {
  const title = /^# (.+)$/m.exec(text)?.[1] ?? '';
  const [, below = ''] = text.split(/^# .+$/m);
  const paragraph = below
    .split('\n\n')
    .map((part) => part.trim())
    .find((part) => /^[A-Z]/.test(part));
  return { title, summary: (paragraph ?? '').replace(/\s+/g, ' ') };
}
