import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Browser, Page } from 'puppeteer-core';
import { AppModule as HeraldModule } from '../../sample/herald/app.module.js';
import { serveDocumentation } from '../../sample/herald/documentation.js';
import { ensureKeyFiles } from '../../sample/setup/key-files.js';
import { describeInBrowser } from './chromium-binary.js';
import { openPage, startChromium } from './chromium.js';
import { type OpenMailQueue, openMailQueue } from './mail-queue-place.js';
import { call } from '../support/http/http.js';
import { operationAt, problemsOf, responseOf } from '../support/http/openapi.js';
import { startService, type TestService } from '../support/services/service.js';

// A busy machine is no failure: the browser, and the processes of the sample, take their time there.
jest.setTimeout(600_000);

const nowhere = 'http://127.0.0.1:9/';
const TOKEN = { 'service-jwt': [] };

let keys: string;
let herald: TestService;
let queue: OpenMailQueue;

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), 'sample-docs-'));
  ensureKeyFiles(keys);
  const baseUrls = {
    census: nowhere,
    herald: nowhere,
    another: nowhere,
    edge: nowhere,
    courier: nowhere,
  };
  queue = await openMailQueue();
  const module = HeraldModule.register({ baseUrls, keys, mailQueue: queue.place });
  herald = await startService({
    adapter: 'express',
    imports: [module],
    configure: serveDocumentation,
  });
});
afterAll(async () => {
  await herald.close();
  await queue.close();
  rmSync(keys, { recursive: true });
});

/** The text of an element, once it is there. */
async function textOf(page: Page, selector: string): Promise<string> {
  await page.waitForSelector(selector);
  return String(await page.evaluate(`document.querySelector('${selector}').textContent`));
}

describe('the document of Herald', () => {
  it('is served to whoever has no token, as its routes are not', async () => {
    expect(await call(herald.port, { target: '/docs' })).toMatchObject({ status: 200 });
    expect(await call(herald.port, { target: '/docs-json' })).toMatchObject({ status: 200 });
    expect(await call(herald.port, { target: '/notification/1/' })).toMatchObject({
      status: 401,
      code: 'token_missing',
    });
  });

  it('is valid, and says what the guard asks for and answers beside what the handlers do', async () => {
    const { text } = await call(herald.port, { target: '/docs-json' });
    const document = JSON.parse(text) as OpenAPIObject;
    expect(await problemsOf(document)).toEqual([]);
    const create = operationAt(document, '/notification', 'post');
    expect(create.security).toEqual([TOKEN]);
    expect(operationAt(document, '/notification/{id}').security).toEqual([TOKEN]);
    expect(Object.keys(create.responses).map(Number)).toEqual([
      201, 400, 401, 403, 404, 413, 415, 431, 502, 503,
    ]);
    expect(responseOf(document, create, 403)?.description).toBe(
      'The user of the call may not see the one to notify. Or: The service token is good, and policy says no.',
    );
  });
});

describeInBrowser('Swagger UI of Herald', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startChromium();
  });
  afterAll(() => browser.close());

  it('would hear a page that complains', async () => {
    const { page, complaints } = await openPage(browser);
    await page.setContent('<script>console.error("one"); throw new Error("two");</script>');
    await page.setContent(`<img src="${nowhere}">`);
    expect(complaints.join()).toMatch(/one.*two.*127\.0\.0\.1:9/s);
    await page.close();
  });

  it.each([
    ['a desktop', { width: 1280, height: 900 }],
    ['a phone', { width: 390, height: 844, isMobile: true, hasTouch: true }],
  ])('shows the header and the refusals on %s, without a complaint', async (_title, viewport) => {
    const { page, complaints, origins } = await openPage(browser);
    await page.setViewport(viewport);
    await page.goto(`${herald.url}/docs`, { waitUntil: 'networkidle0' });

    await page.locator('.scheme-container button.authorize').click();
    const scheme = await textOf(page, '.dialog-ux');
    expect(scheme).toContain('service-jwt');
    expect(scheme).toMatch(/Name:\s*JWT/);
    expect(scheme).toMatch(/In:\s*header/);
    expect(scheme).toContain('signs for this one request');
    await page.locator('.dialog-ux button.close-modal').click();

    await page.locator('.opblock-post .opblock-summary-control').click();
    const responses = await textOf(page, '.opblock-post .responses-table');
    for (const description of [
      'There is no service token, or one that proves nothing here.',
      'Or: The service token is good, and policy says no.',
      'This service cannot decide at the moment.',
      'WWW-Authenticate',
      'Retry-After',
      'token_missing',
      'issuer_not_allowed',
      'key_unavailable',
    ]) {
      expect(responses).toContain(description);
    }
    const isTooWide: unknown = await page.evaluate(
      'document.documentElement.scrollWidth > document.documentElement.clientWidth',
    );
    expect({ complaints, isTooWide }).toEqual({ complaints: [], isTooWide: false });
    expect([...origins]).toEqual([herald.url]);
    await page.close();
  });
});
