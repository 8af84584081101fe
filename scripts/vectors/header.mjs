// The JOSE header of a strict token, and the keys it names: protocol steps 2 to 5.
import { decode, encode, macSegments } from './forge.mjs';
import { jwkFor, keys } from './keys.mjs';
import { NAMESAKE, RECEIVER } from './receiver.mjs';
import { sign, VectorFile } from './vector-file.mjs';

export const header = new VectorFile(
  'The JOSE header of a strict token: alg, kid and typ, nothing else, and the key that kid names.',
  RECEIVER,
);
const own = keys['p-256'];
const { stranger } = keys;

const get = header.accept('get', 'a GET for a user, with a query');
const refuse = (
  /** @type {string} */ id,
  /** @type {string} */ why,
  /** @type {string} */ code,
  /** @type {Record<string, unknown>} */ change,
  /** @type {string} */ row,
) => get.refuse(id, why, code, { header: change, catalogue: [row] });

header.accept('typ-upper-case', 'typ SVC+JWT', {
  header: { typ: 'SVC+JWT' },
  catalogue: ['HP-22'],
});
header.accept('typ-media-type', 'typ application/svc+jwt', {
  header: { typ: 'application/svc+jwt' },
  catalogue: ['HP-22'],
});

refuse('alg-missing', 'no alg', 'header_invalid', { alg: undefined }, 'HP-01');
refuse('alg-null', 'alg null', 'header_invalid', { alg: null }, 'HP-01');
refuse('alg-number', 'alg 5', 'header_invalid', { alg: 5 }, 'HP-01');
refuse('alg-array', 'alg ["ES256"]', 'header_invalid', { alg: ['ES256'] }, 'HP-01');
for (const [id, crit] of /** @type {[string, unknown][]} */ ([
  ['extension', ['exp2']],
  ['empty', []],
  ['string', 'exp2'],
])) {
  const change = { crit, exp2: 1 };
  refuse(`crit-${id}`, `crit ${JSON.stringify(crit)}`, 'header_invalid', change, 'HP-03');
}
refuse('crit-b64', 'crit b64', 'header_invalid', { crit: ['b64'], b64: true }, 'HP-04');
refuse('b64', 'b64 false, without crit', 'header_invalid', { b64: false }, 'HP-06');
get.refuse('jwk', 'signed by a stranger who sends the key along', 'header_invalid', {
  header: { jwk: jwkFor(stranger, 'ES256') },
  build: (parts) => sign({ ...parts, key: stranger }),
  catalogue: ['HP-07'],
});
for (const [name, value, row] of /** @type {const} */ ([
  ['jku', 'https://stranger.example/jwks.json', 'HP-08'],
  ['x5u', 'https://stranger.example/chain.pem', 'HP-09'],
  ['x5c', ['MIIB'], 'HP-10'],
  ['x5t', 'AAAAAAAAAAAAAAAAAAAAAAAAAAA', 'HP-10'],
  ['zip', 'DEF', 'HP-11'],
  ['enc', 'A256GCM', 'HP-11'],
  ['cty', 'JWT', 'TS-33'],
  ['iss', 'https://herald.service/', 'HP-27'],
])) {
  refuse(`member-${name}`, `a header with ${name}`, 'header_invalid', { [name]: value }, row);
}
refuse('kid-missing', 'no kid', 'key_unknown', { kid: undefined }, 'HP-12');
refuse('kid-number', 'kid 5', 'header_invalid', { kid: 5 }, 'HP-13');
refuse('kid-null', 'kid null', 'header_invalid', { kid: null }, 'HP-13');
refuse('kid-array', 'kid in an array', 'header_invalid', { kid: [own.kid] }, 'HP-13');
refuse('kid-empty', 'an empty kid', 'header_invalid', { kid: '' }, 'HP-13');
refuse('kid-257', 'a kid of 257 characters', 'header_invalid', { kid: 'k'.repeat(257) }, 'HP-14');
refuse('kid-256', 'a kid of 256 characters', 'key_unknown', { kid: 'k'.repeat(256) }, 'HP-14');
refuse('kid-line-break', 'a kid with a line break', 'header_invalid', { kid: 'a\r\nb' }, 'HP-17');
refuse('kid-path', 'a kid that is a path', 'key_unknown', { kid: '../../dev/null' }, 'HP-15');
refuse('kid-sql', 'a kid that is SQL', 'key_unknown', { kid: "x' UNION SELECT '1';--" }, 'HP-16');
refuse('kid-proto', 'the kid __proto__', 'key_unknown', { kid: '__proto__' }, 'HP-18');
refuse('kid-case', 'the kid in upper case', 'key_unknown', { kid: own.kid.toUpperCase() }, 'HP-19');
refuse('kid-space', 'a space after the kid', 'key_unknown', { kid: `${own.kid} ` }, 'HP-19');
refuse('typ-missing', 'no typ', 'header_invalid', { typ: undefined }, 'HP-20');
for (const typ of ['JWT', 'at+jwt', 'dpop+jwt', 'logout+jwt']) {
  const id = `typ-${typ.toLowerCase().replace('+', '-')}`;
  refuse(id, `typ ${typ}`, 'header_invalid', { typ }, 'HP-21');
}
refuse('typ-number', 'typ 5', 'header_invalid', { typ: 5 }, 'HP-23');

