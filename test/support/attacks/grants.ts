import {
  type Attempt,
  type AttackRow,
  type AttemptParts,
  editSegment,
  encodeWithStrayBit,
  signSegments,
  strayBit,
  withHeaderText,
  withPayload,
} from './attempt.js';
import {
  BRANCH,
  branchKey,
  COURIER,
  courierKey,
  DAY_SECONDS,
  EDGE,
  edgeKey,
  MAILER,
  mailerKey,
  NOW_SECONDS,
  PARTNER,
  partnerKey,
  SCHEDULER,
  schedulerKey,
  TRUST_DOMAIN,
  USER,
} from '../services/census.js';
import { encode, type Json, signBytes, strictToken } from '../tokens/forge.js';
import { type GrantParts, makeGrant, tthOf } from '../tokens/grant.js';

const OTHER_USER = 'https://census.service/user/another/';
const DOTTED = `${USER}../another/`;
const HOUR = 3600;

/** A grant of the edge for the user, or one that differs in what is given. */
function grantOf(parts: Partial<GrantParts> = {}): string {
  const good = { key: edgeKey, originator: EDGE, trustDomain: TRUST_DOMAIN };
  return makeGrant({ ...good, subject: USER, now: NOW_SECONDS, ...parts });
}

const claiming = (claims: Json): string => grantOf({ claims });
const heading = (header: Json): string => grantOf({ header });
const built = (build: Attempt['build']): string => grantOf({ build });
const GOOD = grantOf();
/** A grant as its maker signed it, changed afterwards. */
const edited = (at: 0 | 1 | 2, edit: (segment: string) => string): string =>
  editSegment(GOOD, at, edit);

/** As old as the seconds say, with a life of a day. */
const aged = (seconds: number, more: Json = {}): string =>
  claiming({ iat: NOW_SECONDS - seconds, exp: NOW_SECONDS - seconds + DAY_SECONDS, ...more });

/** A caller that must prove that its user asked, and does. */
const COURIED = { issuer: COURIER, key: courierKey, grant: GOOD } as const;
const MAILED = { issuer: MAILER, key: mailerKey, grant: GOOD } as const;
const ROUTE = '/api/proved';
const EDGE_CALLS = { issuer: EDGE, key: edgeKey, grant: GOOD } as const;

type Row = [title: string, change: AttemptParts | string];

const rows = (code: AttackRow['code'], common: AttemptParts, list: readonly Row[]): AttackRow[] =>
  list.map(([title, change]) => ({
    title,
    code,
    common,
    change: typeof change === 'string' ? { grant: change } : change,
  }));

