/** @import { Party } from '../steps.js' */
/** @import { State } from '../state.service.js' */

/** Who takes part, from left to right: id, name, and what it does. @type {readonly [Party, string, string][]} */
export const PARTIES = [
  ['you', 'You', 'browser'],
  ['edge', 'Edge', 'login'],
  ['another', 'Another', 'orders'],
  ['herald', 'Herald', 'mail queue'],
  ['census', 'Census', 'knows users'],
  ['courier', 'Courier', 'writes mail'],
  ['mail', 'Mail', 'server'],
];

/** @param {Party} party */
export function nameOf(party) {
  return PARTIES.find(([id]) => id === party)?.[1] ?? party;
}

/** @type {Readonly<Record<State['services'][number]['state'], string>>} */
const STATE_WORDS = {
  up: 'up',
  silent: 'no answer',
  starting: 'starting',
  stopped: 'stopped',
  failed: 'failed',
};

/** @param {State['services'][number]['state']} state */
export function stateWords(state) {
  return STATE_WORDS[state];
}
