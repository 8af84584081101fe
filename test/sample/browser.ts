import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CHROMIUM, CHROMIUM_FLAGS } from './chromium-binary.js';

const FLAGS = ['--headless', ...CHROMIUM_FLAGS, '--no-first-run', '--remote-debugging-pipe'];
const PATIENCE_MILLISECONDS = 180_000; // a busy machine is no failure

export type Params = Readonly<Record<string, unknown>>;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Params;
  readonly result?: Params;
  readonly error?: { readonly message: string };
}

/** Headless Chromium, spoken to in the DevTools protocol over a pipe of its own. */
export class Browser {
  private readonly events = new EventEmitter();
  private readonly pending = new Map<number, (reply: Reply) => void>();
  private lastId = 0;

  private constructor(
    private readonly child: ChildProcess,
    private readonly profile: string,
  ) {
    this.readMessages(child.stdio[4] as Readable);
  }

  static start(): Browser {
    const profile = mkdtempSync(join(tmpdir(), 'browser-'));
    const args = [...FLAGS, `--user-data-dir=${profile}`];
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const;
    return new Browser(spawn(CHROMIUM ?? 'chromium', args, { stdio: [...stdio] }), profile);
  }

  async openTab(): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const attached = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, String(attached['sessionId']));
    await tab.start();
    return tab;
  }

  async send(method: string, params: Params = {}, sessionId?: string): Promise<Params> {
    const id = (this.lastId += 1);
    const reply = new Promise<Reply>((resolve) => this.pending.set(id, resolve));
    (this.child.stdio[3] as Writable).write(
      `${JSON.stringify({ id, method, params, sessionId })}\0`,
    );
    const { result, error } = await reply;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  /** Hears what a tab tells. */
  on(sessionId: string, listener: (method: string, params: Params) => void): void {
    this.events.on(sessionId, listener);
  }

  async close(): Promise<void> {
    const ended = once(this.child, 'exit');
    await this.send('Browser.close');
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10 });
  }

  private readMessages(input: Readable): void {
    let rest = '';
    input.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages)
        this.dispatch(JSON.parse(message) as Reply & { sessionId?: string });
    });
  }

  private dispatch({ sessionId = '', ...reply }: Reply & { sessionId?: string }): void {
    if (reply.id === undefined) {
      this.events.emit(sessionId, reply.method ?? '', reply.params ?? {});
      return;
    }
    this.pending.get(reply.id)?.(reply);
    this.pending.delete(reply.id);
  }
}

/** One page in the browser, with what it complained about and what it asked for. */
export class Tab {
  /** Errors and warnings of the console, exceptions, and violations of the Content-Security-Policy. */
  readonly complaints: string[] = [];
  readonly requested: string[] = [];

  constructor(
    private readonly browser: Browser,
    private readonly sessionId: string,
  ) {}

  async start(): Promise<void> {
    this.browser.on(this.sessionId, (method, params) => this.hear(method, params));
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await this.send(`${domain}.enable`);
  }

  async send(method: string, params?: Params): Promise<Params> {
    return await this.browser.send(method, params, this.sessionId);
  }

  /** Opens a page and waits until the expression is true in it. */
  async open(url: string, isReady: string): Promise<void> {
    await this.send('Page.navigate', { url });
    await this.until(isReady);
  }

  /** The value of an expression in the page, awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, patienceMilliseconds = PATIENCE_MILLISECONDS): Promise<void> {
    const deadline = performance.now() + patienceMilliseconds;
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`))) {
      if (performance.now() > deadline) throw new Error(`It never became true: ${expression}`);
      await sleep(50);
    }
  }

  /** Presses and releases a key: `Tab`, `Enter`, `ArrowDown`. */
  async press(key: string, modifiers = 0): Promise<void> {
    const code = { Tab: 9, Enter: 13, ArrowUp: 38, ArrowDown: 40 }[key];
    const text = key === 'Enter' ? '\r' : undefined;
    const event = { key, code: key, windowsVirtualKeyCode: code, modifiers, text };
    await this.send('Input.dispatchKeyEvent', { ...event, type: 'keyDown' });
    await this.send('Input.dispatchKeyEvent', { ...event, type: 'keyUp', text: undefined });
  }

  /** Gives the page another size, and waits until it is laid out in it. */
  async resize(width: number, height: number, isMobile = false): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: isMobile };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
    await this.until(`matchMedia('(width: ${width}px)').matches`);
    await this.evaluate(`new Promise((done) => requestAnimationFrame(() => setTimeout(done)))`);
  }

  /** Media features: `prefers-color-scheme` and the like. */
  async prefer(features: Readonly<Record<string, string>>): Promise<void> {
    const list = Object.entries(features).map(([name, value]) => ({ name, value }));
    await this.send('Emulation.setEmulatedMedia', { features: list });
  }

  private hear(method: string, params: Params): void {
    if (method === 'Network.requestWillBeSent') {
      this.requested.push((params['request'] as { url: string }).url);
    } else if (method === 'Runtime.exceptionThrown') {
      this.complaints.push(JSON.stringify(params['exceptionDetails']));
    } else if (method === 'Log.entryAdded') {
      this.complaints.push(JSON.stringify(params['entry']));
    } else if (method === 'Runtime.consoleAPICalled') {
      this.complaints.push(`console.${String(params['type'])}: ${JSON.stringify(params['args'])}`);
    }
  }
}