/** The table of the design: what a service can try for a user who has not asked it. */
const ORIGINS: AttackRow[] = [
  ...rows('grant_missing', COURIED, [
    ['GR-02 the key of a forwarder, and no grant', { grant: undefined }],
    ['GR-02 for another user, and no grant', { grant: undefined, subject: OTHER_USER }],
    ['GR-14 an empty header, and no tth', { claims: { tth: undefined }, sendGrant: emptied }],
    ['GR-14 a pair that was stripped on the way', { claims: { tth: undefined }, sendGrant: none }],
  ]),
  ...rows('grant_missing', EDGE_CALLS, [
    ['GR-08 an originator that calls without a grant', { grant: undefined }],
    [
      'GR-08 an originator that was called for a user who never came',
      { grant: undefined, subject: OTHER_USER },
    ],
  ]),
  ...rows('grant_mismatch', COURIED, [
    ['GR-03 the grant of one user for another', { subject: OTHER_USER }],
    ['GR-03 the same user in another spelling', claiming({ sub: USER.replace('user', '%75ser') })],
    ['GR-13 a grant of another trust domain', claiming({ aud: 'https://staging.example.org/' })],
    ['GR-13 its trust domain in another case', claiming({ aud: TRUST_DOMAIN.toUpperCase() })],
    ['GR-13 its trust domain without a slash', claiming({ aud: TRUST_DOMAIN.slice(0, -1) })],
    ['GR-13 a good grant in the place of another', { sendGrant: () => header(grantOf()) }],
    ['GR-14 the header was emptied', { sendGrant: emptied }],
    ['GR-14 the header alone was stripped', { sendGrant: none }],
    ['GR-14 the claim alone was stripped', { claims: { tth: undefined } }],
    ['GR-14 tth in hexadecimal', { claims: { tth: hexOf(tthOf(GOOD)) } }],
    ['GR-14 tth with padding', { claims: { tth: `${tthOf(GOOD)}=` } }],
    ['GR-14 tth that is a list', { claims: { tth: [tthOf(GOOD)] } }],
    ['GR-14 tth that is a number', { claims: { tth: 7 } }],
    ['GR-14 tth that is null', { claims: { tth: null } }],
    ['GR-14 tth that is empty', { claims: { tth: '' } }],
    ['GR-14 tth of the grant without its signature', { claims: { tth: tthOf(unsigned(GOOD)) } }],
  ]),
  ...rows('originator_unknown', COURIED, [
    ['GR-04 a forwarder that vouches itself', grantOf({ key: courierKey, originator: COURIER })],
    ['GR-04 an originator in another case', claiming({ iss: EDGE.toUpperCase() })],
    ['GR-04 an originator without a slash', claiming({ iss: EDGE.slice(0, -1) })],
    ['GR-04 __proto__ as an originator', claiming({ iss: '__proto__' })],
    ['GR-04 an empty originator', claiming({ iss: '' })],
  ]),
  ...rows('grant_invalid', COURIED, [
    [
      'GR-05 signed in the name of the edge',
      grantOf({ key: { ...courierKey, keyId: edgeKey.keyId } }),
    ],
    ['GR-05 signed so under its own key id', grantOf({ key: courierKey })],
    ['GR-15 a service token as a grant', ownToken()],
  ]),
  ...rows('originator_not_allowed', COURIED, [
    ['GR-06 an originator of other users', grantOf({ key: partnerKey, originator: PARTNER })],
    ['GR-06 a user with a dot segment', { subject: DOTTED, grant: grantOf({ subject: DOTTED }) }],
    [
      'GR-18 a scope outside of those of its originator',
      grantOf({ key: schedulerKey, originator: SCHEDULER, claims: { scope: 'user:delete' } }),
    ],
    [
      'GR-18 user-present of an originator with scopes',
      grantOf({ key: schedulerKey, originator: SCHEDULER }),
    ],
    [
      'GR-18 one scope of two outside of those',
      grantOf({
        key: schedulerKey,
        originator: SCHEDULER,
        claims: { scope: 'digest:send user:delete' },
      }),
    ],
  ]),
  ...rows('issuer_unknown', COURIED, [
    ['GR-07 a service that may only vouch calls itself', { issuer: PARTNER, key: partnerKey }],
  ]),
  {
    title: 'GR-07 one in both lists, for a user of another',
    code: 'subject_not_allowed',
    common: {
      issuer: BRANCH,
      key: branchKey,
      subject: 'https://branch.service/user/1/',
      grant: grantOf({
        key: branchKey,
        originator: BRANCH,
        subject: 'https://branch.service/user/1/',
      }),
    },
    change: { subject: USER, grant: GOOD },
  },
  {
    title: 'GR-16 a grant as a service token',
    code: 'header_invalid',
    common: EDGE_CALLS,
    change: { send: () => ({ JWT: GOOD }) },
  },
];

const REPEATED: AttackRow[] = rows('grant_repeated', COURIED, [
  ['GR-17 two headers', { sendGrant: (grant) => header([grant, grant]) }],
  ['GR-17 the second of another user', { sendGrant: (grant) => header([grant, grantOf()]) }],
  ['GR-17 two headers, and no tth', { ...doubled(), claims: { tth: undefined } }],
  ['GR-17 two in one header', { sendGrant: (grant) => header(`${grant},${grant}`) }],
  ['GR-17 two in one header, and a space', { sendGrant: (grant) => header(`${grant}, ${grant}`) }],
  ['GR-17 a grant and a comma', `${GOOD},`],
]);

