// What binds a strict token to its request, and what it may do there: protocol steps 7 to 9.
import { digest } from './forge.mjs';
import { CLERK, HERALD, NAMESAKE, POSTED, RECEIVER } from './receiver.mjs';
import { keys } from './keys.mjs';
import { NOW, VectorFile } from './vector-file.mjs';

/** @typedef {[string, string][]} Headers */

const AS_CLERK = { issuer: CLERK, alg: 'ES384', key: keys['p-384'] };
const TEXT = /** @type {Headers} */ ([['Content-Type', 'text/plain; charset=utf-8']]);
const BINARY = /** @type {Headers} */ ([['Content-Type', 'application/octet-stream']]);
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const NOTHING = digest('sha256', '');

export const binding = new VectorFile(
  'What binds a strict token to one request: method, target, headers and body; then policy and first use.',
  RECEIVER,
);

const get = binding.accept('get', 'a GET for a user, with a query');
const post = binding.accept('post-json', 'a POST with JSON in UTF-8', {
  ...POSTED,
});

get.refuse('other-method', 'made for DELETE', 'request_mismatch', {
  madeFor: { method: 'DELETE' },
  catalogue: ['RB-01'],
});
get.refuse('method-case', 'made for get', 'request_mismatch', {
  madeFor: { method: 'get' },
  catalogue: ['RB-04'],
});
/** @type {[id: string, target: string, other: string, why: string, row: string][]} */
const TARGETS = [
  ['path', '/user/42/?full=1', '/user/43/?full=1', 'another path', 'RB-05'],
  ['no-query', '/user/42/?full=1', '/user/42/', 'no query', 'RB-06'],
  ['query-value', '/user/42/?full=1', '/user/42/?full=0', 'another query', 'RB-06'],
  ['query-order', '/user/?a=1&b=2', '/user/?b=2&a=1', 'the query in another order', 'RB-07'],
  ['empty-query', '/user/42/?', '/user/42/', 'no question mark', 'RB-07'],
  ['slash', '/user/42/', '/user/42', 'no final slash', 'RB-12'],
  ['double-slash', '/user//42/', '/user/42/', 'one slash for two', 'RB-10'],
  ['case', '/user/Zoe/', '/user/zoe/', 'another case', 'RB-12'],
  ['decoded', '/user/%41/', '/user/A/', 'the path decoded', 'RB-08'],
  ['hex-case', '/user/%C3%AB/', '/user/%c3%ab/', 'other letters in a percent-encoding', 'RB-08'],
  ['plus', '/user/?q=a+b', '/user/?q=a%20b', '%20 for +', 'RB-07'],
  ['dot-segment', '/user/a/%2e%2e/b', '/user/b', 'the path normalised', 'RB-11'],
];
for (const [id, target, other, why, row] of TARGETS) {
  binding
    .accept(`target-${id}`, `the target ${target}`, { target })
    .refuse(
      `target-not-${id}`,
      `the target ${target}, and the token has ${why}`,
      'request_mismatch',
      {
        madeFor: { target: other },
        catalogue: [row],
      },
    );
}
binding.accept('forwarded', 'headers that say the request came to another host', {
  headers: [
    ['X-Forwarded-Host', 'other.service'],
    ['X-Forwarded-Prefix', '/other'],
    ['Forwarded', 'host=other.service'],
  ],
  catalogue: ['AI-12'],
});

for (const [id, type, why] of /** @type {const} */ ([
  ['other', 'text/plain', 'made for text/plain'],
  ['parameter', 'application/json; charset=utf-8', 'made with a parameter'],
  ['case', 'Application/JSON', 'made with other letters'],
])) {
  post.refuse(`content-type-${id}`, `a Content-Type ${why}`, 'header_mismatch', {
    madeFor: { headers: [['Content-Type', type]] },
    catalogue: ['BB-18'],
  });
}
post.refuse(
  'content-type-unbound',
  'a body whose Content-Type hdr does not list',
  'header_mismatch',
  {
    claims: { hdr: undefined },
    catalogue: ['BB-18'],
  },
);
post.refuse('hdr-empty', 'an empty hdr', 'header_mismatch', { claims: { hdr: {} } });

