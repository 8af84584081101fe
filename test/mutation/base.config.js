import { fileURLToPath } from 'node:url';
import { SOURCES } from '../../jest.config.js';

/** @param {string} name */
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** How tests are run for a mutant: within one process, the quick ones first, until one fails. */
export default {
  ...SOURCES,
  rootDir: here('../..'),
  testRunner: here('failing-fast.jest-circus.cjs'),
  testEnvironment: here('failing-fast.environment.cjs'),
  testSequencer: here('quick-first.sequencer.cjs'),
  // Without `workerIdleMemoryLimit`, which makes Jest start processes of its own.
  maxWorkers: 1,
  coverageProvider: 'v8',
};