const FORMS: AttackRow[] = rows('grant_invalid', COURIED, [
  ['GR-22 4,097 characters', longOf(4097)],
  ['GR-22 a space in it', GOOD.replace('.', ' .')],
  ['GR-22 a tab in it', GOOD.replace('.', '.\t')],
  ['GR-22 a letter beyond ASCII', `${GOOD}\u00e9`],
  ['GR-22 one segment', 'abc'],
  ['GR-22 two segments', unsigned(GOOD)],
  ['GR-22 four segments', `${GOOD}.abc`],
  ['GR-22 no signature', `${unsigned(GOOD)}.`],
  ['GR-22 a Bearer before it', `Bearer_${GOOD}`],
  ['GR-23 padding', `${GOOD}=`],
  ['GR-23 the alphabet of base64', GOOD.replace('.', '+.')],
  ['GR-23 a stray bit in the header', strayHeader()],
  ['GR-23 a stray bit in the claims', strayClaims()],
  ['GR-23 a stray bit in the signature', edited(2, strayBit)],
  ['GR-24 a member of the header twice', built(withHeaderText(twice('"kid":"x",')))],
  ['GR-24 a claim twice', built(withPayload(twice(`"sub":"${OTHER_USER}",`)))],
  ['GR-24 a claim twice, once escaped', built(withPayload(twice('"\\u0073ub":"x",')))],
  ['GR-24 __proto__ among the claims', built(withPayload(twice('"__proto__":{"sub":"x"},')))],
  ['GR-24 constructor among the claims', built(withPayload(twice('"constructor":{},')))],
  ['GR-24 __proto__ within tctx', built(withPayload(twice('"tctx":{"__proto__":{}},')))],
  ['GR-24 claims that are a list', built(withPayload(() => '[]'))],
  ['GR-24 claims that are no JSON', built(withPayload(() => '{"iss":'))],
  ['GR-24 a lone surrogate', built(withPayload(twice('"x":"\\ud800",')))],
]);

const HEADERS: AttackRow[] = rows('grant_invalid', COURIED, [
  ['GR-25 alg none', grantOf({ header: { alg: 'none' }, build: withoutSignature })],
  ['GR-25 alg of another key', heading({ alg: 'ES384' })],
  ['GR-25 alg of another family', heading({ alg: 'RS256' })],
  ['GR-25 a secret of both, HS256', heading({ alg: 'HS256' })],
  ['GR-25 alg in small letters', heading({ alg: 'es256' })],
  ['GR-25 no alg', heading({ alg: undefined })],
  [
    'GR-25 the other name of an algorithm that the key may not use',
    grantOf({
      key: schedulerKey,
      originator: SCHEDULER,
      claims: { scope: 'digest:send' },
      header: { alg: 'ES256' },
    }),
  ],
  ['GR-26 the key id of another originator', heading({ kid: schedulerKey.keyId })],
  ['GR-26 an unknown key id', heading({ kid: 'unknown' })],
  ['GR-26 no key id', heading({ kid: undefined })],
  ['GR-26 a key id that is a number', heading({ kid: 7 })],
  ['GR-26 the key of another originator', grantOf({ key: partnerKey })],
  ['GR-27 no typ', heading({ typ: undefined })],
  ['GR-27 typ JWT', heading({ typ: 'JWT' })],
  ['GR-27 typ of a service token', heading({ typ: 'svc+jwt' })],
  ['GR-27 typ of an access token', heading({ typ: 'at+jwt' })],
  ['GR-27 crit', heading({ crit: ['exp'] })],
  ['GR-27 a key of its own', heading({ jwk: edgeKey.publicKey.export({ format: 'jwk' }) })],
  ['GR-27 a place of its own for keys', heading({ jku: 'https://edge.service/jwks.json' })],
  ['GR-27 an unknown member', heading({ cty: 'JWT' })],
]);

const REQUIRED = ['iss', 'aud', 'sub', 'iat', 'exp', 'txn', 'scope', 'req_wl'];
const NO_TEXTS: unknown[] = [7, true, null, [], {}];

