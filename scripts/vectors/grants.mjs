// Grants: proof that the user asked. Protocol section "Grants".
import { createHash } from 'node:crypto';
import {
  decode,
  editSegment,
  editSignature,
  encode,
  encodeWithStrayBit,
  macSegments,
  signSegments,
  strayBit,
} from './forge.mjs';
import { jwkFor, keys } from './keys.mjs';
import { CENSUS, HERALD, POSTED, USER } from './receiver.mjs';
import {
  buildOfLength,
  defined,
  inObject,
  NOW,
  sign,
  VectorFile,
  withClaimsText,
  withHeaderText,
} from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {import('./keys.mjs').TestKey} TestKey */
/** @typedef {import('./vector-file.mjs').Parts} Parts */
/** @typedef {import('./vector-file.mjs').TokenParts} TokenParts */

const EDGE = 'https://edge.service/';
const SCHEDULER = 'https://scheduler.service/';
const PARTNER = 'https://partner.example/login/';
const MAILER = 'https://mailer.service/';
const AUDITOR = 'https://auditor.service/';
const CRIER = 'https://crier.service/';
const TRUST_DOMAIN = 'https://prod.example.org/';
const USERS = 'https://census.service/user/';
const OTHER_USER = 'https://census.service/user/42/';
const CUSTOMER = 'https://partner.example/customer/7/';
const MAX_GRANT_LENGTH = 4096;
const DAY = 86_400;

const heraldJwk = jwkFor(keys['p-256'], 'ES256');
const anybody = [USERS, 'https://partner.example/customer/'];
const required = { mode: 'required', withoutSubject: 'refused', maxAgeSeconds: 300 };

export const grants = new VectorFile(
  'Grants: what a receiver asks before it believes that the user of a token has asked.',
  {
    issuer: CENSUS,
    audiences: [CENSUS],
    clockToleranceSeconds: 5,
    maxTokenLifetimeSeconds: 300,
    publicPathPrefix: '',
    requiredHeaders: [],
    trustDomain: TRUST_DOMAIN,
    maxGrantLifetimeSeconds: DAY,
    originators: [
      { issuer: EDGE, subjects: [USERS], scopes: null, keys: null },
      {
        issuer: SCHEDULER,
        subjects: [USERS],
        scopes: ['digest:send', 'digest:read'],
        keys: [jwkFor(keys['p-384'], 'ES384')],
      },
      {
        issuer: PARTNER,
        subjects: ['https://partner.example/customer/'],
        scopes: null,
        keys: [jwkFor(keys['p-521'], 'ES512')],
      },
    ],
    trustedIssuers: [
      {
        issuer: HERALD,
        profile: 'strict',
        subjects: anybody,
        subjectProof: required,
        keys: [heraldJwk],
      },
      {
        issuer: MAILER,
        profile: 'strict',
        subjects: anybody,
        subjectProof: { mode: 'required', withoutSubject: 'allowed', maxAgeSeconds: DAY },
        keys: [jwkFor(keys.rsa, 'RS256')],
      },
      {
        issuer: EDGE,
        profile: 'strict',
        subjects: [USERS],
        subjectProof: required,
        keys: [jwkFor(keys.ed25519, 'EdDSA')],
      },
      {
        issuer: AUDITOR,
        profile: 'strict',
        subjects: anybody,
        subjectProof: { mode: 'off' },
        keys: [heraldJwk],
      },
      {
        issuer: CRIER,
        profile: 'strict',
        subjects: anybody,
        subjectProof: { ...required, mode: 'report' },
        keys: [heraldJwk],
      },
    ],
    routes: [
      { path: '/job', proof: { maxAgeSeconds: DAY } },
      { path: '/fresh', proof: { maxAgeSeconds: 60 } },
      { path: '/delete', proof: { scopes: ['user:delete'] } },
      { path: '/digest', proof: { originators: [SCHEDULER] } },
      { path: '/strong', proof: { acrs: ['urn:example:two-factors'] } },
      { path: '/proof', proof: {} },
      { path: '/for-mailer', allowedIssuers: [MAILER] },
    ],
  },
);

