import { spawnSync } from 'node:child_process';
import { type Browser, launch, type Page } from 'puppeteer-core';
import { CHROMIUM, CHROMIUM_FLAGS } from './chromium-binary.js';

export async function startChromium(): Promise<Browser> {
  const path = spawnSync('which', [CHROMIUM ?? ''], { encoding: 'utf8' }).stdout.trim();
  return await launch({ executablePath: path, args: CHROMIUM_FLAGS, pipe: true });
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
  page.setDefaultTimeout(180_000); // a busy machine is no failure
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
