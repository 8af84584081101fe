import { element } from './dom.js';

/** @import { TokenParts } from '../token-parts.js' */

/** @type {Readonly<Record<string, string>>} */
const MEANINGS = {
  alg: 'how it is signed; the receiver’s key decides, not the token',
  kid: 'which of the caller’s keys signed it',
  typ: 'a service token, and no other kind of JWT',
  iss: 'who calls',
  aud: 'who is called; no other service takes it',
  sub: 'the user on whose behalf',
  iat: 'signed at',
  exp: 'good until',
  jti: 'its own id, which counts once',
  req: 'the request line it is for',
  bdy: 'SHA-256 of the body, byte for byte',
  hdr: 'headers that may not change',
  tth: 'SHA-256 of the grant beside it: no other one goes along',
};

/**
 * JOSE header and claims, a row each, with what they mean.
 *
 * @param {{ readonly header?: Readonly<Record<string, unknown>> | undefined, readonly claims?: Readonly<Record<string, unknown>> | undefined }} token
 * @param {ReadonlySet<string>} [changed] `claims.sub` and the like
 */
export function tokenTables({ header = {}, claims = {} }, changed = new Set()) {
  const of = (/** @type {string} */ part) => ({
    isChanged: (/** @type {string} */ name) => changed.has(`${part}.${name}`),
    meanings: MEANINGS,
  });
  return element(
    'div',
    { class: 'token' },
    table('JOSE header', header, of('header')),
    table('Claims', claims, of('claims')),
  );
}

/** @type {Readonly<Record<string, string>>} */
const GRANT_MEANINGS = {
  iss: 'who vouches: the service where the user logged in',
  aud: 'the environment in which it counts',
  sub: 'the user who is there',
  iat: 'said at',
  exp: 'over at',
  txn: 'the same on every hop: the transaction',
  scope: 'for what the user is there',
  req_wl: 'who asked for it: Edge itself',
  auth_time: 'when the user logged in:',
};

/**
 * The claims of a grant, a row each, with what they mean.
 *
 * @param {Readonly<Record<string, unknown>>} claims
 * @param {ReadonlySet<string>} [changed] `grant.sub` and the like
 */
export function grantTable(claims, changed = new Set()) {
  const isChanged = (/** @type {string} */ name) => changed.has(`grant.${name}`);
  return element(
    'div',
    { class: 'token' },
    table('Grant', claims, { isChanged, meanings: GRANT_MEANINGS }),
  );
}

/**
 * The token as it travels, its three parts in their colours.
 *
 * @param {TokenParts} token
 */
export function tokenText({ text }) {
  const [header = '', claims = '', signature = ''] = text.split('.');
  return element(
    'code',
    { class: 'jwt' },
    element('span', { class: 'jwt-header' }, header),
    '.',
    element('span', { class: 'jwt-claims' }, claims),
    '.',
    element('span', { class: 'jwt-signature' }, signature),
  );
}

/**
 * @param {string} title
 * @param {Readonly<Record<string, unknown>>} members
 * @param {{ isChanged: (name: string) => boolean, meanings: Readonly<Record<string, string>> }} words
 */
function table(title, members, { isChanged, meanings }) {
  const rows = Object.entries(members).map(([name, value]) =>
    element(
      'tr',
      { class: isChanged(name) ? 'changed' : undefined },
      element('th', { scope: 'row' }, element('code', {}, name)),
      element(
        'td',
        {},
        element('code', { class: 'value' }, show(value)),
        element('span', { class: 'meaning' }, meaningOf(meanings[name], value)),
      ),
    ),
  );
  return element('table', {}, element('caption', {}, title), element('tbody', {}, ...rows));
}

/** @param {unknown} value */
function show(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/**
 * @param {string | undefined} meaning
 * @param {unknown} value
 */
function meaningOf(meaning = '', value) {
  if (typeof value !== 'number') return meaning;
  return `${meaning} ${new Date(value * 1000).toLocaleTimeString('en-GB')}`;
}
