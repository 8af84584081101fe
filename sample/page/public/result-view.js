import { differenceView } from './difference-view.js';
import { element } from './dom.js';
import { tokenText, tokenView } from './token-view.js';

/** @import { Exchange } from '../exchange.js' */
/** @import { Check } from '../checks.js' */
/** @import { ShownAttempt } from './attempts.js' */

/**
 * What came back, what differs, which check decided, and what was sent.
 *
 * @param {ShownAttempt} attempt
 * @param {readonly Exchange[]} exchanges
 * @param {readonly Check[]} checks
 */
export function resultView(attempt, exchanges, checks) {
  const last = exchanges[exchanges.length - 1];
  if (!last) return [];
  const changed = new Set(attempt.changed);
  return [
    verdictView(last),
    element('p', { class: 'reason' }, last.reason),
    element(
      'div',
      { class: 'result-columns' },
      element(
        'div',
        {},
        element('h4', {}, 'What differs'),
        ...(last.differences.length > 0
          ? differenceView(last.differences)
          : [element('p', { class: 'nothing' }, nothingDiffers(last))]),
      ),
      element('div', {}, element('h4', {}, 'The checks'), checkList(checks, last.failedCheck)),
    ),
    ...sentView(exchanges, changed),
  ];
}

/** @param {Exchange} exchange */
export function verdictView({ answer }) {
  const isGood = answer !== undefined && answer.status < 400;
  const { message } = /** @type {{ message?: unknown }} */ (Object(answer?.body));
  const code = answer?.code ?? (isGood ? 'accepted' : 'refused by the application');
  return element(
    'div',
    { class: isGood ? 'verdict good' : 'verdict bad' },
    element('span', { class: 'status' }, answer ? String(answer.status) : '—'),
    element('code', {}, answer ? code : 'no answer'),
    typeof message === 'string' && !isGood ? element('span', { class: 'said' }, message) : '',
  );
}

/** @param {Exchange} exchange */
function nothingDiffers({ answer }) {
  return answer !== undefined && answer.status < 400
    ? 'Nothing: token, grant and request agree.'
    : 'No value can be set beside another: the whole proof is wrong or missing.';
}

/**
 * @param {readonly Check[]} checks
 * @param {number | undefined} failed
 */
function checkList(checks, failed) {
  const items = checks.map(({ title, asks }, at) => {
    const state =
      failed === undefined || at < failed ? 'passed' : at === failed ? 'failed' : 'idle';
    const words = { passed: 'passed', failed: 'refused here', idle: 'not reached' }[state];
    return element(
      'li',
      { class: state },
      element('b', {}, title),
      element('span', { class: 'state' }, words),
      ...(state === 'failed' ? [element('span', { class: 'asks' }, asks)] : []),
    );
  });
  return element('ol', { class: 'checks' }, ...items);
}

/**
 * The last request with its answer, and its token beside what is in it. Earlier requests are folded.
 *
 * @param {readonly Exchange[]} exchanges
 * @param {ReadonlySet<string>} changed
 */
export function sentView(exchanges, changed) {
  const last = exchanges[exchanges.length - 1];
  if (!last) return [];
  const { token, grant } = last;
  return [
    element(
      'div',
      { class: 'result-columns' },
      element(
        'div',
        {},
        element('h4', {}, exchanges.length > 1 ? 'The request, sent twice' : 'The request'),
        requestView(last, changed),
      ),
      element('div', {}, element('h4', {}, 'The answer'), answerView(last)),
    ),
    ...(token
      ? [element('h4', {}, 'The token, and what is in it'), tokenView({ token, grant }, changed)]
      : []),
  ];
}

/**
 * @param {Exchange} exchange
 * @param {ReadonlySet<string>} changed
 */
function requestView({ method, target, contentType, body, token, grant }, changed) {
  /** @type {(part: string, text: string) => HTMLElement} */
  const part = (name, text) => element(changed.has(name) ? 'mark' : 'span', {}, text);
  const jwt = token ? shortened(token.text) : part('token', '(none)');
  const txnToken = grant ? shortened(grant.text) : part('grant', '(none)');
  const type = contentType === '' ? [] : ['\ncontent-type: ', part('content-type', contentType)];
  return element(
    'pre',
    { class: 'wire' },
    `${method} `,
    part('target', target),
    ...type,
    '\nJWT: ',
    jwt,
    '\nTxn-Token: ',
    txnToken,
    body === '' ? '' : '\n\n',
    part('body', body),
  );
}

/** Its parts, without their middle: the whole token is below. @param {string} text */
function shortened(text) {
  const parts = text.split('.').map((part) => (part.length > 14 ? `${part.slice(0, 12)}…` : part));
  return tokenText(parts.join('.'));
}

/** @param {Exchange} exchange */
function answerView({ answer }) {
  if (!answer) return element('pre', { class: 'wire' }, '(none)');
  const challenge = answer.challenge === undefined ? '' : `WWW-Authenticate: ${answer.challenge}\n`;
  const location = answer.location === undefined ? '' : `Location: ${answer.location}\n`;
  const body = answer.body === undefined ? '' : JSON.stringify(answer.body, null, 2);
  return element('pre', { class: 'wire' }, `${answer.status}\n${challenge}${location}\n${body}`);
}