/**
 * A grant, in parts; what is left out is as the edge writes it.
 *
 * @typedef {object} GrantParts
 * @property {Json} [header] laid over the good JOSE header; `undefined` leaves a member out
 * @property {Json} [claims] laid over the good claims, likewise
 * @property {string} [alg]
 * @property {TestKey} [key]
 * @property {(parts: TokenParts) => string} [build]
 * @property {(grant: string) => string} [respell] changes the grant after it was signed
 */

/** @returns {TokenParts} */
const partsOf = (
  /** @type {GrantParts} */ { header, claims, alg = 'EdDSA', key = keys.ed25519 },
) => ({
  header: defined({ alg, typ: 'txntoken+jwt', kid: key.kid, ...header }),
  claims: defined({
    iss: EDGE,
    aud: TRUST_DOMAIN,
    sub: USER,
    iat: NOW,
    exp: NOW + 300,
    txn: 'k3R5cD1nQ0yZ8uVw7tXh2A9b',
    scope: 'user-present',
    req_wl: EDGE,
    ...claims,
  }),
  alg,
  key,
});

const textOf = (/** @type {GrantParts} */ parts) => {
  const { build = sign, respell = (/** @type {string} */ grant) => grant } = parts;
  return respell(build(partsOf(parts)));
};

const hashOf = (/** @type {string} */ text) =>
  createHash('sha256').update(text).digest('base64url');

/** What a grant proves: with `null` for what it does not say. */
const proofOf = (/** @type {GrantParts} */ parts) => {
  const { claims } = partsOf(parts);
  return {
    originator: claims['iss'],
    transaction: claims['txn'],
    scopes: String(claims['scope']).split(' '),
    issuedAtSeconds: claims['iat'],
    expiresAtSeconds: claims['exp'],
    acr: claims['acr'] ?? null,
  };
};

/**
 * A grant in its header, and its hash in the token.
 *
 * @returns {Parts}
 */
function withGrant(/** @type {GrantParts} */ parts = {}) {
  const text = textOf(parts);
  return {
    headers: [['Txn-Token', text]],
    claims: { tth: hashOf(text) },
    grant: proofOf(parts),
  };
}

const AS_EDGE = /** @type {const} */ ({ issuer: EDGE, alg: 'EdDSA', key: keys.ed25519 });
const AS_MAILER = /** @type {const} */ ({ issuer: MAILER, alg: 'RS256', key: keys.rsa });
const AS_AUDITOR = /** @type {const} */ ({ issuer: AUDITOR });
const AS_CRIER = /** @type {const} */ ({ issuer: CRIER });
const BY_SCHEDULER = /** @type {const} */ ({ alg: 'ES384', key: keys['p-384'] });
const BY_PARTNER = /** @type {const} */ ({ alg: 'ES512', key: keys['p-521'] });
const fromScheduler = (/** @type {Json} */ claims = {}) => ({
  ...BY_SCHEDULER,
  claims: { iss: SCHEDULER, req_wl: SCHEDULER, scope: 'digest:send', ...claims },
});
const fromPartner = (/** @type {Json} */ claims = {}) => ({
  ...BY_PARTNER,
  claims: { iss: PARTNER, req_wl: PARTNER, sub: CUSTOMER, ...claims },
});
const issuedAgo = (/** @type {number} */ seconds, /** @type {number} */ lifetime = DAY) => ({
  iat: NOW - seconds,
  exp: NOW - seconds + lifetime,
});
const HALF_A_PAIR = { headers: [], claims: { tth: undefined } };

