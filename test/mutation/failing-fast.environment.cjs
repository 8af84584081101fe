const { TestEnvironment } = require('jest-environment-node');
const { activeMutant } = require('./active-mutant.cjs');

/** The mutant whose tests have begun to fail. One module serves every test file of a process. */
let failed;

/** Skips the rest of a file once one test has failed: the mutant is killed, and Jest would go on. */
module.exports = class FailingFastEnvironment extends TestEnvironment {
  async handleTestEvent({ name, test }) {
    const mutant = activeMutant();
    if (mutant === undefined) return;
    if (name === 'test_fn_failure' || name === 'hook_failure') failed = mutant;
    if (name === 'test_start' && failed === mutant) test.mode = 'skip';
  }
};
