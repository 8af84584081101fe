import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { ensureKeyFiles } from '../../sample/setup/key-files.js';
import { type Mailbox, startMailbox } from '../../sample/story/mailbox.js';
import { type Answer, call } from '../support/http/http.js';
import { Browser, type Tab } from './browser.js';
import { describeInBrowser } from './chromium-binary.js';
import { startWorld, type World } from './world.js';

// A busy machine is no failure: the browser, and the processes of the sample, take their time there.
jest.setTimeout(600_000);

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const NOTIFICATION_URI = /^https:\/\/herald\.service\/notification\/[0-9a-f-]{36}\/$/;
const userUri = (id: string) => `https://census.service/user/${id}/`;
const OPERATOR = userUri('21');
const MEMBER = userUri('7');
const NEWCOMER = userUri('42');

let keys: string;
let mailbox: Mailbox;
let world: World;

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), 'sample-edge-'));
  ensureKeyFiles(keys);
  mailbox = await startMailbox();
  world = await startWorld(keys, mailbox.url);
});
afterAll(async () => {
  await world.close();
  await mailbox.close();
  rmSync(keys, { recursive: true });
});

/** Asks Edge as its own page does, unless `headers` say otherwise. */
async function ask(
  method: string,
  target: string,
  { content, headers = {} }: { content?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { port, url } = world.edge;
  const type: Record<string, string> =
    content === undefined ? {} : { 'content-type': 'application/json' };
  const body = content === undefined ? undefined : JSON.stringify(content);
  return await call(port, { method, target, headers: { origin: url, ...type, ...headers }, body });
}

/** @returns the cookie, as the browser sends it */
async function logIn(user: string, headers?: Record<string, string>): Promise<string> {
  const answer = await ask('POST', '/session', { content: { user }, headers });
  expect(answer.status).toBe(204);
  return String(answer.headers['set-cookie']?.[0]).split(';', 1)[0] ?? '';
}

const welcome = async (headers: Record<string, string>, order: object = { user: NEWCOMER }) =>
  await ask('POST', '/welcome/', { content: order, headers });
const visitor = async (cookie?: string) =>
  (await ask('GET', '/session', { headers: cookie === undefined ? {} : { cookie } })).json?.[
    'user'
  ];

describe('the login of Edge', () => {
  it('is remembered by a cookie that no script reads and no other site sends', async () => {
    const { headers } = await ask('POST', '/session', { content: { user: OPERATOR } });
    expect(headers['set-cookie']).toEqual([
      expect.stringMatching(/^edge_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    ]);
  });

  it.each([
    ['the operator', OPERATOR, 204],
    ['a member', MEMBER, 204],
    ['a user who is never here', NEWCOMER, 400],
    ['nobody', undefined, 400],
    ['a list', [OPERATOR], 400],
  ])('lets in or keeps out %s', async (_who, user, status) => {
    expect(await ask('POST', '/session', { content: { user } })).toMatchObject({ status });
  });

  it('ends with the log-out, and with another log-in', async () => {
    const first = await logIn(OPERATOR);
    expect(await visitor(first)).toBe(OPERATOR);
    const second = await logIn(MEMBER, { cookie: first });
    expect(await visitor(first)).toBeNull();
    expect(await visitor(`theme=dark; ${second}`)).toBe(MEMBER);
    expect(await ask('DELETE', '/session', { headers: { cookie: second } })).toMatchObject({
      status: 204,
    });
    expect(await visitor(second)).toBeNull();
  });

  it.each([
    ['its own page', (url: string) => ({ origin: url }), 204],
    ['another site', () => ({ origin: 'https://evil.example' }), 403],
    ['another port of this machine', () => ({ origin: 'http://127.0.0.1:1' }), 403],
    ['a name that somebody points here', () => ({ host: 'evil.example' }), 403],
  ])('is open to %s', async (_who, headersAt, status) => {
    const headers: Record<string, string> = headersAt(world.edge.url);
    const answer = await ask('POST', '/session', { content: { user: OPERATOR }, headers });
    expect(answer.status).toBe(status);
  });

  it('leaves its keys to everybody', async () => {
    const headers = { host: 'edge.service' };
    const answer = await call(world.edge.port, { target: '/.well-known/jwks.json', headers });
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'cache-control': 'public, max-age=600' },
    });
  });
});