const good = grants.accept('grant', 'a call for a user with the grant of that user', withGrant());
grants.accept('grant-again', 'the same grant with another call', withGrant());
grants.accept('grant-body', 'a POST with a body and a grant', {
  ...POSTED,
  ...withGrant(),
  headers: [...POSTED.headers, ['Txn-Token', textOf({})]],
});

/** @type {(id: string, why: string, code: string, parts: GrantParts) => void} */
const refuse = (id, why, code, parts) => good.refuse(id, why, code, withGrant(parts));
/** @type {(id: string, why: string, parts: GrantParts, request?: Parts) => ReturnType<VectorFile['accept']>} */
const accept = (id, why, parts, request = {}) =>
  grants.accept(id, why, { ...withGrant(parts), ...request });

// One header, and a token that was made for it.
good.refuse('no-grant', 'neither a grant nor tth', 'grant_missing', HALF_A_PAIR);
good.refuse('no-header', 'tth, and the header taken away', 'grant_mismatch', { headers: [] });
good.refuse('no-tth', 'a grant beside a token without tth', 'grant_mismatch', {
  claims: { tth: undefined },
});
good.refuse(
  'other-grant',
  'another good grant of this user than the one signed',
  'grant_mismatch',
  {
    headers: withGrant({ claims: { txn: 'another-transaction-id-0' } }).headers,
  },
);
good.refuse('two-grants', 'the grant twice', 'grant_repeated', {
  headers: [
    ['Txn-Token', textOf({})],
    ['txn-token', textOf({})],
  ],
});
refuse('joined', 'the grant twice in one header, joined by a comma', 'grant_repeated', {
  respell: (grant) => `${grant},${grant}`,
});
for (const [id, why, edit] of /** @type {[string, string, (tth: string) => unknown][]} */ ([
  ['padded', 'with padding', (tth) => `${tth}=`],
  ['hex', 'in hex', (tth) => decode(tth).toString('hex')],
  ['list', 'as a list', (tth) => [tth]],
  ['null', 'null', () => null],
])) {
  good.refuse(`tth-${id}`, `tth ${why}`, 'grant_mismatch', {
    claims: { tth: edit(hashOf(textOf({}))) },
  });
}
accept('lower-case-name', 'the header is called txn-token', {}).refuse(
  'bearer',
  'Bearer before the grant',
  'grant_invalid',
  withGrant({ respell: (grant) => `Bearer ${grant}` }),
);

// How it is spelled.
accept('4096-characters', 'a grant of 4096 characters', {
  build: buildOfLength(MAX_GRANT_LENGTH),
}).refuse(
  '4097-characters',
  'a grant of 4097 characters',
  'grant_invalid',
  withGrant({ build: buildOfLength(MAX_GRANT_LENGTH + 1) }),
);
/** @type {[id: string, why: string, parts: GrantParts][]} */
const MISSPELLED = [
  ['no-ascii', 'the byte FF before the grant', { respell: (grant) => `\u00ff${grant}` }],
  ['inner-space', 'a space within the grant', { respell: editSegment(1, (part) => `${part} `) }],
  ['two-segments', 'no signature', { respell: (grant) => grant.replace(/\.[^.]*$/, '') }],
  ['four-segments', 'a fourth segment', { respell: (grant) => `${grant}.AAAA` }],
  ['padded-signature', '== after the signature', { respell: (grant) => `${grant}==` }],
  ['stray-bit-signature', 'a stray bit in the signature', { respell: editSegment(2, strayBit) }],
  [
    'stray-bit-header',
    'a stray bit in the JOSE header, signed so',
    {
      build: ({ header, claims, alg, key }) =>
        signSegments(encodeWithStrayBit(header), encode(JSON.stringify(claims)), alg, key),
    },
  ],
  [
    'stray-bit-claims',
    'a stray bit in the claims, signed so',
    {
      build: ({ header, claims, alg, key }) =>
        signSegments(encode(JSON.stringify(header)), encodeWithStrayBit(claims), alg, key),
    },
  ],
  ['no-json', 'claims that are no JSON', { build: withClaimsText(() => '{"iss":') }],
  ['no-object', 'claims that are a list', { build: withClaimsText((json) => `[${json}]`) }],
  [
    'duplicate-sub',
    'sub twice',
    { build: withClaimsText(inObject(`"sub":${JSON.stringify(OTHER_USER)}`)) },
  ],
  [
    'duplicate-escaped',
    'exp twice, once with an escape in its name',
    { build: withClaimsText(inObject(`"\\u0065xp":${NOW + DAY}`)) },
  ],
  [
    'duplicate-nested',
    'a member twice, within tctx',
    { build: withClaimsText(inObject('"tctx":{"amount":1,"amount":2}')) },
  ],
  ['duplicate-kid', 'kid twice', { build: withHeaderText(inObject('"kid":"other"')) }],
  ['proto', 'a member __proto__', { build: withClaimsText(inObject('"__proto__":{"scope":"a"}')) }],
  [
    'proto-header',
    'a member __proto__ in the JOSE header',
    { build: withHeaderText(inObject('"__proto__":{"alg":"none"}')) },
  ],
];
for (const [id, why, parts] of MISSPELLED) refuse(id, why, 'grant_invalid', parts);