const CLAIMS: AttackRow[] = rows('grant_invalid', COURIED, [
  ...REQUIRED.map((name): Row => [`GR-28 no ${name}`, claiming({ [name]: undefined })]),
  ...['iss', 'aud', 'sub', 'txn', 'scope', 'req_wl', 'acr'].flatMap((name) =>
    NO_TEXTS.map((value): Row => [
      `GR-28 ${name} ${JSON.stringify(value)}`,
      claiming({ [name]: value }),
    ]),
  ),
  ...['iat', 'exp', 'auth_time'].flatMap((name) =>
    ['1800000000', true, null, [NOW_SECONDS], {}].map((value): Row => [
      `GR-28 ${name} ${JSON.stringify(value)}`,
      claiming({ [name]: value }),
    ]),
  ),
  ...['pwd', 7, null, {}, [7], ['pwd', null]].map((value): Row => [
    `GR-28 amr ${JSON.stringify(value)}`,
    claiming({ amr: value }),
  ]),
  ...['tctx', 'rctx'].flatMap((name) =>
    ['x', 7, null, []].map((value): Row => [
      `GR-28 ${name} ${JSON.stringify(value)}`,
      claiming({ [name]: value }),
    ]),
  ),
  ['GR-28 an endless exp', built(withPayload((json) => json.replace(/"exp":\d+/, '"exp":1e999')))],
  ['GR-28 an endless auth_time', built(withPayload(twice('"auth_time":1e999,')))],
  ['GR-29 a list of trust domains', claiming({ aud: [TRUST_DOMAIN] })],
  ['GR-29 an empty trust domain', claiming({ aud: '' })],
  ['GR-29 a trust domain with a space', claiming({ aud: `${TRUST_DOMAIN} x` })],
  ['GR-29 a trust domain of 257 characters', claiming({ aud: 'a'.repeat(257) })],
  ['GR-29 txn of 15 characters', claiming({ txn: 'a'.repeat(15) })],
  ['GR-29 txn of 257 characters', claiming({ txn: 'a'.repeat(257) })],
  ['GR-29 txn with a line break', claiming({ txn: `${'a'.repeat(16)}\n` })],
  ['GR-29 txn with a space', claiming({ txn: `${'a'.repeat(16)} b` })],
  ['GR-29 an empty scope', claiming({ scope: '' })],
  ['GR-29 two spaces between scopes', claiming({ scope: 'user:read  user:delete' })],
  ['GR-29 a space before a scope', claiming({ scope: ' user:read' })],
  ['GR-29 a space after a scope', claiming({ scope: 'user:read ' })],
  ['GR-29 a tab between scopes', claiming({ scope: 'user:read\tuser:delete' })],
  ['GR-29 a quotation mark in a scope', claiming({ scope: 'user:"read"' })],
  ['GR-29 a backslash in a scope', claiming({ scope: 'user\\read' })],
  ['GR-29 a scope beyond ASCII', claiming({ scope: 'caf\u00e9' })],
  ['GR-29 a user that is no URI', claiming({ sub: 'user/21' })],
  ['GR-29 an empty req_wl', claiming({ req_wl: '' })],
  ['GR-30 exp is iat', claiming({ exp: NOW_SECONDS })],
  ['GR-30 exp before iat', claiming({ iat: NOW_SECONDS, exp: NOW_SECONDS - 1 })],
  ['GR-30 a life of a day and a second', claiming({ exp: NOW_SECONDS + DAY_SECONDS + 1 })],
  ['GR-31 a signature of other bytes', edited(2, () => encode(signBytes('x', edgeKey)))],
  ['GR-31 half a signature', edited(2, (segment) => segment.slice(0, 44))],
  ['GR-31 a signature of zeros', edited(2, () => encode(Buffer.alloc(64)))],
  ['GR-31 another user under the same signature', edited(1, () => claimsSegment(OTHER_USER))],
]);

const EXPIRIES: AttackRow[] = [
  ...rows('grant_expired', COURIED, [
    ['GR-09 over by the tolerance', claiming({ iat: NOW_SECONDS - 65, exp: NOW_SECONDS - 5 })],
    ['GR-10 an hour old', aged(HOUR)],
    ['GR-10 306 seconds old', aged(306)],
  ]),
  ...rows('grant_expired', EDGE_CALLS, [['GR-09 an edge that hands on an old grant', aged(HOUR)]]),
  ...rows('grant_expired', MAILED, [['GR-10 a worker, on a route without a word', aged(HOUR)]]),
  ...rows('grant_expired', { ...MAILED, target: `${ROUTE}/job`, grant: aged(HOUR) }, [
    [
      'GR-11 a caller that may use none so old, on a job route',
      { issuer: COURIER, key: courierKey },
    ],
    [
      'GR-11 past its exp on a job route',
      claiming({ iat: NOW_SECONDS - HOUR, exp: NOW_SECONDS - 5 }),
    ],
    ['GR-11 on another route that asks for proof', { target: `${ROUTE}/plain` }],
  ]),
  ...rows('grant_expired', { ...COURIED, target: `${ROUTE}/minute`, grant: aged(60) }, [
    ['GR-12 older than a minute on a route of a minute', aged(66)],
  ]),
  ...rows('grant_not_yet_valid', COURIED, [
    ['GR-21 made in ten minutes', aged(-600)],
    ['GR-21 made in six seconds', aged(-6)],
    ['GR-21 not to be used before six seconds from now', claiming({ nbf: NOW_SECONDS + 6 })],
  ]),
];

