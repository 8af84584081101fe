import { element } from './dom.js';

/** @type {Readonly<Record<string, string>>} */
const MEANINGS = {
  alg: 'how it is signed; the receiver’s key decides, not the token',
  kid: 'which of the caller’s keys signed it',
  typ: 'a service token, and no other kind of JWT',
  iss: 'who calls',
  aud: 'who is called; no other service takes it',
  sub: 'the user for whom the call is made',
  iat: 'signed at',
  exp: 'good until',
  jti: 'its own id; it counts once',
  req: 'the method and target it is for',
  bdy: 'SHA-256 of the body, byte for byte',
  hdr: 'headers that may not change',
  tth: 'SHA-256 of the grant beside it, by which Edge says that the user is logged in',
};

/** @type {Readonly<Record<string, string>>} */
const GRANT_MEANINGS = {
  iss: 'who vouches: the service where the user logged in',
  aud: 'the environment in which it counts',
  sub: 'the user who is logged in',
  iat: 'signed at',
  exp: 'good until',
  txn: 'the transaction: the same on every hop',
  scope: 'what the user wants',
  req_wl: 'who asked for it: Edge itself',
  auth_time: 'logged in at',
};

/**
 * @typedef {object} ShownToken
 * @property {Readonly<Record<string, unknown>>} [header]
 * @property {Readonly<Record<string, unknown>>} [claims]
 * @property {string} text as it travels
 */

/**
 * A token as it travels, beside what is in it, and the same of its grant.
 *
 * @param {{ token: ShownToken, grant?: ShownToken | undefined }} shown
 * @param {ReadonlySet<string>} [changed] `claims.sub`, `grant.iat` and the like
 */
export function tokenView({ token, grant }, changed = new Set()) {
  const { header = {}, claims = {}, text } = token;
  return element(
    'div',
    { class: 'token' },
    rawBox('JWT:', text),
    element(
      'div',
      { class: 'decoded' },
      table('JOSE header', header, { part: 'header', changed, meanings: MEANINGS }),
      table('Claims', claims, { part: 'claims', changed, meanings: MEANINGS }),
    ),
    ...(grant?.claims
      ? [
          rawBox('Txn-Token:', grant.text),
          element(
            'div',
            { class: 'decoded' },
            table('Grant', grant.claims, { part: 'grant', changed, meanings: GRANT_MEANINGS }),
          ),
        ]
      : []),
  );
}

/**
 * @param {string} name of the HTTP header
 * @param {string} text
 */
function rawBox(name, text) {
  return element(
    'div',
    { class: 'raw-box' },
    element('p', { class: 'raw-name' }, element('code', {}, name), ' as it travels'),
    element('pre', { class: 'raw', tabindex: '0' }, tokenText(text)),
  );
}

/** The three parts of a token in their colours. @param {string} text */
export function tokenText(text) {
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
 * @param {{ part: string, changed: ReadonlySet<string>, meanings: Readonly<Record<string, string>> }} words
 */
function table(title, members, { part, changed, meanings }) {
  const rows = Object.entries(members).map(([name, value]) =>
    element(
      'tr',
      { class: changed.has(`${part}.${name}`) ? 'changed' : undefined },
      element('th', { scope: 'row' }, element('code', {}, name)),
      element(
        'td',
        {},
        element('code', { class: 'value' }, show(value)),
        element('span', { class: 'meaning' }, meaningOf(meanings[name], value)),
      ),
    ),
  );
  return element(
    'table',
    { class: `part-${part}` },
    element('caption', {}, title),
    element('tbody', {}, ...rows),
  );
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
