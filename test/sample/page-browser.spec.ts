import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { jest } from '@jest/globals';
import { ATTEMPTS } from '../../sample/page/attempts.js';
import type { Tab } from './browser.js';
import { describeInBrowser } from './chromium-binary.js';
import { PageVisit, SIZES } from './page-visit.js';

// A busy machine is no failure: the browser, and the processes of the sample, take their time there.
jest.setTimeout(600_000);

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const OUTCOMES = ATTEMPTS.map(({ id, expected }) => [id, expected] as const);
const IS_WIDER = `document.documentElement.scrollWidth > document.documentElement.clientWidth`;
const ON_SCREEN = (selector: string, least: number): string => `(() => {
  const { top, bottom } = document.querySelector('${selector}').getBoundingClientRect();
  return Math.min(bottom, innerHeight) - Math.max(top, 0) >= Math.min(${least}, bottom - top);
})()`;
/** The texts of the diagram that a lifeline runs through, or that leave it. */
const RUN_OVER = `[...document.querySelectorAll('#diagram .line')].filter((text) => {
  const one = text.getBoundingClientRect();
  const outer = document.querySelector('#diagram svg').getBoundingClientRect();
  if (one.left < outer.left || one.right > outer.right + 1) return true;
  return [...document.querySelectorAll('#diagram .lifeline')].some((line) => {
    const other = line.getBoundingClientRect();
    return one.left < other.right && one.right > other.left && one.top < other.bottom && one.bottom > other.top;
  });
}).map((text) => text.textContent)`;

