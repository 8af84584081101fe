import { Browser, type Tab } from './browser.js';
import { type PageProcess, startPageProcess } from './page-process.js';

const READY = "document.body?.dataset.ready === 'yes'";

/** A rotation waits until caches have turned over. */
const SWITCH_PATIENCE_MILLISECONDS = 300_000;

/** The sizes at which the page is looked at: a small desktop, and a phone. */
export const SIZES = [
  ['a desktop', 1280, 900],
  ['a phone', 390, 844],
] as const;

/** The page of a sample that runs for one spec, in a browser. */
export class PageVisit {
  private constructor(
    readonly sample: PageProcess,
    private readonly browser: Browser,
    readonly tab: Tab,
  ) {}

  static async start(): Promise<PageVisit> {
    const browser = Browser.start();
    const [sample, tab] = await Promise.all([startPageProcess(0), browser.openTab()]);
    await tab.prefer({ 'prefers-reduced-motion': 'reduce' });
    return new PageVisit(sample, browser, tab);
  }

  /** Loads the page anew. */
  async open(width = 1280, height = 900): Promise<void> {
    await this.tab.resize(width, height, width < 500);
    await this.tab.open(this.sample.url, READY);
  }

  async click(selector: string): Promise<void> {
    await this.tab.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  async textOf(selector: string): Promise<string> {
    return await this.tab.evaluate(
      `document.querySelector(${JSON.stringify(selector)}).textContent`,
    );
  }

  /** Plays the story, and waits until it shows a step. */
  async playUntil(progress: string): Promise<void> {
    await this.click('#play');
    await this.tab.until(
      `document.querySelector('#progress').textContent === ${JSON.stringify(progress)}`,
    );
  }

  /** Sends an attempt. @returns the outcome on its card */
  async attempt(id: string): Promise<string> {
    const result = `[data-attempt=${id}]`;
    await this.tab.evaluate(
      `document.querySelector('${result}').closest('ul').querySelector(':scope > .result')?.remove()`,
    );
    await this.click(`${result} button[type=submit]`);
    await this.tab.until(`document.querySelector('li:has(${result}) + .result')`);
    return await this.textOf(`${result} .outcome`);
  }

  /** Turns a switch. @returns the verdicts of the next calls */
  async turn(id: string, action: string, choice?: string): Promise<string[]> {
    if (choice !== undefined) {
      await this.tab.evaluate(`document.querySelector('#choice-${id}').value = '${choice}'`);
    }
    await this.tab.evaluate(`document.querySelector('#switch-list > .result')?.remove()`);
    const button = `[data-switch=${id}] [data-action=${action}]`;
    await this.tab.until(`document.querySelector('${button}').disabled === false`);
    await this.click(button);
    await this.tab.until(
      `document.querySelector('[data-switch=${id}] .working').textContent === '' &&
        document.querySelector('li:has([data-switch=${id}]) + .result')`,
      SWITCH_PATIENCE_MILLISECONDS,
    );
    return await this.tab.evaluate(
      `[...document.querySelectorAll('#switch-list > .result [data-verdict]')].map((item) => item.dataset.verdict)`,
    );
  }

  /** Waits until the page shows a service in a state. */
  async untilState(service: string, state: string): Promise<void> {
    await this.tab.until(
      `document.querySelector('[data-service=${service}]').dataset.state === '${state}'`,
    );
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.sample.remove();
  }
}