/** Eight claims, and a list of so many items. */
const withItems = (/** @type {number} */ count) => ({
  claims: { extra: Array.from({ length: count }, () => 1) },
});
accept('64-values', '64 members and items in the claims', withItems(55)).refuse(
  '65-values',
  '65 members and items in the claims',
  'grant_invalid',
  withGrant(withItems(56)),
);

// Its JOSE header, its key, its signature.
accept('typ-media-type', 'typ application/TxnToken+JWT', {
  header: { typ: 'application/TxnToken+JWT' },
});
for (const [id, why, header] of /** @type {[string, string, Json][]} */ ([
  ['typ-service-token', 'typ svc+jwt', { typ: 'svc+jwt' }],
  ['typ-jwt', 'typ JWT', { typ: 'JWT' }],
  ['typ-missing', 'no typ', { typ: undefined }],
  ['kid-missing', 'no kid', { kid: undefined }],
  ['kid-number', 'kid 1', { kid: 1 }],
  ['kid-foreign', 'the kid of another service', { kid: keys['p-256'].kid }],
  ['alg-missing', 'no alg', { alg: undefined }],
  ['alg-other', 'alg ES256 with a key for EdDSA', { alg: 'ES256' }],
  ['alg-name', 'the other name of the algorithm of the key', { alg: 'Ed25519' }],
  ['alg-none', 'alg none over a good signature', { alg: 'none' }],
  ['crit', 'crit', { crit: ['exp'] }],
  ['jwk', 'the key sent along', { jwk: jwkFor(keys.ed25519, 'EdDSA') }],
  ['extra-member', 'another member in the JOSE header', { cty: 'json' }],
])) {
  refuse(id, why, 'grant_invalid', { header });
}
refuse('alg-hs256', 'HS256 keyed with the public key in PEM', 'grant_invalid', {
  header: { alg: 'HS256' },
  build: ({ header, claims, key }) =>
    macSegments(
      encode(JSON.stringify(header)),
      encode(JSON.stringify(claims)),
      key.publicKey.export({ type: 'spki', format: 'pem' }),
    ),
});
refuse('bit', 'a bit of the signature flipped', 'grant_invalid', {
  respell: editSignature((bytes) => bytes.map((byte, at) => (at === 20 ? byte ^ 1 : byte))),
});
refuse('forged', 'a forwarder signs in the name of the edge, with its kid', 'grant_invalid', {
  build: (parts) => sign({ ...parts, alg: 'ES256', key: keys['p-256'] }),
});
refuse('forged-own-kid', 'a forwarder signs in the name of the edge', 'grant_invalid', {
  alg: 'ES256',
  key: keys['p-256'],
});
refuse('signed-by-scheduler', 'another originator signs in the name of the edge', 'grant_invalid', {
  ...BY_SCHEDULER,
});

