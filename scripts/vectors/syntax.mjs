// How a token is spelled and sent: protocol steps 1 and 2.
import { editSegment, encode, encodeWithStrayBit, signSegments, strayBit } from './forge.mjs';
import { RECEIVER } from './receiver.mjs';
import {
  buildOfLength,
  inObject,
  VectorFile,
  withClaimsText,
  withHeaderText,
} from './vector-file.mjs';

const MAX_TOKEN_LENGTH = 8192;

const nested = (/** @type {number} */ depth) =>
  withClaimsText(inObject(`"deep":${'['.repeat(depth)}${']'.repeat(depth)}`));

export const syntax = new VectorFile(
  'How a token is spelled and sent: one JWT header, canonical base64url, unambiguous JSON.',
  RECEIVER,
);

const get = syntax.accept('get', 'a GET for a user, with a query');
syntax.accept('lower-case-name', 'the header is called jwt', {
  sendAs: (token) => [['jwt', token]],
  catalogue: ['TS-35'],
});

get.refuse('no-token', 'no JWT header', 'token_missing', {
  sendAs: () => [],
  catalogue: ['TS-01'],
});
get.refuse('empty-token', 'an empty JWT header', 'token_missing', {
  respell: () => '',
  catalogue: ['TS-02'],
});
get.refuse('in-authorization', 'the token in Authorization alone', 'token_missing', {
  sendAs: (token) => [['Authorization', `Bearer ${token}`]],
  catalogue: ['TS-06'],
});
get.refuse('two-headers', 'two identical JWT headers', 'token_repeated', {
  sendAs: (token) => [
    ['JWT', token],
    ['JWT', token],
  ],
  catalogue: ['TS-04'],
});
get.refuse('two-headers-two-cases', 'a JWT header, and garbage in a jwt header', 'token_repeated', {
  sendAs: (token) => [
    ['JWT', token],
    ['jwt', 'garbage'],
  ],
  catalogue: ['TS-03'],
});
get.refuse('joined', 'two tokens joined by a comma', 'token_repeated', {
  respell: (token) => `${token}, ${token}`,
  catalogue: ['TS-05'],
});

/** @type {[id: string, description: string, respell: (token: string) => string, row: string][]} */
const MISSPELLED = [
  ['bearer', 'Bearer before the token', (token) => `Bearer ${token}`, 'TS-07'],
  ['quoted', 'in double quotes', (token) => `"${token}"`, 'TS-08'],
  ['two-segments', 'no signature', (token) => token.slice(0, token.lastIndexOf('.')), 'TS-09'],
  ['four-segments', 'a fourth segment', (token) => `${token}.AAAA`, 'TS-09'],
  ['five-segments', 'five segments, as a JWE has', (token) => `${token}.AAAA.AAAA`, 'HP-24'],
  ['empty-header', 'an empty first segment', editSegment(0, () => ''), 'TS-10'],
  ['empty-payload', 'an empty second segment', editSegment(1, () => ''), 'TS-10'],
  ['empty-signature', 'an empty third segment', editSegment(2, () => ''), 'TS-10'],
  ['dots', '8000 dots', () => '.'.repeat(8000), 'TS-24'],
  ['padded-header', '= after the first segment', editSegment(0, (part) => `${part}=`), 'TS-14'],
  ['padded-payload', '= after the second segment', editSegment(1, (part) => `${part}=`), 'TS-14'],
  ['padded-signature', '== after the signature', editSegment(2, (part) => `${part}==`), 'TS-14'],
  [
    'plus',
    '+ in the signature',
    editSegment(2, (part) => `${part.slice(0, 8)}+${part.slice(9)}`),
    'TS-15',
  ],
  [
    'slash',
    '/ in the signature',
    editSegment(2, (part) => `${part.slice(0, 8)}/${part.slice(9)}`),
    'TS-15',
  ],
  [
    'stray-bit-signature',
    'a bit set in the signature that no byte uses',
    editSegment(2, strayBit),
    'TS-16',
  ],
  [
    'inner-space',
    'a space inside the signature',
    editSegment(2, (part) => `${part.slice(0, 9)} ${part.slice(9)}`),
    'TS-12',
  ],
  ['percent', '%2E for a dot', (token) => token.replace('.', '%2E'), 'TS-18'],
  ['byte-ff', 'the byte FF before the token', (token) => `\u00ff${token}`, 'TS-19'],
  ['no-break-space', 'a no-break space after the token', (token) => `${token}\u00a0`, 'TS-19'],
  ['null-text', 'the word null', () => 'null', 'TS-36'],
];
for (const [id, description, respell, row] of MISSPELLED) {
  get.refuse(id, description, 'token_malformed', { respell, catalogue: [row] });
}
get.refuse('flattened-json', 'the flattened JSON serialisation', 'token_malformed', {
  respell: (token) => {
    const [header, payload, signature] = token.split('.');
    return JSON.stringify({ protected: header, payload, signature });
  },
  catalogue: ['TS-11'],
});
get.refuse('stray-bit-header', 'a stray bit in the header, signed so', 'token_malformed', {
  build: ({ header, claims, alg, key }) =>
    signSegments(encodeWithStrayBit(header), encode(JSON.stringify(claims)), alg, key),
  catalogue: ['TS-17'],
});
get.refuse('stray-bit-payload', 'a stray bit in the claims, signed so', 'token_malformed', {
  build: ({ header, claims, alg, key }) =>
    signSegments(encode(JSON.stringify(header)), encodeWithStrayBit(claims), alg, key),
  catalogue: ['TS-17'],
});

