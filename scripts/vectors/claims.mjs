// The claims of a strict token: their types and forms, the names, the times. Protocol steps 2, 3 and 6.
import { HERALD, PEOPLE, POSTED, RECEIVER } from './receiver.mjs';
import { NOW, VectorFile, withClaimsText } from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */

export const claims = new VectorFile(
  'The claims of a strict token: which must be there, their types, the names and the times.',
  RECEIVER,
);

const get = claims.accept('get', 'a GET for a user, with a query');
const post = claims.accept('post', 'a POST with a JSON body', POSTED);
/** @type {(id: string, why: string, code: string, change: Json, row?: string) => void} */
const refuse = (id, why, code, change, row) =>
  get.refuse(id, why, code, { claims: change, ...(row && { catalogue: [row] }) });
/** @type {(id: string, why: string, change: Json, row?: string) => void} */
const accept = (id, why, change, row) =>
  void claims.accept(id, why, { claims: change, ...(row && { catalogue: [row] }) });

const REQUIRED = ['iss', 'aud', 'exp', 'iat', 'jti', 'req'];
REQUIRED.forEach((name, at) =>
  refuse(`no-${name}`, `no ${name}`, 'claim_missing', { [name]: undefined }, `CL-0${at + 1}`),
);
post.refuse('no-bdy', 'a body, and no bdy', 'claim_missing', {
  claims: { bdy: undefined },
  catalogue: ['CL-07'],
});
refuse(
  'no-aud-upper-case',
  'AUD for aud',
  'claim_missing',
  { aud: undefined, AUD: PEOPLE },
  'CL-24',
);

/** @type {[name: string, row: string][]} */
const STRINGS = [
  ['iss', 'CL-08'],
  ['sub', 'CL-09'],
  ['jti', 'CL-10'],
  ['bdy', 'CL-11'],
  ['req', 'CL-12'],
  ['aud', 'AI-01'],
];
for (const [name, row] of STRINGS) {
  for (const [type, value] of /** @type {[string, unknown][]} */ ([
    ['number', 5],
    ['boolean', true],
    ['null', null],
    ['array', ['https://census.service/']],
    ['object', {}],
  ])) {
    const why = `${name} ${JSON.stringify(value)}`;
    refuse(`${name}-${type}`, why, 'claim_invalid', { [name]: value }, row);
  }
}
for (const name of ['iat', 'exp', 'nbf']) {
  for (const [type, value] of /** @type {[string, unknown][]} */ ([
    ['string', String(NOW + 30)],
    ['null', null],
    ['boolean', true],
    ['array', [NOW + 30]],
  ])) {
    const why = `${name} ${JSON.stringify(value)}`;
    refuse(`${name}-${type}`, why, 'claim_invalid', { [name]: value }, 'TM-04');
  }
}

claims.accept('second-audience', 'another of the receiver’s names', {
  audience: PEOPLE,
});
refuse('aud-empty', 'an empty aud', 'claim_invalid', { aud: '' }, 'AI-01');
for (const [id, aud, row] of /** @type {const} */ ([
  ['other', 'https://other.service/', 'AI-02'],
  ['longer', 'https://census.service/user/', 'AI-03'],
  ['prefix', 'https://census.service', 'AI-03'],
  ['superstring', 'https://census.service.example/', 'AI-03'],
  ['case', 'https://CENSUS.service/', 'AI-04'],
  ['port', 'https://census.service:443/', 'AI-04'],
])) {
  refuse(`aud-${id}`, `aud ${aud}`, 'audience_mismatch', { aud }, row);
}
for (const [id, iss, row] of /** @type {const} */ ([
  ['stranger', 'https://stranger.service/', 'AI-07'],
  ['no-slash', 'https://herald.service', 'AI-09'],
  ['case', 'https://Herald.service/', 'AI-09'],
  ['space', 'https://herald.service/ ', 'AI-09'],
  ['proto', '__proto__', 'AI-10'],
])) {
  refuse(`iss-${id}`, `iss ${JSON.stringify(iss)}`, 'issuer_unknown', { iss }, row);
}
refuse(
  'iss-list',
  'iss as a list',
  'claim_invalid',
  { iss: ['https://evil.example/', HERALD] },
  'AI-08',
);

