// Requests with long header lists, and what must come of each. Node keeps a part of a list that is longer than
// `maxHeadersCount`, while its parser obeys all of it.
import { strictToken } from '../gateways/signing.mjs';

export const USER = 'https://census.service/user/21/';
const BODY = '{"amount":100}';
const JSON_TYPE = 'application/json';

/**
 * @typedef {'before' | 'between' | 'after'} Padding where it is, seen from the header that a scenario is about
 * @typedef {readonly [name: string, value: string]} Header
 * @typedef {{ method: string, target: string, headers: Header[], body: string, isChunked: boolean }} Request
 * @typedef {{ method: string, body: string, type?: string, order: string, calledFor: string }} Sight what a handler sees
 * @typedef {{ name: string, padding: Padding, isHonest: boolean, request: Request, signed: Sight }} Attempt
 */

/**
 * What a scenario is about is `moved`; what comes first, in any case, is `rest`.
 *
 * @typedef {{ name: string, moved: (token: string) => Header[], body?: string, signedBody?: string, target?: string,
 *   rest?: (token: string) => Header[], type?: string, isHttp1?: true }} Scenario
 */

/** @param {string} token @returns {Header} */
const jwt = (token) => ['JWT', token];
/** @type {Header} */
const ORDER = ['X-Order', '1'];
/** @type {Header} */
const TYPE = ['Content-Type', JSON_TYPE];
/** @type {Header} */
const LENGTH = ['Content-Length', String(BODY.length)];
/** @type {Header} */
const CHUNKED = ['Transfer-Encoding', 'chunked'];

/** Each of the first two beside its twin, which differs in what is signed alone. @type {readonly Scenario[]} */
const SCENARIOS = [
  {
    name: 'a smuggled body, Content-Length',
    moved: () => [TYPE, LENGTH],
    rest: (token) => [jwt(token), ORDER],
    body: BODY,
    signedBody: '',
    type: JSON_TYPE,
  },
  {
    name: 'a signed body, Content-Length',
    moved: () => [TYPE, LENGTH],
    rest: (token) => [jwt(token), ORDER],
    body: BODY,
    type: JSON_TYPE,
  },
  {
    name: 'a smuggled body, Transfer-Encoding',
    moved: () => [CHUNKED],
    rest: (token) => [jwt(token), ORDER, TYPE],
    body: BODY,
    signedBody: '',
    type: JSON_TYPE,
    isHttp1: true,
  },
  {
    name: 'a signed body, Transfer-Encoding',
    moved: () => [CHUNKED],
    rest: (token) => [jwt(token), ORDER, TYPE],
    body: BODY,
    type: JSON_TYPE,
    isHttp1: true,
  },
  {
    name: 'a smuggled body, nothing moved',
    moved: () => [],
    rest: (token) => [jwt(token), ORDER, TYPE, LENGTH],
    body: BODY,
    signedBody: '',
    type: JSON_TYPE,
  },
  {
    name: 'Content-Type',
    moved: () => [TYPE],
    rest: (token) => [jwt(token), ORDER, LENGTH],
    body: BODY,
    type: JSON_TYPE,
  },
  {
    name: 'a bound header',
    moved: () => [ORDER],
    rest: (token) => [jwt(token)],
  },
  { name: 'JWT', moved: (token) => [jwt(token)], rest: () => [ORDER] },
  {
    name: 'JWT, optional route',
    moved: (token) => [jwt(token)],
    rest: () => [ORDER],
    target: '/optional',
  },
];

/**
 * @param {number} pairs of the whole list
 * @param {{ isHttp2: boolean }} options
 * @returns {Attempt[]} with a fresh token each
 */
export function attemptsOf(pairs, { isHttp2 }) {
  const scenarios = SCENARIOS.filter((scenario) => !isHttp2 || scenario.isHttp1 === undefined);
  return scenarios.flatMap((scenario) =>
    /** @type {const} */ (['before', 'between', 'after']).map((padding) =>
      toAttempt(scenario, padding, pairs, isHttp2),
    ),
  );
}

/** @param {Scenario} scenario @param {Padding} padding @param {number} pairs @param {boolean} isHttp2 @returns {Attempt} */
function toAttempt(scenario, padding, pairs, isHttp2) {
  const { name, body = '', signedBody = body, target = '/required', type } = scenario;
  const method = body === '' ? 'GET' : 'POST';
  const isHonest = signedBody === body;
  const bound = type === undefined ? undefined : { 'content-type': type };
  const token = strictToken(
    { method, target, headers: { 'x-order': '1', ...bound }, body: Buffer.from(signedBody) },
    ['x-order', 'content-type'],
    USER,
  );
  const rest = scenario.rest?.(token) ?? [];
  const moved = scenario.moved(token);
  const fixed = rest.length + moved.length + (isHttp2 ? 4 : 2);
  const missing = Math.max(0, pairs - fixed);
  const early = { before: missing, between: Math.floor(missing / 2), after: 0 }[padding];
  const headers = [...rest, ...pad('a', early), ...moved, ...pad('b', missing - early)];
  const isChunked = moved.includes(CHUNKED);
  const signed = { method, body: signedBody, type, order: '1', calledFor: USER };
  return { name, padding, isHonest, request: { method, target, headers, body, isChunked }, signed };
}

/** @param {string} name @param {number} count @returns {Header[]} */
const pad = (name, count) => Array.from({ length: count }, () => /** @type {const} */ ([name, '']));

/**
 * What may come of an attempt: `accepted` as it was signed, a code, `headers_unverifiable`, 431 by Node itself, or a
 * stream that Node resets.
 *
 * @param {Attempt} attempt
 * @param {number} pairs
 * @param {number} limit how many pairs the server keeps
 * @param {string} server `express`, `fastify` or `http2`
 * @returns {readonly string[]}
 */
export function expectedOf({ name, isHonest }, pairs, limit, server) {
  const whole = isHonest ? 'accepted' : 'claim_missing';
  const cut = server === 'http2' ? ['reset'] : ['headers_unverifiable', '431 by Node'];
  // It sees no Content-Type beside a body, and answers before a guard runs.
  if (server === 'fastify' && name === 'Content-Type') cut.push('415 by Fastify');
  if (pairs < limit) return [whole];
  // A list of exactly so many pairs may have been longer.
  return pairs === limit ? [whole, ...cut] : cut;
}