// Who vouches, for whom, for what.
refuse('own-grant', 'a forwarder makes a grant itself', 'originator_unknown', {
  alg: 'ES256',
  key: keys['p-256'],
  claims: { iss: HERALD, req_wl: HERALD },
});
for (const [id, iss] of /** @type {const} */ ([
  ['case', 'https://Edge.service/'],
  ['no-slash', 'https://edge.service'],
  ['proto', '__proto__'],
])) {
  refuse(`iss-${id}`, `iss ${iss}`, 'originator_unknown', { claims: { iss } });
}
const customer = accept('partner', 'a customer, for whom the partner vouches', fromPartner(), {
  subject: CUSTOMER,
});
customer.refuse(
  'other-prefix',
  'the edge vouches for a customer of the partner',
  'originator_not_allowed',
  withGrant({ claims: { sub: CUSTOMER } }),
);
refuse('partner-other-prefix', 'the partner vouches for a user', 'originator_not_allowed', {
  ...fromPartner({ sub: USER }),
});
accept(
  'dots',
  'a user with dots in a segment',
  { claims: { sub: `${USERS}a..b/` } },
  {
    subject: `${USERS}a..b/`,
  },
).refuse(
  'dot-segment',
  'a user with a dot segment, for whom its caller may not speak',
  'subject_not_allowed',
  { subject: `${USERS}../admin/`, ...withGrant({ claims: { sub: `${USERS}../admin/` } }) },
);
refuse('other-user', 'the grant of another user', 'grant_mismatch', {
  claims: { sub: OTHER_USER },
});
refuse('user-case', 'a user in other letters', 'grant_mismatch', {
  claims: { sub: USER.toUpperCase().replace('HTTPS', 'https') },
});
for (const [id, aud] of /** @type {const} */ ([
  ['other', 'https://staging.example.org/'],
  ['no-slash', 'https://prod.example.org'],
  ['case', 'https://PROD.example.org/'],
  ['receiver', CENSUS],
])) {
  refuse(`aud-${id}`, `aud ${aud}`, 'grant_mismatch', { claims: { aud } });
}
const scheduled = accept('scheduler', 'a scheduler, with its scope', fromScheduler());
scheduled.refuse(
  'scheduler-scope',
  'a scheduler, with a scope that it may not vouch for',
  'originator_not_allowed',
  withGrant(fromScheduler({ scope: 'user:delete' })),
);
scheduled.refuse(
  'scheduler-second-scope',
  'a scheduler, with its scope and another one',
  'originator_not_allowed',
  withGrant(fromScheduler({ scope: 'digest:send user:delete' })),
);
scheduled.refuse(
  'scheduler-user-present',
  'a scheduler that says the user is there',
  'originator_not_allowed',
  withGrant(fromScheduler({ scope: 'user-present' })),
);