accept('no-sub', 'a service that acts for itself', { sub: undefined });
accept('sub-urn', 'a URN as the user', { sub: 'urn:census:user:21' });
accept(
  'sub-unicode',
  'a user with a letter outside of ASCII',
  { sub: 'https://census.service/user/zoë/' },
  'CL-16',
);
const subjectOf = (/** @type {number} */ length) => 'https://census.service/'.padEnd(length, 'u');
accept('sub-1024', 'a sub of 1024 characters', { sub: subjectOf(1024) });
for (const [id, sub, row] of /** @type {const} */ ([
  ['empty', '', 'CL-13'],
  ['blank', ' ', 'CL-13'],
  ['line-break', 'https://census.service/user/\r\n21/', 'CL-14'],
  ['nul', 'https://census.service/user/\u000021/', 'CL-14'],
  ['bidi', 'https://census.service/user/\u202e21/', 'CL-14'],
  ['relative', '/user/21/', 'CL-15'],
  ['word', 'admin', 'CL-15'],
  ['javascript', 'javascript:alert(1)', 'CL-15'],
  ['file', 'file:///etc/passwd', 'CL-15'],
  ['credentials', 'https://admin:secret@census.service/user/21/', 'CL-15'],
])) {
  refuse(`sub-${id}`, `sub ${JSON.stringify(sub)}`, 'claim_invalid', { sub }, row);
}
refuse('sub-1025', 'a sub of 1025 characters', 'claim_invalid', { sub: subjectOf(1025) }, 'CL-13');

accept('jti-16', 'a jti of 16 characters', { jti: 'jti-16-'.padEnd(16, 'x') });
accept('jti-256', 'a jti of 256 characters', { jti: 'jti-256-'.padEnd(256, 'x') });
refuse('jti-15', 'a jti of 15 characters', 'claim_invalid', { jti: 'x'.repeat(15) }, 'RP-07');
refuse('jti-257', 'a jti of 257 characters', 'claim_invalid', { jti: 'x'.repeat(257) }, 'RP-07');
refuse('jti-space', 'a jti with a space', 'claim_invalid', { jti: `${'x'.repeat(20)} x` }, 'RP-07');
refuse(
  'jti-control',
  'a jti with a control character',
  'claim_invalid',
  { jti: `${'x'.repeat(20)}\u0007` },
  'RP-07',
);

refuse(
  'req-no-space',
  'a req without a space',
  'claim_invalid',
  { req: 'GET/user/42/?full=1' },
  'RB-19',
);
refuse(
  'req-two-spaces',
  'a req with the version',
  'claim_invalid',
  { req: 'GET /user/42/?full=1 HTTP/1.1' },
  'RB-19',
);
const longTarget = (/** @type {number} */ length) =>
  '/user/?q='.padEnd(length - 'GET '.length, 'q');
claims
  .accept('req-4096', 'a req of 4096 characters', { target: longTarget(4096) })
  .refuse('req-4097', 'a req of 4097 characters', 'claim_invalid', {
    target: longTarget(4097),
    catalogue: ['RB-19'],
  });

