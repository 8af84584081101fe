// Looks at the built site in Chromium: `node tools/site/test.mjs [--shots <folder>] [--quick]`. Fails for a page with a request to
// another host, a violation of axe, a picture that is missing, or a line wider than a phone. Needs `node tools/site/build.mjs`, and a chromium.
// Each page is shown on a desktop and on a phone, light and dark. With `--quick`, on a phone in light, and every fifth in dark.
import { createReadStream, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

const DIST = join(import.meta.dirname, 'dist');
const SIZES = [
  { name: 'desktop', width: 1280, height: 900 },
  { name: 'phone', width: 390, height: 844 },
];
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain',
};

const { values } = parseArgs({
  options: {
    shots: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url ?? '/', 'http://site').pathname);
  const file = join(DIST, path.endsWith('/') ? `${path}index.html` : path);
  const type =
    TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? 'application/octet-stream';
  createReadStream(file)
    .on('open', () => response.setHeader('Content-Type', type))
    .on('error', () => response.writeHead(404).end())
    .pipe(response);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
const origin = `http://127.0.0.1:${port}`;

const pages = readdirSync(DIST, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.html') && name !== '404.html')
  // Of the reference, pages are alike: the indexes stand for them.
  .filter(
    (name) => !name.includes('reference/') || /^reference\/(?:[a-z]+\/)?index\.html$/.test(name),
  )
  .filter((name) => values.only === undefined || name.startsWith(values.only));

/** @type {string[]} */
const problems = [];
let looks = 0;
const browser = await puppeteer.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  for (const size of values.quick ? SIZES.slice(-1) : SIZES) {
    await lookAt(pages, size, 'light');
    const inDark = values.quick ? pages.filter((_page, at) => at % 5 === 0) : pages;
    await lookAt(inDark, size, 'dark');
  }
} finally {
  await browser.close();
  server.close();
}
const bytes = readdirSync(DIST, { recursive: true, encoding: 'utf8' })
  .map((name) => statSync(join(DIST, name)))
  .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
console.log(
  `${pages.length} pages, ${looks} looks, ${(bytes / 2 ** 20).toFixed(1)} MiB: ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Says it at once: a whole run takes minutes. @param {string} problem */
function note(problem) {
  problems.push(problem);
  console.error(problem);
}

/**
 * @param {readonly string[]} names
 * @param {{ name: string, width: number, height: number }} size
 * @param {string} scheme
 */
async function lookAt(names, size, scheme) {
  const tab = await browser.newPage();
  // Generous: a busy machine is no failure.
  tab.setDefaultTimeout(300_000);
  await tab.setViewport({ width: size.width, height: size.height });
  await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  tab.on('request', (request) => {
    if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(origin))
      note(`request to ${request.url()}`);
  });
  tab.on('pageerror', (error) => note(`error on ${tab.url()}: ${String(error)}`));
  for (const name of names) {
    looks += 1;
    await tab.goto(`${origin}/${name}`, { waitUntil: 'networkidle0' });
    await tab.evaluate(axe);
    const found = await tab.evaluate(async () => {
      const { violations } = await /** @type {any} */ (window).axe.run(document, {
        resultTypes: ['violations'],
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'],
      });
      const missing = [...document.images].filter(({ naturalWidth }) => naturalWidth === 0);
      const isTooWide = document.documentElement.scrollWidth > window.innerWidth;
      return {
        isTooWide,
        missing: missing.map(({ src }) => src),
        violations: violations.map(
          (/** @type {any} */ v) =>
            `${v.id} (${v.impact}): ${v.nodes
              .slice(0, 2)
              .map((/** @type {any} */ n) => n.target.join(' '))
              .join(', ')}`,
        ),
      };
    });
    const where = `${name}, ${size.name}, ${scheme}`;
    if (found.isTooWide) note(`${where}: wider than the screen`);
    for (const image of found.missing) note(`${where}: no picture at ${image}`);
    for (const violation of found.violations) note(`${where}: ${violation}`);
    if (values.shots && ['index.html', 'grants.html', 'options.html'].includes(name)) {
      mkdirSync(values.shots, { recursive: true });
      await tab.screenshot({
        path: /** @type {`${string}.png`} */ (
          join(values.shots, `${name}-${size.name}-${scheme}.png`)
        ),
      });
    }
  }
  await tab.close();
}
