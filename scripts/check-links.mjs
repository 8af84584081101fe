// Follows every link of every page of the project: `node scripts/check-links.mjs`. Relative links must lead to a file, and their
// anchors to a heading. Links to other sites are listed; `--external` asks these for an answer as well.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ROOT } from './run.mjs';

/** @typedef {{ page: string, line: number, to: string }} Link */

const NOT_OURS = new Set(['node_modules', 'dist', 'dist-sample', 'coverage', 'api', '.git']);
const LINK = /!?\[(?:[^\][]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g;
const DEFINITION = /^\[[^\]]+\]:\s+<?(\S+?)>?$/;
const ANSWER_MILLISECONDS = 20_000;

/** @returns {string[]} the Markdown files under a folder, as absolute paths */
function pagesUnder(/** @type {string} */ folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : pagesUnder(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/**
 * The lines of a page that are text; those of code blocks are empty.
 *
 * @param {string} page
 */
function textLines(page) {
  let fence = '';
  return readFileSync(page, 'utf8')
    .split('\n')
    .map((line) => {
      const mark = /^\s*(```+|~~~+)/.exec(line)?.[1];
      if (mark && (fence === '' || line.trim() === fence)) {
        fence = fence === '' ? mark : '';
        return '';
      }
      return fence === '' ? line : '';
    });
}

/** @returns {Link[]} */
function linksOf(/** @type {string} */ page) {
  return textLines(page).flatMap((line, at) => {
    const text = line.replaceAll(/`[^`]*`/g, '``');
    const inline = [...text.matchAll(LINK)].map(([, to]) => to);
    const defined = DEFINITION.exec(text)?.[1];
    return [...inline, ...(defined ? [defined] : [])].map((to) => ({ page, line: at + 1, to }));
  });
}

/**
 * The anchors that GitHub gives to the headings of a page.
 *
 * @param {string} page
 * @returns {Set<string>}
 */
function anchorsOf(page) {
  /** @type {Set<string>} */
  const anchors = new Set();
  for (const line of textLines(page)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const slug = slugOf(heading);
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** @param {string} heading */
function slugOf(heading) {
  const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  return text.replaceAll(/[^\p{L}\p{N}\p{M}\s_-]/gu, '').replaceAll(/\s/g, '-');
}

/**
 * What is wrong with a link to a place in this project; undefined when nothing is.
 *
 * @param {Link} link
 */
function problemOf({ page, to }) {
  const [path = '', anchor] = to.split('#');
  const target = path === '' ? page : join(dirname(page), decodeURIComponent(path));
  if (relative(ROOT, target).startsWith('..')) return 'leads out of the project';
  if (!existsSync(target)) return 'leads nowhere';
  if (anchor === undefined) return undefined;
  if (!statSync(target).isFile() || !target.endsWith('.md')) return 'has an anchor, and is no page';
  return anchorsOf(target).has(anchor) ? undefined : 'leads to no heading';
}

/** @returns {Promise<string | undefined>} what is wrong with a link to another site */
async function externalProblemOf(/** @type {string} */ url) {
  try {
    const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
    return ok ? undefined : `answers ${status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const links = pagesUnder(ROOT).flatMap(linksOf);
const isExternal = (/** @type {Link} */ { to }) => /^[a-z][a-z0-9+.-]*:/i.test(to);
const problems = links
  .filter((link) => !isExternal(link))
  .flatMap((link) => {
    const problem = problemOf(link);
    const place = `${relative(ROOT, link.page)}:${link.line}`;
    return problem === undefined ? [] : [`${place}: ${link.to} ${problem}`];
  });

const sites = [...new Set(links.filter(isExternal).map(({ to }) => to))].toSorted();
if (process.argv.includes('--external')) {
  for (const url of sites) {
    const problem = await externalProblemOf(url);
    if (problem !== undefined) problems.push(`${url} ${problem}`);
  }
} else
  console.log(`Not asked (--external asks them):\n${sites.map((url) => `  ${url}`).join('\n')}`);

for (const problem of problems) console.error(problem);
console.log(`${links.length} links, ${problems.length} of them broken`);
if (problems.length > 0) process.exitCode = 1;