const ASKED: AttackRow[] = [
  ...rows('scope_missing', { ...COURIED, target: `${ROUTE}/scope`, grant: scoped('user:delete') }, [
    ['GR-19 the scope user-present', GOOD],
    ['GR-19 another scope', scoped('user:read')],
    ['GR-19 a scope that begins as the one', scoped('user:delete:none')],
    ['GR-19 a scope in another case', scoped('User:delete')],
    ['GR-19 a wildcard', scoped('user:*')],
  ]),
  ...rows(
    'scope_missing',
    { ...COURIED, target: `${ROUTE}/scopes`, grant: scoped('user:delete user:read') },
    [['GR-19 one of two', scoped('user:delete')]],
  ),
  ...rows(
    'authentication_insufficient',
    { ...COURIED, target: `${ROUTE}/acr`, grant: claiming({ acr: 'urn:acr:gold' }) },
    [
      ['GR-32 no acr', GOOD],
      ['GR-32 another acr', claiming({ acr: 'urn:acr:bronze' })],
      ['GR-32 an acr in another case', claiming({ acr: 'URN:acr:gold' })],
    ],
  ),
  ...rows('originator_not_allowed', { ...COURIED, target: `${ROUTE}/edge` }, [
    [
      'GR-33 an originator that the route does not name',
      grantOf({ key: schedulerKey, originator: SCHEDULER, claims: { scope: 'digest:send' } }),
    ],
  ]),
  ...rows('subject_missing', { target: `${ROUTE}/plain`, grant: GOOD }, [
    ['GR-20 no user on a route that asks for proof', { subject: undefined, grant: undefined }],
    ['GR-20 no user beside a grant', { subject: undefined }],
  ]),
  ...rows('subject_missing', COURIED, [
    ['GR-20 no user, of a caller that must have one', { subject: undefined, grant: undefined }],
  ]),
  ...rows('grant_missing', { target: `${ROUTE}/plain`, grant: GOOD }, [
    ['GR-34 no grant on a route that asks for proof', { grant: undefined }],
  ]),
  ...rows('grant_mismatch', { target: `${ROUTE}/plain`, grant: GOOD }, [
    ['GR-34 half a pair there', { sendGrant: none }],
    ['GR-34 the other half there', { claims: { tth: undefined } }],
  ]),
];

/** One request each that is refused for its grant, beside one that is not. */
export const GRANTS: readonly AttackRow[] = [
  ...ORIGINS,
  ...REPEATED,
  ...FORMS,
  ...HEADERS,
  ...CLAIMS,
  ...EXPIRIES,
  ...ASKED,
];

const good = (title: string, change: AttemptParts) => ({ title, change });

