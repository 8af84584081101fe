// The original profile: the format as it was first published.
import { digest, encode, macSegments } from './forge.mjs';
import { jwkFor, keys } from './keys.mjs';
import { HERALD, PAIR, POSTED, RECEIVER, VETERAN } from './receiver.mjs';
import { NOW, sign, VectorFile, withClaimsText } from './vector-file.mjs';

const { stranger } = keys;
const own = keys['p-256'];

export const original = new VectorFile(
  'The original profile: iss, aud, sub, an MD5 of the body, and nothing that binds the request.',
  RECEIVER,
  { issuer: VETERAN, profile: 'original' },
);

const get = original.accept('get', 'a GET');
const post = original.accept('post', 'a POST with a JSON body', POSTED);
original.accept('without-typ', 'no typ', { header: { typ: undefined } });
original.accept('with-kid', 'a kid', { header: { kid: own.kid } });
original.accept('typ-lower-case', 'typ jwt', { header: { typ: 'jwt' } });
original.accept('header-extra', 'header members that nobody knows are ignored', {
  header: { cty: 'json', jku: 'https://stranger.example/jwks.json', 'x-note': 1 },
});
original.accept('other-request', 'a token binds neither method nor target', {
  claims: { req: 'DELETE /user/1/' },
});
original.accept('other-type', 'a token binds no header', {
  ...POSTED,
  claims: { hdr: { 'content-type': 'text/plain' } },
});
get.refuse('jwk', 'signed by a stranger who sends the key along', 'signature_invalid', {
  header: { jwk: jwkFor(stranger, 'ES256') },
  build: (parts) => sign({ ...parts, key: stranger }),
  catalogue: ['HP-07'],
});
get.refuse('crit', 'crit', 'header_invalid', {
  header: { crit: ['exp'], exp: NOW },
  catalogue: ['HP-02'],
});
get.refuse('typ-strict', 'typ svc+jwt', 'header_invalid', { header: { typ: 'svc+jwt' } });
get.refuse('typ-other', 'typ at+jwt', 'header_invalid', {
  header: { typ: 'at+jwt' },
  catalogue: ['HP-21'],
});
get.refuse('kid-unknown', 'a kid that nobody knows', 'key_unknown', { header: { kid: 'another' } });
original
  .accept('pair-with-kid', 'the kid tells which of two keys', {
    issuer: PAIR,
    key: stranger,
    header: { kid: stranger.kid },
  })
  .refuse('pair-without-kid', 'two keys, and no kid', 'key_unknown', {
    header: { kid: undefined },
    catalogue: ['HP-12'],
  });
get.refuse('to-strict', 'an original token of an issuer that is strict', 'header_invalid', {
  issuer: HERALD,
});
get.refuse('strict-to-original', 'a strict token of an issuer that is original', 'header_invalid', {
  profile: 'strict',
});
get.refuse('another-key', 'signed with another key', 'signature_invalid', {
  build: (parts) => sign({ ...parts, key: stranger }),
  catalogue: ['SG-21'],
});
get.refuse('hs256', 'HS256 keyed with the public key', 'algorithm_refused', {
  header: { alg: 'HS256' },
  build: ({ header, claims }) =>
    macSegments(
      encode(JSON.stringify(header)),
      encode(JSON.stringify(claims)),
      own.publicKey.export({ type: 'spki', format: 'pem' }),
    ),
  catalogue: ['SG-03'],
});

for (const name of ['iss', 'aud', 'sub']) {
  get.refuse(`no-${name}`, `no ${name}`, 'claim_missing', { claims: { [name]: undefined } });
}
get.refuse('aud-list', 'aud in a list', 'claim_invalid', {
  claims: { aud: ['https://census.service/'] },
  catalogue: ['AI-05'],
});
get.refuse('aud-other', 'meant for another service', 'audience_mismatch', {
  audience: 'https://other.service/',
  catalogue: ['AI-02'],
});
get.refuse('duplicate-sub', 'sub twice', 'claim_invalid', {
  build: withClaimsText((json) => json.replace('{', '{"sub":"urn:other",')),
  catalogue: ['TS-30'],
});

original.accept('empty-body', 'no body, and the digest of nothing', {
  claims: { bdy: digest('md5', '') },
});
for (const algorithm of ['sha256', 'sha384', 'sha512']) {
  original.accept(`bdy-${algorithm}`, `a bdy of ${algorithm}`, {
    ...POSTED,
    claims: { bdy: digest(algorithm, POSTED.body) },
  });
}
post.refuse('no-bdy', 'a body, and no bdy', 'claim_missing', { claims: { bdy: undefined } });
post.refuse('body-changed', 'made for another body', 'body_mismatch', {
  madeFor: { body: '{"name":"Zoe"}' },
  catalogue: ['BB-01'],
});
post.refuse('bdy-upper-case', 'a bdy in upper case', 'claim_invalid', {
  claims: { bdy: digest('md5', POSTED.body).toUpperCase() },
  catalogue: ['BB-11'],
});
post.refuse('bdy-sha-1', 'a bdy of SHA-1', 'claim_invalid', {
  claims: { bdy: digest('sha1', POSTED.body) },
  catalogue: ['BB-13'],
});

original.accept('exp', 'a token that expires', { claims: { exp: NOW + 60 } });
original.accept('exp-far', 'one that expires in years, and does not say when it was made', {
  claims: { exp: NOW + 100_000_000 },
});
original.accept('iat-old', 'one that was made years ago', { claims: { iat: NOW - 100_000_000 } });
original
  .accept('lifetime-3600', 'a lifetime of 3600 seconds', { claims: { iat: NOW, exp: NOW + 3600 } })
  .refuse('lifetime-3601', 'a lifetime of 3601 seconds', 'lifetime_too_long', {
    claims: { exp: NOW + 3601 },
    catalogue: ['TM-07'],
  });
for (const [id, claims, code] of /** @type {const} */ ([
  ['expired', { exp: NOW - 5 }, 'token_expired'],
  ['iat-ahead', { iat: NOW + 6 }, 'token_not_yet_valid'],
  ['nbf-ahead', { nbf: NOW + 6 }, 'token_not_yet_valid'],
  ['exp-string', { exp: String(NOW + 60) }, 'claim_invalid'],
])) {
  get.refuse(id, JSON.stringify(claims), code, { claims });
}

original.accept('without-jti', 'a token without jti');
original.accept('without-jti-again', 'the same token once more: without jti there is no replay', {
  uses: 'without-jti',
  after: ['without-jti'],
});
original
  .accept('jti', 'a token with a jti', { claims: { jti: 'an-original-token-id' } })
  .refuse('jti-again', 'the same once more', 'token_replayed', {
    after: ['jti'],
    catalogue: ['RP-01'],
  });
original
  .accept('jti-exp-far', 'a jti, no iat, and an exp as far ahead as it may be', {
    claims: { jti: 'an-original-token-id-far-ahead', exp: NOW + 3605 },
  })
  .refuse('jti-exp-too-far', 'the same, a second further ahead', 'lifetime_too_long', {
    claims: { jti: 'an-original-token-id-too-far', exp: NOW + 3606 },
    catalogue: ['TM-20'],
  });
original
  .accept('jti-old', 'a jti, no exp, and made 3604 seconds ago', {
    claims: { jti: 'an-old-original-token-id', iat: NOW - 3604 },
  })
  .refuse('jti-too-old', 'the same, made 3605 seconds ago', 'token_expired', {
    claims: { jti: 'an-older-original-token-id', iat: NOW - 3605 },
  });
