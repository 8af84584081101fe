import { spawnSync } from 'node:child_process';
import { type Browser, launch, type Page } from 'puppeteer-core';

const BINARY = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

if (BINARY === undefined) console.warn('Skipped: what needs a Chromium, for none is installed.');

/** Tests that need a real browser; skipped, with a line that says so, where there is none. */
export const describeInChromium: typeof describe = BINARY ? describe : describe.skip;

/** No sandbox: CI runs as root, and the pages are our own. The rest keeps it from calling home. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function startChromium(): Promise<Browser> {
  const path = spawnSync('which', [BINARY ?? ''], { encoding: 'utf8' }).stdout.trim();
  return await launch({ executablePath: path, args: FLAGS, pipe: true });
}

/** A page, and what became of it. */
export interface VisitedPage {
  readonly page: Page;
  /** Errors and warnings of its console, exceptions, and requests that failed. */
  readonly complaints: readonly string[];
  /** Whom it has asked for anything. */
  readonly origins: ReadonlySet<string>;
}

export async function openPage(browser: Browser): Promise<VisitedPage> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  const origins = new Set<string>();
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  page.on('request', (request) => {
    if (request.url().startsWith('http')) origins.add(new URL(request.url()).origin);
  });
  return { page, complaints, origins };
}