for (const [id, hdr] of /** @type {[string, unknown][]} */ ([
  ['array', ['content-type']],
  ['string', 'content-type'],
  ['number', 5],
  ['null', null],
  ['value-number', { 'x-order': 5 }],
  ['value-array', { 'x-order': ['7'] }],
  ['upper-case', { 'X-Order': '7' }],
  ['no-name', { '': '7' }],
  ['33-members', Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`x-${at}`, '']))],
])) {
  refuse(`hdr-${id}`, `hdr: ${id}`, 'claim_invalid', { hdr }, 'CL-12');
}
for (const [id, bdy, row] of /** @type {const} */ ([
  ['upper-case', 'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855', 'BB-11'],
  ['sha-1', 'da39a3ee5e6b4b0d3255bfef95601890afd80709', 'BB-13'],
  ['md5', 'd41d8cd98f00b204e9800998ecf8427e', 'BB-13'],
  ['base64', '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', 'BB-11'],
  ['cut', 'e3b0c44298fc1c149afbf4c8996fb924', 'BB-12'],
  ['empty', '', 'BB-10'],
])) {
  refuse(`bdy-${id}`, `bdy: ${id}`, 'claim_invalid', { bdy }, row);
}
accept(
  'extra-claims',
  'claims that nobody asked for',
  { scope: 'all', n: [1, { x: null }] },
  'CL-20',
);

// The clock of the receiver may differ by 5 seconds, and a token may live for 300.
accept('exp-4-ago', 'expired 4 seconds ago', { iat: NOW - 60, exp: NOW - 4 });
accept('exp-4.5-ago', 'expired 4.5 seconds ago', { iat: NOW - 60.5, exp: NOW - 4.5 }, 'TM-10');
accept('exp-soon', 'expires in a second', { iat: NOW - 59, exp: NOW + 1 }, 'TM-03');
refuse(
  'exp-5-ago',
  'expired 5 seconds ago',
  'token_expired',
  { iat: NOW - 60, exp: NOW - 5 },
  'TM-02',
);
refuse(
  'exp-6-ago',
  'expired 6 seconds ago',
  'token_expired',
  { iat: NOW - 60, exp: NOW - 6 },
  'TM-01',
);
refuse('exp-0', 'exp 0', 'token_expired', { exp: 0 }, 'TM-09');
refuse('exp-negative', 'exp -1', 'token_expired', { exp: -1 }, 'TM-09');
get.refuse('exp-infinite', 'exp 1e999', 'claim_invalid', {
  build: withClaimsText((json) => json.replace(/"exp":\d+/, '"exp":1e999')),
  catalogue: ['TM-05'],
});
get.refuse('exp-leading-zero', 'exp with a leading zero', 'token_malformed', {
  build: withClaimsText((json) => json.replace('"exp":', '"exp":0')),
  catalogue: ['TM-15'],
});
refuse('exp-1e308', 'exp 1e308', 'lifetime_too_long', { exp: 1e308 }, 'TM-05');
refuse(
  'exp-milliseconds',
  'exp in milliseconds',
  'lifetime_too_long',
  { exp: (NOW + 60) * 1000 },
  'TM-06',
);
accept('lifetime-300', 'a lifetime of 300 seconds', { exp: NOW + 300 });
refuse(
  'lifetime-301',
  'a lifetime of 301 seconds',
  'lifetime_too_long',
  { exp: NOW + 301 },
  'TM-07',
);
refuse('exp-is-iat', 'exp is iat', 'claim_invalid', { iat: NOW, exp: NOW }, 'TM-08');
refuse(
  'exp-before-iat',
  'exp is before iat',
  'claim_invalid',
  { iat: NOW + 2, exp: NOW + 1 },
  'TM-08',
);
accept('iat-5-ahead', 'issued in 5 seconds', { iat: NOW + 5, exp: NOW + 65 });
refuse(
  'iat-6-ahead',
  'issued in 6 seconds',
  'token_not_yet_valid',
  { iat: NOW + 6, exp: NOW + 66 },
  'TM-11',
);
accept('nbf-5-ahead', 'valid in 5 seconds', { nbf: NOW + 5 });
refuse('nbf-6-ahead', 'valid in 6 seconds', 'token_not_yet_valid', { nbf: NOW + 6 }, 'TM-14');
accept('nbf-is-exp', 'nbf is exp', { iat: NOW, nbf: NOW + 4, exp: NOW + 4 });
refuse(
  'nbf-after-exp',
  'nbf is after exp',
  'claim_invalid',
  { nbf: NOW + 5, exp: NOW + 4 },
  'TM-08',
);
