const { TestEnvironment } = require('jest-environment-node');
const { activeMutant } = require('./active-mutant.cjs');

/** @typedef {import('@jest/types').Circus.AsyncEvent} AsyncEvent */
/** @typedef {import('@jest/types').Circus.SyncEvent} SyncEvent */

/**
 * The mutant whose tests have begun to fail. One module serves every test file of a process.
 *
 * @type {string | undefined}
 */
let failed;

/** Skips the rest of a file once one test has failed: the mutant is killed, and Jest would go on. */
module.exports = class FailingFastEnvironment extends TestEnvironment {
  /** @param {AsyncEvent | SyncEvent} event */
  handleTestEvent(event) {
    const mutant = activeMutant();
    if (mutant === undefined) return;
    if (event.name === 'test_fn_failure' || event.name === 'hook_failure') failed = mutant;
    if (event.name === 'test_start' && failed === mutant) event.test.mode = 'skip';
  }
};
