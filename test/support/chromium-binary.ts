import { spawnSync } from 'node:child_process';

/** The Chromium of this machine; undefined where there is none. */
export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

if (CHROMIUM === undefined) console.warn('Skipped: what needs a chromium, for none is installed.');

/** Tests that need a real browser; skipped, with a line that says so, where there is none. */
export const describeInBrowser: typeof describe = CHROMIUM ? describe : describe.skip;

/** No sandbox: CI runs as root, and the pages are our own. The rest keeps it from calling home. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