for (const alg of ['none', 'None', 'nOnE', 'none ', '', 'es256', 'ES257', 'ES256K', '__proto__']) {
  const id = `alg-${encode(alg) || 'empty'}`;
  const row = alg.toLowerCase().includes('none') || alg === '' ? 'SG-02' : 'SG-09';
  const why = `alg ${JSON.stringify(alg)} over a good signature`;
  refuse(id, why, 'algorithm_refused', { alg }, row);
}
get.refuse('unsigned', 'alg none and no signature', 'token_malformed', {
  header: { alg: 'none' },
  build: ({ header: unsigned, claims }) =>
    `${encode(JSON.stringify(unsigned))}.${encode(JSON.stringify(claims))}.`,
  catalogue: ['SG-01'],
});
const jwk = own.publicJwk;
for (const [id, secret, row] of /** @type {[string, string | Uint8Array, string][]} */ ([
  ['pem', own.publicKey.export({ type: 'spki', format: 'pem' }), 'SG-03'],
  ['der', own.publicKey.export({ type: 'spki', format: 'der' }), 'SG-04'],
  ['jwk', JSON.stringify(jwk), 'SG-04'],
  ['point', Buffer.concat([Buffer.of(4), decode(jwk['x'] ?? ''), decode(jwk['y'] ?? '')]), 'SG-04'],
  ['nothing', '', 'SG-05'],
])) {
  get.refuse(`hs256-${id}`, `HS256 keyed with the public key: ${id}`, 'algorithm_refused', {
    header: { alg: 'HS256' },
    build: (parts) =>
      macSegments(
        encode(JSON.stringify(parts.header)),
        encode(JSON.stringify(parts.claims)),
        secret,
      ),
    catalogue: [row],
  });
}

get.refuse('another-key', 'everything right but the key that signed', 'signature_invalid', {
  build: (parts) => sign({ ...parts, key: stranger }),
  catalogue: ['SG-21'],
});
get.refuse('unknown-key', 'a key that nobody here has, under its own id', 'key_unknown', {
  key: keys['p-384'],
  alg: 'ES384',
  catalogue: ['SG-22'],
});
header
  .accept('same-kid', 'an issuer whose key has the id of another issuer’s', {
    issuer: NAMESAKE,
    key: { ...stranger, kid: own.kid },
    catalogue: ['KL-04'],
  })
  .refuse(
    'same-kid-other-issuer',
    'the same, signed with the other issuer’s key',
    'signature_invalid',
    {
      key: own,
      catalogue: ['KL-04'],
    },
  );