syntax
  .accept('8192-characters', 'a token of 8192 characters', {
    build: buildOfLength(MAX_TOKEN_LENGTH),
  })
  .refuse('8193-characters', 'a token of 8193 characters', 'token_too_large', {
    build: buildOfLength(MAX_TOKEN_LENGTH + 1),
    catalogue: ['TS-22'],
  });

/** @type {[id: string, description: string, edit: (json: string) => string | Uint8Array][]} */
const TEXTS = [
  ['array', 'in an array', (json) => `[${json}]`],
  ['string', 'in a string', (json) => JSON.stringify(json)],
  ['null', 'null', () => 'null'],
  ['cut', 'without its last brace', (json) => json.slice(0, -1)],
  ['trailing', 'followed by another object', (json) => `${json}{}`],
  ['bom', 'after a byte order mark', (json) => `\ufeff${json}`],
  [
    'latin-1',
    'with a byte FF in it',
    (json) =>
      Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from(',"x":"\u00ff"}', 'latin1')]),
  ],
  ['utf-16', 'in UTF-16', (json) => Buffer.from(json, 'utf16le')],
  ['surrogate', 'with a lone surrogate', (json) => `${json.slice(0, -1)},"x":"\\ud800"}`],
  ['nan', 'with a NaN', (json) => `${json.slice(0, -1)},"x":NaN}`],
  ['comma', 'with a comma after the last member', (json) => `${json.slice(0, -1)},}`],
];
for (const [id, description, edit] of TEXTS) {
  get.refuse(`header-${id}`, `a header ${description}`, 'token_malformed', {
    build: withHeaderText(edit),
    catalogue: ['TS-25'],
  });
  get.refuse(`claims-${id}`, `claims ${description}`, 'token_malformed', {
    build: withClaimsText(edit),
    catalogue: ['TS-26'],
  });
}

for (const [id, member] of /** @type {const} */ ([
  ['alg', '"alg":"none"'],
  ['alg-escaped', '"\\u0061lg":"none"'],
  ['kid', '"kid":"another"'],
])) {
  get.refuse(`duplicate-${id}`, `a header that also has ${member}`, 'header_invalid', {
    build: withHeaderText(inObject(member)),
    catalogue: ['TS-29'],
  });
}
for (const [id, member] of /** @type {const} */ ([
  ['aud', '"aud":"https://other.service/"'],
  ['aud-escaped', '"\\u0061ud":"https://other.service/"'],
  ['exp', '"exp":1'],
])) {
  get.refuse(`duplicate-${id}`, `claims that also have ${member}`, 'claim_invalid', {
    build: withClaimsText(inObject(member)),
    catalogue: ['TS-30'],
  });
}
syntax
  .accept('same-name-elsewhere', 'one name in two objects', {
    build: withClaimsText(inObject('"extra":{"a":1,"b":{"a":2}}')),
  })
  .refuse('duplicate-nested', 'a name twice in a nested object', 'claim_invalid', {
    build: withClaimsText(inObject('"extra":{"a":1,"b":{"a":2,"a":3}}')),
    catalogue: ['TS-30'],
  });
syntax
  .accept('16-deep', 'claims 16 levels deep, the object itself being the first', {
    build: nested(15),
  })
  .refuse('17-deep', 'claims 17 levels deep', 'claim_invalid', {
    build: nested(16),
    catalogue: ['TS-31'],
  });
get.refuse('2500-deep', 'claims 2501 levels deep', 'claim_invalid', {
  build: nested(2500),
  catalogue: ['TS-31'],
});
const withItems = (/** @type {number} */ count) =>
  withClaimsText(inObject(`"extra":[${Array.from({ length: count }, () => 1).join()}]`));
syntax
  .accept('64-members', 'claims with 64 members and items', { build: withItems(56) })
  .refuse('65-members', 'claims with 65 members and items', 'claim_invalid', {
    build: withItems(57),
    catalogue: ['TS-61'],
  });
for (const name of ['__proto__', 'constructor']) {
  get.refuse(`member-${name.replaceAll('_', '')}`, `a claim called ${name}`, 'claim_invalid', {
    build: withClaimsText(inObject(`"${name}":{"admin":true}`)),
    catalogue: [name === '__proto__' ? 'CL-17' : 'CL-18'],
  });
}
get.refuse('header-proto', 'a header with a member __proto__', 'header_invalid', {
  build: withHeaderText(inObject('"__proto__":{"alg":"none"}')),
  catalogue: ['HP-26'],
});
