/** @typedef {typeof import('../../test/support/chaos/verdict.js')} Verdicts */
/** @typedef {Pick<import('../../test/support/chaos/verdict.js').Evidence, 'uses' | 'lines' | 'leaseMilliseconds'>} Evidence */
/** @typedef {Evidence & { incidents: import('./incidents.mjs').Incidents, unsigned?: number, deadLetters?: number }} Outcome */

/**
 * Prints what became of each message.
 *
 * @param {string} title
 * @param {number} seconds how long it took
 * @param {import('./compiled.mjs').Compiled} compiled
 * @param {Outcome} outcome
 * @returns {Promise<boolean>} whether all is as it must be
 */
export async function report(title, seconds, compiled, outcome) {
  const { judge } = /** @type {Verdicts} */ (await compiled.load('test/support/chaos/verdict.ts'));
  const { uses, lines, incidents, unsigned = 0, deadLetters = 0 } = outcome;
  const verdict = judge(outcome);
  const { once, never, twice, surplus, unexplained, reservedWhenDone, untold, killed } = verdict;
  const effects = lines.filter(({ step }) => step === 'effect').length;
  console.log(`${title}, in ${seconds.toFixed(0)} s:`);
  console.table({
    messages: uses.length,
    'runs of handlers': lines.filter(({ step }) => step === 'reserved').length,
    'processes killed': incidents.killedAt.size,
    '  before the effect of a handler': killed.before,
    '  after it, before it knew of its commit': killed.after,
    'processes stopped': incidents.stops.length,
    'processes that stood still by themselves': verdict.stalls,
    effects,
    'messages with one effect': once,
    '  with none': never,
    '  with more than one': twice,
    'effects too many: crash between effect and commit': surplus.byCrash,
    '  stopped beyond the lease, reported as lease_lost': surplus.byStop,
    '  nothing explains them': unexplained.length,
    'reserved again when done': reservedWhenDone.length,
    'lost leases without their event': untold,
    'unsigned messages': unsigned,
    '  dead-lettered': deadLetters,
  });
  const isExplained = effects === uses.length - never + surplus.byCrash + surplus.byStop;
  const wrong = [never, unexplained.length, reservedWhenDone.length, untold];
  const isKilledInside = killed.before + killed.after === incidents.killedAt.size;
  const isDead = unsigned === deadLetters;
  return isExplained && isKilledInside && isDead && wrong.every((count) => count === 0);
}
