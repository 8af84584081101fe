import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import type { AttemptResult } from '../../sample/page/attempt.service.js';
import { ATTEMPTS } from '../../sample/page/attempts.js';
import type { StoryResult } from '../../sample/page/story.service.js';
import { Browser, type Tab } from './browser.js';
import { describeInBrowser } from './chromium-binary.js';
import { call } from '../support/http/http.js';
import { type PageProcess, startPageProcess } from './page-process.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const READY = "document.body?.dataset.ready === 'yes'";
const OPERATOR = 'https://census.service/user/21/';
const OUTCOMES = ATTEMPTS.map(({ id, expected }) => [id, expected] as const);

let taken: Server;
let page: PageProcess;

beforeAll(async () => {
  taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  page = await startPageProcess(takenPort());
}, 90_000);
afterAll(() => {
  page.remove();
  taken.close();
});

function takenPort(): number {
  return (taken.address() as AddressInfo).port;
}

describe('the page', () => {
  it('takes the next free port when the one it should have is taken, and says so', () => {
    expect(page.port).toBeGreaterThan(takenPort());
    expect(page.printed()).toContain(
      `Port ${takenPort()} (PAGE_PORT) is taken: the page is at ${page.port} instead.`,
    );
    expect(page.printed()).toContain('Ctrl-C stops them');
  });

  it('is reached on 127.0.0.1 alone', async () => {
    const reach = async (host: string): Promise<boolean> => {
      const socket = connect(page.port, host);
      const isReached = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isReached;
    };
    expect(await reach('127.0.0.1')).toBe(true);
    expect(await reach('127.0.0.2')).toBe(false);
  });

  it.each([
    ['its address', (port: number) => `127.0.0.1:${port}`, 200],
    ['localhost', (port: number) => `localhost:${port}`, 200],
    ['a name that somebody points here', (port: number) => `evil.example:${port}`, 403],
    ['another port', (port: number) => `127.0.0.1:${port + 1}`, 403],
    ['its address and no port', () => '127.0.0.1', 403],
  ])('answers to %s', async (_name, hostAt, status) => {
    for (const target of ['/', '/main.js', '/api/world']) {
      const headers = { host: hostAt(page.port) };
      expect(await call(page.port, { target, headers })).toMatchObject({ status });
    }
  });

  it.each([
    ['its own origin', (url: string) => ({ origin: url.slice(0, -1) }), 200],
    ['another origin', () => ({ origin: 'https://evil.example' }), 403],
    ['the origin of a file', () => ({ origin: 'null' }), 403],
    ['no origin', () => ({}), 403],
  ])('is told what to do by %s', async (_name, headersAt, status) => {
    const headers = { 'content-type': 'application/json', ...headersAt(page.url) };
    const body = JSON.stringify({ id: 'missing' });
    const request = { method: 'POST', target: '/api/attempts', headers, body };
    expect(await call(page.port, request)).toMatchObject({ status });
  });

  it.each<[string, unknown, number]>([
    ['as it should be', { id: 'body', input: '{}' }, 200],
    ['of another name', { id: 'constructor' }, 400],
    ['without a name', {}, 400],
    ['that is no object', null, 400],
    ['with input where none is taken', { id: 'missing', input: 'x' }, 400],
    ['with input that is no text', { id: 'body', input: { length: 1 } }, 400],
    ['with too much input', { id: 'body', input: 'x'.repeat(1001) }, 400],
    ['as large as nobody asked for', { id: 'body', input: 'x'.repeat(5000) }, 413],
    ['with another path', { id: 'path', input: '/notification' }, 200],
    ['with a path of another kind', { id: 'path', input: '/.well-known/jwks.json' }, 400],
    ['with a path on another host', { id: 'path', input: '//evil.example/notification/' }, 400],
    ['with a path that climbs', { id: 'path', input: '/notification/../' }, 400],
    ['with another user', { id: 'user', input: 'https://census.service/user/42/' }, 200],
    ['with a user nobody knows', { id: 'user', input: 'https://evil.example/' }, 400],
  ])('takes or refuses an attempt %s', async (_name, content, status) => {
    expect(await page.post('/api/attempts', content)).toMatchObject({ status });
  });

  it('takes no form', async () => {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: page.url.slice(0, -1),
    };
    const request = { method: 'POST', target: '/api/attempts', headers, body: 'id=missing' };
    expect(await call(page.port, request)).toMatchObject({ status: 400 });
  });

  it('lets the browser load nothing from elsewhere, and nobody frame it', async () => {
    const { headers } = await call(page.port, { target: '/' });
    const policy = String(headers['content-security-policy']).split('; ');
    expect(policy).toEqual(
      expect.arrayContaining(["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]),
    );
    expect(policy.join()).not.toMatch(/unsafe|https?:|\*/);
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff' });
  });

  it.each([
    ['21', 201, 9],
    ['7', 403, 8],
  ])('plays the story for user %s', async (user, status, steps) => {
    const as = `https://census.service/user/${user}/`;
    const answer = await page.post('/api/story', { as });
    const story = answer.json as unknown as StoryResult;
    expect(story.steps).toHaveLength(steps);
    expect(story.steps.at(-1)).toMatchObject({ from: 'edge', to: 'you', status });
    const tokens = story.steps.flatMap(({ token }) => token ?? []);
    expect(tokens.map(({ claims }) => [claims?.['iss'], claims?.['aud'], claims?.['sub']])).toEqual(
      [
        ['https://edge.service/', 'https://another.service/', as],
        ['https://another.service/', 'https://herald.service/', as],
        ['https://herald.service/', 'https://census.service/', as],
      ],
    );
    const grants = tokens.map(({ grant }) => grant);
    expect(grants[0]).toMatchObject({ iss: 'https://edge.service/', sub: as });
    expect(grants).toEqual([grants[0], grants[0], grants[0]]);
    expect(answer.text).not.toContain('PRIVATE KEY');
  });

  it.each([`${OPERATOR}x`, 'https://census.service/user/42/'])(
    'plays no story for %s, who cannot log in',
    async (as) => {
      expect(await page.post('/api/story', { as })).toMatchObject({ status: 400 });
    },
  );

  it.each(OUTCOMES)('gets the stated answer to the attempt %s', async (id, expected) => {
    const { status, json, text } = await page.post('/api/attempts', { id });
    expect(status).toBe(200);
    const { exchanges } = json as unknown as AttemptResult;
    const last = exchanges.at(-1);
    expect([last?.answer.status, last?.answer.code].filter(Boolean).join(' ')).toBe(expected);
    expect(text).not.toMatch(/PRIVATE KEY|"d":/);
  });
});

describeInBrowser('the page in a browser', () => {
  let browser: Browser;
  let tab: Tab;
  beforeAll(async () => {
    browser = Browser.start();
    tab = await browser.openTab();
    await tab.resize(1280, 900);
    await tab.prefer({ 'prefers-reduced-motion': 'reduce' });
  }, 60_000);
  afterAll(async () => await browser.close());
  beforeEach(async () => await tab.open(page.url, READY));

  const click = async (selector: string): Promise<void> =>
    await tab.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  const attempt = async (id: string): Promise<string> => {
    await tab.evaluate(`delete document.querySelector('#result').dataset.outcome`);
    await click(`[data-attempt=${id}] button`);
    await tab.until(`document.querySelector('#result').dataset.outcome`);
    return await tab.evaluate(`document.querySelector('#result').dataset.outcome`);
  };
  const untilFocused = async (selector: string): Promise<void> => {
    for (let presses = 0; presses < 80; presses += 1) {
      await tab.press('Tab');
      if (await tab.evaluate(`document.activeElement?.matches(${JSON.stringify(selector)})`))
        return;
    }
    throw new Error(`Tab never reached ${selector}`);
  };
  const isWider = `document.documentElement.scrollWidth > document.documentElement.clientWidth`;

  it('plays the story to its end by itself', async () => {
    await click('#play');
    await tab.until(`document.querySelector('#progress').textContent === 'Step 9 of 9'`);
    expect(await tab.evaluate(`document.querySelectorAll('.arrow.shown').length`)).toBe(9);
    expect(await tab.evaluate(`document.querySelector('#step-detail h3').textContent`)).toBe('201');
    expect(await tab.evaluate(`document.querySelector('#next').disabled`)).toBe(true);
  });

  it.each(OUTCOMES)('shows the stated answer to the attempt %s', async (id, expected) => {
    expect(await attempt(id)).toBe(expected);
    const said = await tab.evaluate(`document.querySelector('#attempt-status').textContent`);
    expect(said).toContain(expected);
    const refusing = await tab.evaluate(`document.querySelectorAll('.checks .failed').length`);
    expect(refusing).toBe(expected.startsWith('2') ? 0 : 1);
  });

  it('can be used with the keyboard alone', async () => {
    await tab.press('Tab');
    expect(await tab.evaluate(`document.activeElement.textContent`)).toBe('Skip to the content');
    await untilFocused('#play');
    await tab.press('Enter');
    await tab.until(`document.querySelector('#next').disabled === false`);
    await untilFocused('#next');
    await tab.press('Enter');
    await untilFocused('.arrow');
    await tab.press('ArrowUp');
    expect(await tab.evaluate(`document.querySelector('#progress').textContent`)).toBe(
      'Step 1 of 9',
    );
    await untilFocused('[data-attempt=replay] button');
    await tab.press('Enter');
    await tab.until(`document.querySelector('#result').dataset.outcome`);
    expect(await tab.evaluate(`document.querySelector('#result').dataset.outcome`)).toBe(
      '401 token_replayed',
    );
  });

  it('says so when the input of an attempt is not accepted, and sends nothing', async () => {
    await tab.evaluate(`document.querySelector('#input-path').value = '/elsewhere/'`);
    await click('[data-attempt=path] button');
    expect(await tab.evaluate(`document.querySelector('#input-path').matches(':invalid')`)).toBe(
      true,
    );
    expect(await tab.evaluate(`'outcome' in document.querySelector('#result').dataset`)).toBe(
      false,
    );
  });

  it('is no wider than a phone of 360 pixels', async () => {
    await tab.resize(360, 740, true);
    try {
      expect(await tab.evaluate(isWider)).toBe(false);
      await click('#play');
      await tab.until(`document.querySelector('#progress').textContent === 'Step 2 of 9'`);
      await attempt('body');
      expect(await tab.evaluate(isWider)).toBe(false);
      await tab.evaluate(`document.body.append(
        Object.assign(document.createElement('p'), { className: 'wrap', textContent: 'x'.repeat(400) }))`);
      expect(await tab.evaluate(isWider)).toBe(true);
    } finally {
      await tab.resize(1280, 900);
    }
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ])('has no violation that axe finds, %s at %i pixels', async (scheme, width) => {
    await tab.prefer({ 'prefers-color-scheme': scheme, 'prefers-reduced-motion': 'reduce' });
    await tab.resize(width, 900);
    await tab.evaluate(readFileSync(AXE, 'utf8'));
    const violations = async (): Promise<string[]> =>
      await tab.evaluate(`axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary].join(' '))))`);
    expect(await violations()).toEqual([]);
    await click('#play');
    await tab.until(`document.querySelector('#next').disabled === false`);
    for (let step = 1; step < 9; step += 1) await click('#next');
    await attempt('body');
    expect(await violations()).toEqual([]);
    await click('#back');
    await attempt('untouched');
    await attempt('user-absent');
    expect(await violations()).toEqual([]);
    await tab.evaluate(`document.querySelector('#play').textContent = ''`);
    expect(await violations()).not.toEqual([]);
  });

  it('complained about nothing, and asked nobody but its own server', () => {
    expect(tab.complaints).toEqual([]);
    expect(tab.requested.length).toBeGreaterThan(0);
    expect(tab.requested.filter((url) => !url.startsWith(page.url))).toEqual([]);
  });
});

describe('at Ctrl-C', () => {
  it('ends, and the page with it', async () => {
    expect(await page.interrupt()).toBe(0);
    await expect(call(page.port, { target: '/' })).rejects.toThrow('ECONNREFUSED');
  });
});