// Its claims.
accept('all-claims', 'every claim of the protocol, and some that it does not name', {
  claims: {
    acr: 'urn:example:two-factors',
    auth_time: NOW - 100,
    amr: ['pwd', 'otp'],
    tctx: { action: 'BUY', quantity: 100, to: { geo: 'US' } },
    rctx: { req_ip: '192.0.2.1' },
    jti: 'x',
    purp: 'unknown',
    cnf: { jkt: 'unknown' },
  },
});
accept('fraction', 'times with fractions', { claims: { iat: NOW - 0.5, exp: NOW + 299.5 } });
accept('token-service', 'another req_wl than iss, as a token service writes', {
  claims: { req_wl: 'apigateway.trust-domain.example' },
});
for (const name of ['iss', 'aud', 'sub', 'iat', 'exp', 'txn', 'scope', 'req_wl']) {
  refuse(`no-${name}`, `no ${name}`, 'grant_invalid', { claims: { [name]: undefined } });
}
for (const [id, claims] of /** @type {[string, Json][]} */ ([
  ['iss-list', { iss: [EDGE] }],
  ['aud-list', { aud: [TRUST_DOMAIN] }],
  ['aud-empty', { aud: '' }],
  ['aud-257', { aud: 'a'.repeat(257) }],
  ['sub-number', { sub: 21 }],
  ['sub-no-uri', { sub: 'user21' }],
  ['iat-text', { iat: String(NOW) }],
  ['exp-null', { exp: null }],
  ['txn-number', { txn: 1234567890123456 }],
  ['txn-15', { txn: 'a'.repeat(15) }],
  ['txn-257', { txn: 'a'.repeat(257) }],
  ['txn-space', { txn: 'a transaction with spaces' }],
  ['req-wl-list', { req_wl: [EDGE] }],
  ['scope-list', { scope: ['user-present'] }],
  ['scope-empty', { scope: '' }],
  ['scope-two-spaces', { scope: 'user-present  user:read' }],
  ['scope-first-space', { scope: ' user-present' }],
  ['scope-last-space', { scope: 'user-present ' }],
  ['scope-tab', { scope: 'user-present\tuser:read' }],
  ['scope-quote', { scope: 'user"present' }],
  ['scope-backslash', { scope: 'user\\present' }],
  ['acr-number', { acr: 1 }],
  ['tctx-text', { tctx: 'BUY' }],
  ['exp-is-iat', { exp: NOW }],
  ['exp-before-iat', { iat: NOW + 2, exp: NOW + 1 }],
])) {
  const [name = ''] = Object.keys(claims);
  refuse(id, `${name} ${JSON.stringify(claims[name])}`, 'grant_invalid', { claims });
}
accept('lifetime-day', 'a lifetime of a day', { claims: { exp: NOW + DAY } }).refuse(
  'lifetime-longer',
  'a lifetime of a day and a second',
  'grant_invalid',
  withGrant({ claims: { exp: NOW + DAY + 1 } }),
);

// When.
accept('exp-tolerated', 'exp 4 s ago', { claims: { iat: NOW - 200, exp: NOW - 4 } }).refuse(
  'exp-over',
  'exp 5 s ago',
  'grant_expired',
  withGrant({ claims: { iat: NOW - 200, exp: NOW - 5 } }),
);
accept('iat-tolerated', 'iat 5 s ahead', { claims: { iat: NOW + 5, exp: NOW + 305 } }).refuse(
  'iat-ahead',
  'iat 6 s ahead',
  'grant_not_yet_valid',
  withGrant({ claims: { iat: NOW + 6, exp: NOW + 306 } }),
);
refuse('ten-minutes-ahead', 'iat ten minutes ahead', 'grant_not_yet_valid', {
  claims: { iat: NOW + 600, exp: NOW + 900 },
});
accept('age-300', 'made 305 s ago, which is 300 s and the tolerance', {
  claims: issuedAgo(305),
}).refuse('age-306', 'made 306 s ago', 'grant_expired', withGrant({ claims: issuedAgo(306) }));
refuse('hour-old', 'made an hour ago, with a lifetime of a day', 'grant_expired', {
  claims: issuedAgo(3600),
});
const job = accept(
  'job',
  'made an hour ago, where the issuer and the route say a day',
  { claims: issuedAgo(3600) },
  { ...AS_MAILER, target: '/job' },
);
job.refuse('job-elsewhere', 'the same, where the route says nothing', 'grant_expired', {
  target: '/user/42/?full=1',
});
job.refuse('job-of-herald', 'the same, where the issuer says 300 s', 'grant_expired', {
  issuer: HERALD,
  alg: 'ES256',
  key: keys['p-256'],
});
job.refuse('job-over', 'a day and an hour later', 'grant_expired', {
  ...withGrant({ claims: issuedAgo(DAY + 3600) }),
});
job.refuse('job-of-minutes', 'queued with a grant of 300 s', 'grant_expired', {
  ...withGrant({ claims: issuedAgo(3600, 300) }),
});
accept(
  'fresh',
  'made 60 s ago, where the route says 60',
  { claims: issuedAgo(60) },
  {
    target: '/fresh',
  },
).refuse('fresh-not', 'made 66 s ago, where the route says 60', 'grant_expired', {
  ...withGrant({ claims: issuedAgo(66) }),
});