describe('an order to Edge', () => {
  it.each([
    ['the operator', OPERATOR, NEWCOMER, 201],
    ['a member', MEMBER, NEWCOMER, 403],
    ['a member, for themself', MEMBER, MEMBER, 201],
  ])('of %s goes all the way to Census', async (_who, user, wanted, status) => {
    const answer = await welcome({ cookie: await logIn(user) }, { user: wanted });
    expect(answer.status).toBe(status);
    expect(NOTIFICATION_URI.test(answer.headers.location ?? '')).toBe(status === 201);
  });

  it('is made for the user who is logged in, whatever else it says', async () => {
    const order = { user: NEWCOMER, as: OPERATOR, sub: OPERATOR };
    expect(await welcome({ cookie: await logIn(MEMBER) }, order)).toMatchObject({ status: 403 });
  });

  it.each([
    ['without a session', {}],
    ['with a session of nobody', { cookie: `edge_session=${'x'.repeat(43)}` }],
    ['with an empty one', { cookie: 'edge_session=' }],
  ])('%s is refused', async (_name, headers) => {
    expect(await welcome(headers)).toMatchObject({ status: 401 });
  });

  it('cannot be made at Another: only Edge may call there', async () => {
    const { port } = world.another;
    const headers = { 'content-type': 'application/json', cookie: await logIn(OPERATOR) };
    const body = JSON.stringify({ user: NEWCOMER });
    const order = { method: 'POST', target: '/welcome/', headers, body };
    expect(await call(port, order)).toMatchObject({ status: 401, code: 'token_missing' });
  });
});

describeInBrowser('the page of Edge', () => {
  let browser: Browser;
  let tab: Tab;
  const isVisited = (user: string): string => `document.body?.dataset.user === '${user}'`;
  const text = async (selector: string): Promise<string> =>
    await tab.evaluate(`document.querySelector('${selector}').textContent`);
  const click = async (selector: string): Promise<void> =>
    await tab.evaluate(`document.querySelector('${selector}').click()`);
  const logInAs = async (user: string): Promise<void> => {
    await tab.evaluate(`document.querySelector('#user').value = '${user}'`);
    await click('#log-in button');
    await tab.until(isVisited(user));
  };

  beforeAll(async () => {
    browser = Browser.start();
    tab = await browser.openTab();
  });
  afterAll(async () => await browser.close());
  beforeEach(async () => {
    await tab.send('Network.clearBrowserCookies');
    await tab.open(`${world.edge.url}/`, isVisited('nobody'));
  });

  it('says plainly that the login is a demo', async () => {
    expect(await text('.notice')).toContain('This is a demo login.');
  });

  it('logs in, has user 42 welcomed, and logs out', async () => {
    const mailsBefore = mailbox.received.length;
    await logInAs(OPERATOR);
    expect(await text('#name')).toBe('Operator (21)');
    expect(await tab.evaluate('document.cookie')).toBe('');
    await click('#welcome');
    await tab.until(`document.querySelector('#answer').textContent !== ''`);
    expect(await text('#answer')).toMatch(/^201 https:\/\/herald\.service\/notification\//);
    await mailbox.mailAfter(mailsBefore);
    expect(mailbox.received).toHaveLength(mailsBefore + 1);
    await click('#log-out');
    await tab.until(isVisited('nobody'));
    expect(await tab.evaluate(`document.querySelector('#visit').hidden`)).toBe(true);
  });

  it('shows that a member may not', async () => {
    await logInAs(MEMBER);
    await click('#welcome');
    await tab.until(`document.querySelector('#answer').textContent !== ''`);
    expect(await text('#answer')).toMatch(/^403 /);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
    ['dark', 360],
  ])('has no violation that axe finds, %s at %i pixels', async (scheme, width) => {
    await tab.prefer({ 'prefers-color-scheme': scheme });
    await tab.resize(width, 800);
    await tab.evaluate(readFileSync(AXE, 'utf8'));
    const violations = async (): Promise<string[]> =>
      await tab.evaluate(`axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary].join(' '))))`);
    expect(await violations()).toEqual([]);
    await logInAs(OPERATOR);
    expect(await violations()).toEqual([]);
    const isWider = `document.documentElement.scrollWidth > document.documentElement.clientWidth`;
    expect(await tab.evaluate(isWider)).toBe(false);
    await tab.evaluate(`document.querySelector('#welcome').textContent = ''`);
    expect(await violations()).not.toEqual([]);
  });

  it('asked nobody but its own server', () => {
    expect(tab.requested.length).toBeGreaterThan(0);
    const isElsewhere = (url: string) => !url.startsWith(world.edge.url) && url !== 'data:,';
    expect(tab.requested.filter(isElsewhere)).toEqual([]);
  });
});
