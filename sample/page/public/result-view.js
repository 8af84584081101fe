import { element } from './dom.js';
import { grantTable, tokenTables, tokenText } from './token-view.js';

/** @import { Exchange } from '../attempt.service.js' */
/** @import { Check } from '../checks.js' */
/** @import { ShownAttempt } from './tamper.js' */

/**
 * What was sent, what came back, and which check decided.
 *
 * @param {ShownAttempt} attempt
 * @param {readonly Exchange[]} exchanges
 * @param {readonly Check[]} checks
 */
export function resultView(attempt, exchanges, checks) {
  const last = exchanges[exchanges.length - 1];
  if (!last) return [];
  const { answer, reason } = last;
  const isGood = answer.status < 400;
  const changed = new Set(attempt.changed);
  const { message } = /** @type {{ message?: unknown }} */ (Object(answer.body));
  return [
    element('p', { class: 'route' }, attempt.title),
    element(
      'h3',
      { class: isGood ? 'verdict good' : 'verdict bad' },
      element('span', { class: 'status' }, String(answer.status)),
      element('code', {}, answer.code ?? (isGood ? 'accepted' : 'refused by the application')),
    ),
    typeof message === 'string' ? element('p', { class: 'said' }, message) : '',
    element('p', {}, reason),
    element('h4', {}, 'The checks, in their order'),
    checkList(checks, last.failedCheck),
    ...exchanges.flatMap((exchange, at) => [
      element('h4', {}, exchanges.length > 1 ? `Request ${at + 1}` : 'The request'),
      requestView(exchange, changed),
    ]),
    element('h4', {}, 'The answer'),
    answerView(last),
    ...(last.token ? [element('h4', {}, 'Its token'), tokenTables(last.token, changed)] : []),
    ...(last.grant
      ? [element('h4', {}, 'The grant beside it'), grantTable(last.grant.claims, changed)]
      : []),
    element('a', { class: 'to-list', href: '#tamper' }, 'Back to the attempts'),
  ];
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
      element('span', { class: 'asks' }, asks),
      element('span', { class: 'state' }, words),
    );
  });
  return element('ol', { class: 'checks' }, ...items);
}

/**
 * @param {Exchange} exchange
 * @param {ReadonlySet<string>} changed
 */
function requestView({ method, target, contentType, body, token, grant }, changed) {
  /** @type {(part: string, text: string) => HTMLElement} */
  const part = (name, text) => element(changed.has(name) ? 'mark' : 'span', {}, text);
  const jwt = token ? tokenText(token) : part('token', '(none)');
  const txnToken = grant ? tokenText(grant) : part('grant', '(none)');
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
    '\n\n',
    part('body', body),
  );
}

/** @param {Exchange} exchange */
function answerView({ answer }) {
  const challenge = answer.challenge === undefined ? '' : `WWW-Authenticate: ${answer.challenge}\n`;
  const location = answer.location === undefined ? '' : `Location: ${answer.location}\n`;
  const body = answer.body === undefined ? '' : JSON.stringify(answer.body, null, 2);
  return element('pre', { class: 'wire' }, `${answer.status}\n${challenge}${location}\n${body}`);
}