// What a route asks.
const scope = 'user:read user:delete';
const deletion = accept(
  'scope',
  'the scope of the route among others',
  { claims: { scope } },
  {
    target: '/delete',
  },
);
for (const [id, other] of /** @type {const} */ ([
  ['user-present', 'user-present'],
  ['other', 'user:read'],
  ['longer', 'user:delete:all'],
  ['wildcard', '*'],
  ['case', 'user:Delete'],
])) {
  deletion.refuse(`scope-${id}`, `${other}, where user:delete is asked`, 'scope_missing', {
    ...withGrant({ claims: { scope: other } }),
  });
}
accept('digest', 'the originator that the route names', fromScheduler(), {
  target: '/digest',
}).refuse(
  'digest-of-edge',
  'another originator than the route names',
  'originator_not_allowed',
  withGrant({ claims: { scope: 'digest:send' } }),
);
const acr = 'urn:example:two-factors';
const strong = accept(
  'acr',
  'the acr of the route, on a call of the edge itself',
  {
    claims: { acr },
  },
  { ...AS_EDGE, target: '/strong' },
);
strong.refuse('acr-missing', 'no acr, where one is asked', 'authentication_insufficient', {
  ...withGrant(),
});
strong.refuse('acr-other', 'another acr', 'authentication_insufficient', {
  ...withGrant({ claims: { acr: 'urn:example:password' } }),
});

// Who calls.
const direct = accept(
  'edge',
  'the originator calls, and its call carries a grant too',
  {},
  AS_EDGE,
);
direct.refuse(
  'edge-no-grant',
  'the originator calls for a user who never came, as when somebody else named him to it',
  'grant_missing',
  HALF_A_PAIR,
);
direct.refuse('edge-old-grant', 'the originator hands on a grant of an hour ago', 'grant_expired', {
  ...withGrant({ claims: issuedAgo(3600) }),
});
direct.refuse(
  'edge-other-user',
  'the originator calls for a user for whom it may not speak',
  'subject_not_allowed',
  { subject: CUSTOMER, ...withGrant({ claims: { sub: CUSTOMER } }) },
);
customer.refuse('partner-calls', 'one that is an originator alone calls', 'issuer_unknown', {
  issuer: PARTNER,
  ...BY_PARTNER,
});
good.refuse('service-token', 'a service token as the grant', 'grant_invalid', {
  ...withGrant({ header: { typ: 'svc+jwt' }, claims: { aud: CENSUS, jti: 'a'.repeat(32) } }),
});
direct.refuse('grant-as-token', 'the grant as the service token', 'header_invalid', {
  build: () => textOf({ claims: { aud: CENSUS } }),
});
const own = grants.accept('no-user', 'a service that acts for itself, and may', {
  ...AS_MAILER,
  subject: undefined,
  grant: null,
});
own.refuse('no-user-herald', 'a service that acts for itself, and may not', 'subject_missing', {
  issuer: HERALD,
  alg: 'ES256',
  key: keys['p-256'],
});
own.refuse('no-user-proof', 'nobody, on a route that asks for a proof', 'subject_missing', {
  target: '/proof',
});
grants.accept('no-user-grant', 'a service that acts for itself, with a grant beside it', {
  ...AS_MAILER,
  subject: undefined,
  ...withGrant(),
  grant: null,
});