/** Unusual grants that are good. */
export const GOOD_GRANTS: readonly { title: string; change: AttemptParts }[] = [
  good('GR-01 a good grant', COURIED),
  good('GR-01 the grant of a login with acr, on the call of its originator', {
    ...EDGE_CALLS,
    target: `${ROUTE}/acr`,
    grant: claiming({ acr: 'urn:acr:silver', auth_time: NOW_SECONDS - 10, amr: ['pwd', 'otp'] }),
  }),
  good('GR-01 of an originator whose keys are written beside it', {
    ...COURIED,
    grant: grantOf({ key: schedulerKey, originator: SCHEDULER, claims: { scope: 'digest:send' } }),
  }),
  good('GR-01 with all scopes of its originator', {
    ...COURIED,
    grant: grantOf({
      key: schedulerKey,
      originator: SCHEDULER,
      claims: { scope: 'digest:read digest:send' },
    }),
  }),
  good('GR-11 an hour old on a job route, of a worker', {
    ...MAILED,
    target: `${ROUTE}/job`,
    grant: aged(HOUR),
  }),
  good('GR-10 305 seconds old, which the tolerance covers', { ...COURIED, grant: aged(305) }),
  good('GR-09 over for less than the tolerance', {
    ...COURIED,
    grant: claiming({ iat: NOW_SECONDS - 64, exp: NOW_SECONDS - 4 }),
  }),
  good('GR-21 made in five seconds', { ...COURIED, grant: aged(-5) }),
  good('GR-21 not to be used before five seconds from now', {
    ...COURIED,
    grant: claiming({ nbf: NOW_SECONDS + 5 }),
  }),
  good('GR-20 no user, of a caller that may act for itself', {
    ...MAILED,
    subject: undefined,
    grant: undefined,
  }),
  good('GR-20 no user beside a grant, of a caller that may act for itself', {
    ...MAILED,
    subject: undefined,
  }),
  good('GR-22 4,096 characters', { ...COURIED, grant: longOf(4096) }),
  good('GR-27 typ with application/', {
    ...COURIED,
    grant: heading({ typ: 'application/txntoken+jwt' }),
  }),
  good('GR-27 typ in capitals', { ...COURIED, grant: heading({ typ: 'TXNTOKEN+JWT' }) }),
  good('GR-28 unknown claims', { ...COURIED, grant: claiming({ purp: 'x', nested: { a: [1] } }) }),
  good('GR-28 with contexts', { ...COURIED, grant: claiming({ tctx: { order: 7 }, rctx: {} }) }),
  good('GR-28 asked for by a token service', { ...COURIED, grant: claiming({ req_wl: 'tts' }) }),
  good('GR-29 txn of 16 characters', { ...COURIED, grant: claiming({ txn: 'a'.repeat(16) }) }),
  good('GR-29 txn of 256 characters', { ...COURIED, grant: claiming({ txn: 'a'.repeat(256) }) }),
  good('GR-30 a life of a day', {
    ...COURIED,
    grant: claiming({ exp: NOW_SECONDS + DAY_SECONDS }),
  }),
  good('GR-35 white space around it', {
    ...COURIED,
    sendGrant: (grant: string) => header(` \t${grant}\t `),
  }),
  good('GR-35 in a header written TXN-TOKEN', {
    ...COURIED,
    sendGrant: (grant: string) => ({ 'TXN-TOKEN': grant }),
  }),
  good('GR-34 a good pair where nobody asks', { grant: GOOD }),
  good('GR-34 half a pair where nobody asks', { grant: GOOD, sendGrant: none }),
  good('GR-34 the other half where nobody asks', { grant: GOOD, claims: { tth: undefined } }),
  good('GR-34 two headers where nobody asks', {
    grant: GOOD,
    sendGrant: (grant: string) => header([grant, grant]),
  }),
  good('GR-34 no grant where nobody asks', { grant: undefined }),
];

function header(value: string | string[]) {
  return { 'Txn-Token': value };
}

function emptied() {
  return header('');
}

function none() {
  return {};
}

function doubled(): AttemptParts {
  return { sendGrant: (grant) => header([grant, grant]) };
}

function scoped(scope: string): string {
  return claiming({ scope });
}

function hexOf(base64url: string): string {
  return Buffer.from(base64url, 'base64url').toString('hex');
}

function unsigned(grant: string): string {
  return grant.split('.').slice(0, 2).join('.');
}

function withoutSignature(head: Json, claims: Json): string {
  return `${encode(JSON.stringify(head))}.${encode(JSON.stringify(claims))}.AA`;
}

/** Text of a good JSON object with a member before its own. */
function twice(member: string): (json: string) => string {
  return (json) => `{${member}${json.slice(1)}`;
}

function ownToken(): string {
  return strictToken({
    key: edgeKey,
    issuer: EDGE,
    audience: TRUST_DOMAIN,
    subject: USER,
    target: '/',
    now: NOW_SECONDS,
  });
}

/** Of exactly so many characters: white space in the header, and a claim that nobody reads. */
function longOf(length: number): string {
  const ofSize = (size: number, spaces = 0): string =>
    grantOf({
      claims: { pad: 'p'.repeat(size) },
      build: withHeaderText((json) => json + ' '.repeat(spaces)),
    });
  const size = Math.floor(((length - ofSize(0).length) * 3) / 4);
  for (const spaces of [0, 1, 2]) {
    for (let less = 0; less < 6; less++) {
      const grant = ofSize(size - less, spaces);
      if (grant.length === length) return grant;
    }
  }
  throw new Error(`no grant has ${length} characters`);
}

function claimsSegment(subject: string): string {
  const [, claims = ''] = grantOf({ subject }).split('.');
  return claims;
}

function strayHeader(): string {
  return built((head, claims, key) =>
    signSegments(encodeWithStrayBit(head), encode(JSON.stringify(claims)), key),
  );
}

function strayClaims(): string {
  return built((head, claims, key) =>
    signSegments(encode(JSON.stringify(head)), encodeWithStrayBit(claims), key),
  );
}