const BYTES = { method: 'POST', target: '/picture', headers: BINARY, body: ALL_BYTES };
const plain = binding.accept('no-coding', 'bytes without a coding', BYTES);
for (const [id, value] of /** @type {const} */ ([
  ['gzip', 'gzip'],
  ['identity', 'identity'],
  ['twice', 'gzip, gzip'],
  ['empty', ''],
])) {
  plain.refuse(
    `coding-added-${id}`,
    `a Content-Encoding "${value}" that was added`,
    'header_mismatch',
    {
      headers: [...BINARY, ['Content-Encoding', value]],
      madeFor: { headers: BINARY },
      catalogue: ['CH-01'],
    },
  );
}
const GZIP = /** @type {Headers} */ ([...BINARY, ['Content-Encoding', 'gzip']]);
const coded = binding.accept('coding', 'bytes with a Content-Encoding, signed as they are sent', {
  ...BYTES,
  headers: GZIP,
  catalogue: ['CH-09'],
});
coded.refuse('coding-removed', 'the Content-Encoding removed', 'header_mismatch', {
  headers: BINARY,
  madeFor: { headers: GZIP },
  catalogue: ['CH-02'],
});
for (const [id, value] of /** @type {const} */ ([
  ['other', 'br'],
  ['identity', 'identity'],
  ['case', 'GZIP'],
  ['doubled', 'gzip, gzip'],
  ['empty', ''],
])) {
  coded.refuse(`coding-${id}`, `the Content-Encoding "${value}" for gzip`, 'header_mismatch', {
    headers: [...BINARY, ['Content-Encoding', value]],
    madeFor: { headers: GZIP },
    catalogue: ['CH-03'],
  });
}
coded.refuse('coding-two-lines', 'the Content-Encoding twice', 'header_mismatch', {
  headers: [...GZIP, ['content-encoding', 'gzip']],
  madeFor: { headers: GZIP },
  catalogue: ['CH-04'],
});
coded.refuse('coding-unbound', 'a Content-Encoding hdr does not list', 'header_mismatch', {
  claims: { hdr: { 'content-type': 'application/octet-stream' } },
  catalogue: ['CH-05'],
});
coded.refuse('coding-decoded-bdy', 'bdy of the decoded form', 'body_mismatch', {
  claims: { bdy: digest('sha256', 'decoded') },
  catalogue: ['BB-20'],
});
binding
  .accept('coding-no-value', 'a Content-Encoding without a value, signed', {
    ...BYTES,
    headers: [...BINARY, ['Content-Encoding', '']],
    catalogue: ['CH-09'],
  })
  .refuse('coding-no-value-unbound', 'one that hdr does not list', 'header_mismatch', {
    claims: { hdr: { 'content-type': 'application/octet-stream' } },
    catalogue: ['CH-05'],
  });
binding.accept('coding-of-nothing', 'a Content-Encoding of no body, which need not be bound', {
  headers: [['Content-Encoding', 'gzip']],
  catalogue: ['CH-10'],
});
const RANGE = /** @type {Headers} */ ([...BINARY, ['Content-Range', 'bytes 0-255/512']]);
const part = binding.accept('range', 'a Content-Range, signed', {
  ...BYTES,
  method: 'PUT',
  headers: RANGE,
  catalogue: ['CH-09'],
});
part.refuse('range-other', 'another Content-Range', 'header_mismatch', {
  headers: [...BINARY, ['Content-Range', 'bytes 256-511/512']],
  madeFor: { headers: RANGE },
  catalogue: ['CH-06'],
});
part.refuse('range-unbound', 'a Content-Range hdr does not list', 'header_mismatch', {
  claims: { hdr: { 'content-type': 'application/octet-stream' } },
  catalogue: ['CH-06'],
});
plain.refuse('content-type-twice', 'the Content-Type twice', 'header_mismatch', {
  headers: [...BINARY, ...BINARY],
  madeFor: { headers: BINARY },
  catalogue: ['CH-07'],
});
binding.accept('language', 'a Content-Language, which need not be bound', {
  ...BYTES,
  headers: [...BINARY, ['Content-Language', 'cs']],
  catalogue: ['CH-11'],
});
const chunked = binding.accept('chunked', 'a body in chunks', {
  ...BYTES,
  headers: [...BINARY, ['Transfer-Encoding', 'chunked']],
  catalogue: ['CH-09'],
});
for (const [id, value] of /** @type {const} */ ([
  ['gzip', 'gzip, chunked'],
  ['identity', 'identity, chunked'],
])) {
  chunked.refuse(`transfer-coding-${id}`, `the Transfer-Encoding "${value}"`, 'body_unverifiable', {
    headers: [...BINARY, ['Transfer-Encoding', value]],
    catalogue: ['CH-08'],
  });
}

const order = /** @type {Headers} */ ([['X-Order', '7']]);
const bound = binding.accept('hdr-more', 'another header is bound', {
  headers: order,
  claims: { hdr: { 'x-order': '7' } },
});
bound.refuse('hdr-more-differs', 'a bound header that differs', 'header_mismatch', {
  headers: [['X-Order', '8']],
});
bound.refuse('hdr-more-missing', 'a bound header that is not there', 'header_mismatch', {
  headers: [],
});
bound.refuse('hdr-more-twice', 'a bound header that is there twice', 'header_mismatch', {
  headers: [...order, ...order],
});
bound.refuse('hdr-more-case', 'a bound header in other letters', 'header_mismatch', {
  claims: { hdr: { 'x-order': 'seven' } },
});