// Modes: nothing is asked, or nobody is refused. Nothing is proved there.
for (const [name, caller] of /** @type {const} */ ([
  ['off', AS_AUDITOR],
  ['report', AS_CRIER],
])) {
  const asks = `with ${name}`;
  const nothing = { ...caller, grant: null };
  grants.accept(`${name}-grant`, `a grant, ${asks}`, { ...withGrant(), ...nothing });
  grants.accept(`${name}-none`, `no grant, ${asks}`, nothing);
  grants.accept(`${name}-expired`, `a grant of an hour ago, ${asks}`, {
    ...withGrant({ claims: issuedAgo(3600) }),
    ...nothing,
  });
  grants.accept(`${name}-no-header`, `tth alone, ${asks}`, {
    ...withGrant(),
    headers: [],
    ...nothing,
  });
  grants.accept(`${name}-no-tth`, `a grant without tth, ${asks}`, {
    ...withGrant(),
    claims: {},
    ...nothing,
  });
  grants.accept(`${name}-two-grants`, `the grant twice, ${asks}`, {
    ...withGrant(),
    headers: [...(withGrant().headers ?? []), ...(withGrant().headers ?? [])],
    ...nothing,
  });
  grants.accept(`${name}-no-user`, `nobody, ${asks}`, { ...nothing, subject: undefined });
  grants.accept(`${name}-garbage`, `no grant in the header, ${asks}`, {
    ...withGrant({ respell: () => 'garbage' }),
    ...nothing,
  });
  accept(
    `${name}-proof`,
    `a grant ${asks}, on a route that asks for a proof`,
    {},
    {
      ...caller,
      target: '/proof',
    },
  ).refuse(
    `${name}-proof-none`,
    `no grant ${asks}, on a route that asks for a proof`,
    'grant_missing',
    HALF_A_PAIR,
  );
}

// The first step that fails decides.
const mailed = accept(
  'for-mailer',
  'a route for the mailer',
  {},
  { ...AS_MAILER, target: '/for-mailer' },
);
mailed.refuse('policy-first', 'another issuer, and no grant', 'issuer_not_allowed', {
  ...HALF_A_PAIR,
  issuer: HERALD,
  alg: 'ES256',
  key: keys['p-256'],
});
good.refuse('binding-first', 'another request, and no grant', 'request_mismatch', {
  ...HALF_A_PAIR,
  madeFor: { target: '/user/43/' },
});
good.refuse('pair-first', 'another grant than the one signed, and no good one', 'grant_mismatch', {
  headers: [['Txn-Token', 'garbage']],
});
refuse('form-first', 'an unknown originator, and no scope', 'grant_invalid', {
  claims: { iss: HERALD, scope: undefined },
});
refuse('signature-first', 'a flipped bit in the grant of another user', 'grant_invalid', {
  claims: { sub: OTHER_USER },
  respell: editSignature((bytes) => bytes.map((byte, at) => (at === 20 ? byte ^ 1 : byte))),
});
refuse('user-first', 'the grant of another user, of an hour ago', 'grant_mismatch', {
  claims: { sub: OTHER_USER, ...issuedAgo(3600) },
});
deletion.refuse('time-first', 'an hour old, and the scope missing', 'grant_expired', {
  ...withGrant({ claims: issuedAgo(3600) }),
});
const used = accept('used', 'a call that is used twice', {});
used.refuse('used-again', 'the same token again', 'token_replayed', {
  uses: 'used',
  after: ['used'],
});
used.refuse('used-no-header', 'the same token again, without the grant', 'grant_mismatch', {
  uses: 'used',
  after: ['used'],
  headers: [],
});
good.refuse('stripped', 'the grant taken away on the way', 'grant_mismatch', { headers: [] });
grants.accept('stripped-then-whole', 'the same token with its grant: a refusal used nothing up', {
  ...withGrant(),
  uses: 'stripped',
  after: ['stripped'],
});
