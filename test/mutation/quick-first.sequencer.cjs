const { default: Sequencer } = require('@jest/test-sequencer');

/** @typedef {import('@jest/test-result').Test} Test */

/** These kill most mutants, and the first of them in the shortest time. */
const FIRST = ['attacks.spec.ts', 'memory-replay-store.spec.ts', 'guard-checks.spec.ts'];

/** @param {Test} test */
function rank({ path }) {
  const at = FIRST.findIndex((name) => path.endsWith(`/${name}`));
  return at === -1 ? FIRST.length : at;
}

module.exports = class QuickFirstSequencer extends Sequencer {
  /**
   * @override
   * @param {Test[]} tests
   */
  sort(tests) {
    return tests.toSorted(
      (one, other) => rank(one) - rank(other) || (one.path < other.path ? -1 : 1),
    );
  }
};