describeInBrowser('the page in a browser', () => {
  let visit: PageVisit;
  let tab: Tab;
  beforeAll(async () => {
    visit = await PageVisit.start();
    tab = visit.tab;
  });
  afterAll(async () => await visit.close());
  beforeEach(async () => await visit.open());

  const untilFocused = async (selector: string): Promise<void> => {
    for (let presses = 0; presses < 120; presses += 1) {
      await tab.press('Tab');
      if (await tab.evaluate(`document.activeElement?.matches(${JSON.stringify(selector)})`))
        return;
    }
    throw new Error(`Tab never reached ${selector}`);
  };
  const unfold = async (): Promise<void> =>
    await tab.evaluate(`document.querySelector('#more-attempts').open = true`);

  it('plays the story to its end by itself', async () => {
    await visit.playUntil('Step 12 of 12');
    expect(await tab.evaluate(`document.querySelectorAll('.arrow.shown').length`)).toBe(12);
    expect(await visit.textOf('#step-words .step-line')).toBe('Welcome, Census User');
    expect(await tab.evaluate(`document.querySelector('#next').disabled`)).toBe(true);
  });

  it.each(SIZES)('shows the story first on %s', async (_name, width, height) => {
    await visit.open(width, height);
    const bottomOf = async (selector: string): Promise<number> =>
      await tab.evaluate(`document.querySelector('${selector}').getBoundingClientRect().bottom`);
    expect(await bottomOf('#play')).toBeLessThan(500);
    expect(await bottomOf('#diagram')).toBeLessThan(height);
    const boxes = `[...document.querySelectorAll('.party-name')].map((name) => name.textContent)`;
    expect(await tab.evaluate(boxes)).toEqual([
      'You',
      'Edge',
      'Another',
      'Herald',
      'Census',
      'Courier',
      'Mail',
    ]);
    const longWords = `document.body.innerText.match(/\\S{40,}/g)`;
    expect(await tab.evaluate(longWords)).toBeNull();
  });

  it.each(SIZES)(
    'keeps the diagram and the token on the screen of %s while the story plays',
    async (_name, width, height) => {
      await visit.open(width, height);
      await visit.playUntil('Step 4 of 12');
      expect(await tab.evaluate(ON_SCREEN('#diagram', 390))).toBe(true);
      expect(await tab.evaluate(ON_SCREEN('#step-token .raw', 80))).toBe(true);
      await tab.until(`document.querySelector('#progress').textContent === 'Step 12 of 12'`);
      expect(await tab.evaluate(ON_SCREEN('#diagram', 390))).toBe(true);
      expect(await tab.evaluate(ON_SCREEN('#step-token .raw', 80))).toBe(true);
      expect(await visit.textOf('.token-title')).toBe('The token of Courier for Census');
    },
  );

  it('shows the raw token beside what is in it', async () => {
    await visit.playUntil('Step 4 of 12');
    const raw = await visit.textOf('#step-token .raw');
    const [, claims = ''] = raw.split('.');
    const { jti } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { jti: string };
    expect(await visit.textOf('#step-token .part-claims')).toContain(jti);
    const topOf = (selector: string): string =>
      `document.querySelector('#step-token ${selector}').getBoundingClientRect().top`;
    expect(
      await tab.evaluate(`Math.abs(${topOf('.raw-box')} - ${topOf('.decoded')})`),
    ).toBeLessThan(20);
  });

  it.each([1280, 700, 390, 320, 200])(
    'draws a diagram of %i pixels without negative widths, or labels on lifelines',
    async (width) => {
      await visit.open(width, 844);
      await visit.playUntil('Step 12 of 12');
      expect(await tab.evaluate(width < 320 ? '[]' : RUN_OVER)).toEqual([]);
      const negative = `[...document.querySelectorAll('rect')].filter((rect) => Number(rect.getAttribute('width')) < 0).length`;
      expect(await tab.evaluate(negative)).toBe(0);
      await tab.evaluate(`document.querySelector('#diagram .line').setAttribute('x', 500)`);
      if (width === 1280) expect(await tab.evaluate(RUN_OVER)).not.toEqual([]);
    },
  );

  it.each(OUTCOMES)('shows the stated answer to the attempt %s', async (id, expected) => {
    await unfold();
    expect(await visit.attempt(id)).toBe(expected);
    expect(await visit.textOf('#call-status')).toContain(expected);
    const refusing = await tab.evaluate(`document.querySelectorAll('.checks .failed').length`);
    expect(refusing).toBe(expected.startsWith('2') ? 0 : 1);
  });

  it('has three attempts first, and folds twelve', async () => {
    const ids = `[...document.querySelectorAll('#first-attempts form')].map((form) => form.dataset.attempt)`;
    expect(await tab.evaluate(ids)).toEqual(['body', 'replay', 'audience']);
    expect(await visit.textOf('#more-title')).toBe('Twelve more attempts');
    const folded = `document.querySelector('[data-attempt=stranger]').checkVisibility()`;
    expect(await tab.evaluate(folded)).toBe(false);
    await visit.click('#more-title');
    expect(await tab.evaluate(folded)).toBe(true);
  });

  it('marks the characters that differ', async () => {
    await visit.attempt('body');
    const marked = `[...document.querySelectorAll('.difference:nth-of-type(2) dd')].map((value) =>
      [...value.querySelectorAll('mark')].map((mark) => mark.textContent).join())`;
    expect(await tab.evaluate(marked)).toEqual(['42', '7']);
    await visit.attempt('audience');
    expect(await tab.evaluate(`document.querySelectorAll('.difference mark').length`)).not.toBe(0);
    await visit.attempt('replay');
    expect(await tab.evaluate(`document.querySelectorAll('.difference mark').length`)).toBe(0);
  });

  it.each(SIZES)('shows a result on %s under its card', async (_name, width, height) => {
    await visit.open(width, height);
    for (const id of ['body', 'user-absent']) {
      await visit.attempt(id);
      const gap = `document.querySelector('li:has([data-attempt=${id}]) + .result').getBoundingClientRect().top -
        document.querySelector('[data-attempt=${id}]').getBoundingClientRect().bottom`;
      expect(await tab.evaluate(gap)).toBeLessThan(40);
      expect(await tab.evaluate(ON_SCREEN(`li:has([data-attempt=${id}]) + .result`, 100))).toBe(
        true,
      );
    }
  });

  it('shows the whole body in its box', async () => {
    for (const [, width, height] of SIZES) {
      await visit.open(width, height);
      const box = `document.querySelector('#input-body')`;
      await tab.until(`${box}.scrollHeight <= ${box}.clientHeight`);
      expect(await tab.evaluate(`${box}.scrollWidth <= ${box}.clientWidth`)).toBe(true);
    }
  });

  it('shows a command for curl, and says that its token counts once', async () => {
    await visit.click('[data-attempt=replay] .quiet');
    await tab.until(`document.querySelector('[data-attempt=replay] .curl pre')`);
    expect(await visit.textOf('[data-attempt=replay] .curl pre')).toMatch(/^curl -i .*\n/);
    expect(await visit.textOf('[data-attempt=replay] .curl p')).toMatch(/counts once, until \d\d:/);
    await unfold();
    await visit.click('[data-attempt=missing] .quiet');
    await tab.until(`document.querySelector('[data-attempt=missing] .curl pre')`);
    expect(await visit.textOf('[data-attempt=missing] .curl p')).toContain('it has no token');
  });

  it('can be used with the keyboard alone', async () => {
    await tab.press('Tab');
    expect(await tab.evaluate(`document.activeElement.textContent`)).toBe('Skip to the content');
    await untilFocused('#play');
    await tab.press('Enter');
    await tab.until(`document.querySelector('#next').disabled === false`);
    await untilFocused('.arrow');
    await tab.press('ArrowDown');
    await tab.press('ArrowUp');
    expect(await visit.textOf('#progress')).toBe('Step 1 of 12');
    await untilFocused('#next');
    await tab.press('Enter');
    expect(await visit.textOf('#progress')).toBe('Step 2 of 12');
    await untilFocused('[data-attempt=replay] button');
    await tab.press('Enter');
    await tab.until(`document.querySelector('#first-attempts > .result')`);
    expect(await visit.textOf('[data-attempt=replay] .outcome')).toBe('401 token_replayed');
    await untilFocused('[data-switch=user] button');
    await tab.press('Enter');
    await tab.until(`document.querySelector('#switch-list > .result')`);
  });

  it('says so when the input of an attempt is not accepted, and sends nothing', async () => {
    await unfold();
    await tab.evaluate(`document.querySelector('#input-path').value = '/elsewhere/'`);
    await visit.click('[data-attempt=path] button[type=submit]');
    expect(await tab.evaluate(`document.querySelector('#input-path').matches(':invalid')`)).toBe(
      true,
    );
    expect(await tab.evaluate(`document.querySelectorAll('.result').length`)).toBe(0);
  });

  it('links to pages that it serves', async () => {
    const links = `[...document.querySelectorAll('#links a')].map((link) => link.href)`;
    const urls = await tab.evaluate<string[]>(links);
    expect(urls.length).toBeGreaterThan(3);
    for (const url of urls) {
      expect(url).toContain(visit.sample.url);
      expect((await fetch(url)).status).toBe(200);
    }
  });

  it.each([1280, 390, 360])('is no wider than %i pixels', async (width) => {
    await visit.open(width, 844);
    await unfold();
    expect(await tab.evaluate(IS_WIDER)).toBe(false);
    await visit.playUntil('Step 2 of 12');
    await visit.attempt('body');
    await visit.attempt('hour-later');
    await visit.click('[data-attempt=replay] .quiet');
    await tab.until(`document.querySelector('[data-attempt=replay] .curl pre')`);
    await visit.turn('user', 'call');
    expect(await tab.evaluate(IS_WIDER)).toBe(false);
    await tab.evaluate(`document.body.append(
      Object.assign(document.createElement('p'), { className: 'wrap', textContent: 'x'.repeat(400) }))`);
    expect(await tab.evaluate(IS_WIDER)).toBe(true);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ])('has no violation that axe finds, %s at %i pixels', async (scheme, width) => {
    await tab.prefer({ 'prefers-color-scheme': scheme, 'prefers-reduced-motion': 'reduce' });
    await visit.open(width, 900);
    await tab.evaluate(readFileSync(AXE, 'utf8'));
    const violations = async (): Promise<string[]> =>
      await tab.evaluate(`axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary].join(' '))))`);
    expect(await violations()).toEqual([]);
    await unfold();
    await visit.playUntil('Step 2 of 12');
    for (let step = 2; step < 12; step += 1) await visit.click('#next');
    await visit.attempt('body');
    await visit.attempt('user-absent');
    await visit.click('[data-attempt=replay] .quiet');
    await tab.until(`document.querySelector('[data-attempt=replay] .curl pre')`);
    await visit.turn('user', 'call', 'https://census.service/user/7/');
    expect(await violations()).toEqual([]);
    await visit.attempt('untouched');
    await visit.attempt('replay');
    expect(await violations()).toEqual([]);
    await tab.evaluate(`document.querySelector('#play').textContent = ''`);
    expect(await violations()).not.toEqual([]);
  });

  it('complained about nothing, and asked nobody but its own server', () => {
    expect(tab.complaints).toEqual([]);
    expect(tab.requested.length).toBeGreaterThan(0);
    expect(tab.requested.filter((url) => !url.startsWith(visit.sample.url))).toEqual([]);
  });
});
