import { differenceView } from './difference-view.js';
import { element } from './dom.js';
import { nameOf } from './parties.js';
import { sentView } from './result-view.js';

/** @import { Outcome, SwitchResult } from '../switches/outcome.js' */
/** @import { Step } from '../steps.js' */

/** What was done, and what happened to the next calls. @param {SwitchResult} result */
export function switchResultView({ told, outcomes }) {
  return [
    element('p', { class: 'told' }, told),
    element('ol', { class: 'outcomes' }, ...outcomes.map(outcomeView)),
  ];
}

/** @param {Outcome} outcome */
function outcomeView({ title, verdict, tone, reason, exchange, steps }) {
  return element(
    'li',
    { 'data-verdict': verdict, 'data-tone': tone },
    element(
      'p',
      { class: 'outcome-head' },
      element('b', {}, title),
      element('code', { class: `chip ${tone}` }, verdict),
    ),
    ...(steps ? [chainView(steps)] : []),
    element('p', { class: 'reason' }, reason),
    ...(exchange
      ? [
          ...differenceView(exchange.differences),
          element(
            'details',
            { class: 'sent' },
            element('summary', {}, 'The request, its token and the answer'),
            ...sentView([exchange], new Set()),
          ),
        ]
      : []),
  );
}

/** Of a step without an answer of its own. @type {Readonly<Record<string, string>>} */
const LINES = { request: 'mail taken', waiting: 'mail waits' };

/** How far a call got, and what each service answered. @param {readonly Step[]} steps */
function chainView(steps) {
  const items = steps
    .filter(({ kind }) => kind === 'request' || kind === 'lost' || kind === 'waiting')
    .map(({ from, to, kind }) => {
      const answer = steps.find(
        (step) => step.kind === 'answer' && step.from === to && step.to === from,
      );
      const line = kind === 'lost' ? 'stopped' : (answer?.line ?? LINES[kind] ?? '');
      const isBad = kind === 'lost' || (answer?.status ?? 0) >= 400;
      return element(
        'li',
        { class: isBad ? 'bad' : 'good' },
        element('span', {}, nameOf(to)),
        element('code', {}, line),
      );
    });
  return element('ol', { class: 'chain', 'aria-label': 'What each service answered' }, ...items);
}
