import { spawnSync } from 'node:child_process';
import { whereThereIs } from '../support/processes/where-there-is.js';

/** The Chromium of this machine; undefined where there is none. */
export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);

/** Tests that need a real browser. */
export const describeInBrowser = whereThereIs(CHROMIUM !== undefined, 'a chromium', describe);

/** No sandbox: CI runs as root, and the pages are our own. The rest keeps it from calling home. */
export const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