binding.accept('no-body', 'a POST without a body', {
  method: 'POST',
  target: '/user/',
  catalogue: ['BB-09'],
});
const empty = binding.accept('empty-body', 'no body, and the digest of nothing', {
  method: 'POST',
  target: '/user/',
  claims: { bdy: NOTHING },
  catalogue: ['BB-09'],
});
empty.refuse('empty-body-other', 'no body, and the digest of something', 'body_mismatch', {
  claims: { bdy: digest('sha256', 'x') },
  catalogue: ['BB-02'],
});
const text = binding.accept('text', 'text in UTF-8', {
  method: 'PUT',
  target: '/user/42/note',
  headers: TEXT,
  body: 'Žlutý kůň 🐎\r\n',
});
text.refuse('text-line-end', 'text with another line end', 'body_mismatch', {
  madeFor: { body: 'Žlutý kůň 🐎\n' },
});
text.refuse('text-decomposed', 'text in another normal form', 'body_mismatch', {
  madeFor: { body: 'Žlutý kůň 🐎\r\n'.normalize('NFD') },
});
binding
  .accept('binary', 'every byte from 0 to 255', {
    method: 'POST',
    target: '/picture',
    headers: BINARY,
    body: ALL_BYTES,
  })
  .refuse('binary-one-bit', 'one bit of it differs', 'body_mismatch', {
    madeFor: { body: ALL_BYTES.map((byte) => (byte === 255 ? 254 : byte)) },
  });
binding.accept('no-content-type', 'a body without a Content-Type', {
  method: 'POST',
  target: '/picture',
  body: ALL_BYTES.slice(0, 16),
});
binding.accept('form', 'a form', {
  method: 'POST',
  target: '/user/',
  headers: [['Content-Type', 'application/x-www-form-urlencoded']],
  body: 'name=Zo%C3%AB&age=+21',
});
for (const algorithm of ['sha384', 'sha512']) {
  binding
    .accept(`bdy-${algorithm}`, `a bdy of ${algorithm}`, {
      ...POSTED,
      claims: { bdy: digest(algorithm, POSTED.body) },
    })
    .refuse(`bdy-${algorithm}-other`, `a bdy of ${algorithm}, of another body`, 'body_mismatch', {
      claims: { bdy: digest(algorithm, `${POSTED.body} `) },
    });
}
post.refuse('bdy-md5', 'a bdy of MD5, which strict does not accept', 'claim_invalid', {
  claims: { bdy: digest('md5', POSTED.body) },
  catalogue: ['BB-13'],
});
post.refuse('bdy-of-nothing', 'a body, and the digest of nothing', 'body_mismatch', {
  claims: { bdy: NOTHING },
  catalogue: ['BB-10'],
});
for (const [id, body, why, row] of /** @type {const} */ ([
  ['changed', '{"name":"Zoe"}', 'another letter', 'BB-01'],
  ['longer', '{"name":"Zoë"}\n', 'a line break after it', 'BB-01'],
  ['reformatted', '{ "name": "Zoë" }', 'spaces in it', 'BB-15'],
])) {
  post.refuse(`body-${id}`, `made for the body with ${why}`, 'body_mismatch', {
    madeFor: { body },
    catalogue: [row],
  });
}

binding
  .accept('for-user', 'a route that asks for a user', { target: '/for-user' })
  .refuse('for-user-nobody', 'the same, for nobody', 'subject_missing', {
    subject: undefined,
    catalogue: ['CL-07'],
  });
binding
  .accept('for-clerk', 'a route for one service alone', { target: '/for-clerk', ...AS_CLERK })
  .refuse('for-clerk-herald', 'the same, called by another service', 'issuer_not_allowed', {
    issuer: HERALD,
    alg: 'ES256',
    key: keys['p-256'],
    catalogue: ['AI-11'],
  });
const clerk = binding.accept('subject-allowed', 'a user this service may speak for', AS_CLERK);
binding.accept('subject-allowed-urn', 'another one', { ...AS_CLERK, subject: 'urn:census:21' });
for (const [id, subject] of /** @type {const} */ ([
  ['other', 'https://census.service/admin/1/'],
  ['host', 'https://census.service.example/user/21/'],
  ['prefix', 'https://census.service/user'],
  ['case', 'https://census.service/User/21/'],
])) {
  clerk.refuse(`subject-${id}`, `speaks for ${subject}`, 'subject_not_allowed', {
    subject,
    catalogue: ['CL-22'],
  });
}

const once = binding.accept('once', 'a token that will be sent again');
once.refuse('once-again', 'the same token once more', 'token_replayed', {
  uses: 'once',
  after: ['once'],
  claims: { jti: undefined },
  catalogue: ['RP-01'],
});
const tokenId = 'a-token-id-that-is-used-by-several';
binding
  .accept('jti-first', 'a jti for the first time', { claims: { jti: tokenId } })
  .refuse('jti-second', 'another token with this jti', 'token_replayed', {
    after: ['jti-first'],
    claims: { jti: tokenId, iat: NOW - 1 },
    catalogue: ['RP-05'],
  });
binding.accept('jti-other-issuer', 'this jti from another issuer', {
  issuer: NAMESAKE,
  key: { ...keys.stranger, kid: keys['p-256'].kid },
  after: ['jti-first'],
  claims: { jti: tokenId },
  catalogue: ['RP-04'],
});
get.refuse('unburnt-first', 'a good token with another request', 'request_mismatch', {
  madeFor: { target: '/user/7/' },
});
binding.accept('unburnt', 'the same token with its own request: a refusal burns no token', {
  target: '/user/7/',
  uses: 'unburnt-first',
  after: ['unburnt-first'],
  catalogue: ['RP-11'],
});
