// Takes pictures of the sample's page while the sample is up, in two sizes, light and dark:
// `npm start`, and in another terminal `node test/sample/page-shots.mjs http://127.0.0.1:4100/ <folder>`. Needs Chromium.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from 'puppeteer-core';

const [, , url, folder] = process.argv;
if (url === undefined || folder === undefined) {
  console.error('Write the address of the page, and a folder.');
  process.exit(1);
}
mkdirSync(folder, { recursive: true });

const SIZES = /** @type {const} */ ([
  ['desk', 1280, 900],
  ['phone', 390, 844],
]);
const browser = await launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
for (const [name, width, height] of SIZES) {
  for (const scheme of ['light', 'dark']) await shoot({ name, width, height, scheme });
}
await browser.close();

/** @param {{ name: string, width: number, height: number, scheme: string }} view */
async function shoot({ name, width, height, scheme }) {
  const page = await browser.newPage();
  page.setDefaultTimeout(300_000);
  await page.setViewport({ width, height, isMobile: name === 'phone', hasTouch: name === 'phone' });
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: scheme },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ]);
  await page.goto(String(url));
  await page.waitForSelector('body[data-ready]');
  /** @type {(part: string, isWhole?: boolean) => Promise<void>} */
  const shot = async (part, isWhole = false) => {
    const path = /** @type {`${string}.png`} */ (
      join(String(folder), `${name}-${scheme}-${part}.png`)
    );
    await page.screenshot({ path, fullPage: isWhole });
  };
  /** @type {(selector: string) => Promise<unknown>} */
  const click = async (selector) => await page.evaluate(`${found(selector)}.click()`);
  /** @type {(selector: string) => Promise<unknown>} */
  const scrollTo = async (selector) =>
    await page.evaluate(`${found(selector)}.scrollIntoView({ block: 'start' })`);
  /** @type {(text: string) => Promise<unknown>} */
  const untilStep = async (text) =>
    await page.waitForFunction(`${found('#progress')}.textContent === ${JSON.stringify(text)}`);

  await shot('1-first');
  await click('#play');
  await untilStep('Step 4 of 12');
  await shot('2-playing');
  await untilStep('Step 12 of 12');
  await shot('3-ended');
  for (const id of ['body', 'audience', 'user-absent']) {
    await click(`[data-attempt=${id}] button[type=submit]`);
    await page.waitForSelector(`.current [data-attempt=${id}]`);
    await scrollTo(`[data-attempt=${id}]`);
    await shot(`4-${id}`);
  }
  await click('[data-attempt=replay] .quiet');
  await page.waitForSelector('[data-attempt=replay] .curl pre');
  await click('#more-title');
  await click('[data-switch=replica] [data-action=shared]');
  await page.waitForSelector('.current [data-switch=replica]');
  await page.select('#choice-service', 'herald');
  await click('[data-switch=service] [data-action=stop]');
  await page.waitForSelector('.current [data-switch=service]');
  await page.waitForSelector('[data-service=herald][data-state=stopped]');
  await scrollTo('#switches');
  await shot('5-switches');
  await click('#play');
  await untilStep('Step 5 of 5');
  await shot('6-stopped');
  await shot('7-whole', true);
  await click('[data-switch=service] [data-action=start]');
  await page.waitForSelector('[data-service=herald][data-state=up]');
  await click('[data-switch=replica] [data-action=stop]');
  await page.waitForSelector('[data-switch=replica] [data-action=stop]:disabled');
  await page.close();
}

/** The expression of an element. @param {string} selector */
function found(selector) {
  return `document.querySelector(${JSON.stringify(selector)})`;
}
