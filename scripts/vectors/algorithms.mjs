// Every algorithm in both profiles, and signatures that are nearly right.
import { CURVES, signBlock, toBytes, toNumber } from './deterministic.mjs';
import { decode, editSignature, encode, macSegments } from './forge.mjs';
import { ALGORITHMS, jwkFor, KEY_BY_ALGORITHM, keys } from './keys.mjs';
import { POSTED, RECEIVER } from './receiver.mjs';
import { PKCS1_FLAWS, PKCS1_GOOD, PSS_FLAWS, PSS_GOOD } from './rsa-encodings.mjs';
import { sign, VectorFile } from './vector-file.mjs';

/** @typedef {import('./keys.mjs').Algorithm} Algorithm */
/** @typedef {import('./vector-file.mjs').TokenParts} TokenParts */

const PROFILES = /** @type {const} */ (['strict', 'original']);

const issuerOf = (/** @type {Algorithm} */ alg, /** @type {string} */ profile) =>
  `https://${alg.toLowerCase()}.${profile}.service/${alg}/`;
const keyOf = (/** @type {Algorithm} */ alg) => keys[KEY_BY_ALGORITHM[alg]];

export const algorithms = new VectorFile(
  'Every algorithm in both profiles, each the only one its issuer may use; signatures that are nearly right.',
  {
    ...RECEIVER,
    trustedIssuers: ALGORITHMS.flatMap((alg) =>
      PROFILES.map((profile) => ({
        issuer: issuerOf(alg, profile),
        profile,
        subjects: null,
        keys: [jwkFor(keyOf(alg), alg)],
      })),
    ),
    routes: [],
  },
  POSTED,
);

const partsFor = (/** @type {Algorithm} */ alg, /** @type {'strict' | 'original'} */ profile) => ({
  issuer: issuerOf(alg, profile),
  profile,
  alg,
  key: keyOf(alg),
});

/** Another algorithm that the same key could be used with, or that any key could. */
const SIBLINGS = /** @type {Record<Algorithm, string>} */ ({
  EdDSA: 'Ed25519',
  Ed25519: 'EdDSA',
  ES256: 'ES384',
  ES384: 'ES256',
  ES512: 'ES256',
  PS256: 'PS384',
  PS384: 'PS512',
  PS512: 'RS512',
  RS256: 'PS256',
  RS384: 'RS256',
  RS512: 'RS384',
});

const flipAt = (/** @type {number} */ at) =>
  editSignature((bytes) => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)));
const segmentsOf = (/** @type {TokenParts} */ { header, claims }) =>
  /** @type {const} */ ([encode(JSON.stringify(header)), encode(JSON.stringify(claims))]);

for (const alg of ALGORITHMS) {
  for (const profile of PROFILES) {
    const id = `${profile}-${alg}`;
    const sibling = SIBLINGS[alg];
    const good = algorithms.accept(id, `signed with ${alg}`, {
      ...partsFor(alg, profile),
      catalogue: ['SG-30'],
    });
    good.refuse(`${id}-bit`, 'a bit of the signature flipped', 'signature_invalid', {
      respell: flipAt(20),
      catalogue: ['SG-10'],
    });
    good.refuse(`${id}-short`, 'a signature that lacks its last byte', 'signature_invalid', {
      respell: editSignature((bytes) => bytes.subarray(0, -1)),
      catalogue: ['SG-11'],
    });
    good.refuse(`${id}-long`, 'a signature with a byte more', 'signature_invalid', {
      respell: editSignature((bytes) => Buffer.concat([bytes, Buffer.of(0)])),
      catalogue: ['SG-11'],
    });
    good.refuse(`${id}-sibling`, `alg ${sibling} with a key for ${alg}`, 'algorithm_refused', {
      header: { alg: sibling },
      catalogue: ['SG-07'],
    });
    good.refuse(`${id}-none`, 'alg none over a good signature', 'algorithm_refused', {
      header: { alg: 'none' },
      catalogue: ['SG-02'],
    });
    good.refuse(`${id}-hs256`, 'HS256 keyed with the public key in PEM', 'algorithm_refused', {
      header: { alg: 'HS256' },
      build: (parts) =>
        macSegments(
          ...segmentsOf(parts),
          parts.key.publicKey.export({ type: 'spki', format: 'pem' }),
        ),
      catalogue: ['SG-03'],
    });
  }
}

/** Signs with the RSA primitive over an encoding of one's own. */
const withEncoding =
  (/** @type {(input: Uint8Array) => Buffer} */ encodeInput) =>
  (/** @type {TokenParts} */ parts) => {
    const input = segmentsOf(parts).join('.');
    return `${input}.${encode(signBlock(encodeInput(Buffer.from(input)), parts.key))}`;
  };
for (const [alg, encodeGood, flaws, row] of /** @type {const} */ ([
  ['RS256', PKCS1_GOOD, PKCS1_FLAWS, 'SG-16'],
  ['PS256', PSS_GOOD, PSS_FLAWS, 'SG-17'],
])) {
  const good = algorithms.accept(`${alg}-encoded`, 'an encoding made by hand, as it should be', {
    ...partsFor(alg, 'strict'),
    build: withEncoding(encodeGood),
  });
  for (const [id, why, encodeInput] of flaws) {
    good.refuse(`${alg}-${id}`, `an encoding with ${why}`, 'signature_invalid', {
      build: withEncoding(encodeInput),
      catalogue: [row],
    });
  }
}
for (const [alg, other] of /** @type {const} */ ([
  ['RS256', 'PS256'],
  ['PS256', 'RS256'],
  ['PS384', 'PS256'],
  ['RS512', 'RS256'],
])) {
  algorithms
    .accept(`${alg}-as-${alg}`, `signed with ${alg}`, partsFor(alg, 'strict'))
    .refuse(
      `${alg}-as-${other}`,
      `signed with ${other} under the name ${alg}`,
      'signature_invalid',
      {
        build: (parts) => sign({ ...parts, alg: other }),
        catalogue: ['SG-18'],
      },
    );
}

for (const alg of /** @type {const} */ (['ES256', 'ES384', 'ES512'])) {
  const { order } = CURVES[alg];
  const good = algorithms.accept(`${alg}-once`, `signed with ${alg}, to be spelled otherwise`, {
    ...partsFor(alg, 'strict'),
  });
  good.refuse(
    `${alg}-twin`,
    'the same, as (r, n - s): another spelling of a used token',
    'token_replayed',
    {
      uses: `${alg}-once`,
      after: [`${alg}-once`],
      respell: editSignature((bytes) => {
        const half = bytes.length / 2;
        const s = order - toNumber(bytes.subarray(half));
        return Buffer.concat([bytes.subarray(0, half), toBytes(s, half)]);
      }),
      catalogue: ['SG-14', 'RP-06'],
    },
  );
  const edges = { 0: 0n, 1: 1n, 'n-1': order - 1n, n: order };
  for (const [rName, r] of Object.entries(edges)) {
    for (const [sName, s] of Object.entries(edges)) {
      good.refuse(
        `${alg}-r-${rName}-s-${sName}`,
        `r = ${rName}, s = ${sName}`,
        'signature_invalid',
        {
          respell: editSignature((bytes) =>
            Buffer.concat([r, s].map((value) => toBytes(value, bytes.length / 2))),
          ),
          catalogue: ['SG-13'],
        },
      );
    }
  }
  good.refuse(`${alg}-der`, 'the signature in DER', 'signature_invalid', {
    respell: editSignature(toDer),
    catalogue: ['SG-12'],
  });
}

/** ASN.1 INTEGERs of r and s in a SEQUENCE. */
function toDer(/** @type {Buffer} */ signature) {
  const half = signature.length / 2;
  const integers = [signature.subarray(0, half), signature.subarray(half)].map((bytes) => {
    const value = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
    const body = value[0] > 127 ? Buffer.concat([Buffer.of(0), value]) : value;
    return Buffer.concat([Buffer.of(2, body.length), body]);
  });
  const body = Buffer.concat(integers);
  const length = body.length > 127 ? Buffer.of(0x81, body.length) : Buffer.of(body.length);
  return Buffer.concat([Buffer.of(0x30), length, body]);
}

const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const littleEndian = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).reverse();

const ed25519 = algorithms.accept(
  'EdDSA-as-EdDSA',
  'signed with EdDSA',
  partsFor('EdDSA', 'strict'),
);
ed25519.refuse('EdDSA-s-plus-l', 'a signature with s + L', 'signature_invalid', {
  respell: editSignature((bytes) => {
    const s = toNumber(littleEndian(bytes.subarray(32)));
    return Buffer.concat([bytes.subarray(0, 32), littleEndian(toBytes(s + ED25519_ORDER, 32))]);
  }),
  catalogue: ['SG-15'],
});
ed25519.refuse('EdDSA-small-order', 'R of small order, and s = 0', 'signature_invalid', {
  respell: editSignature(() => Buffer.concat([Buffer.of(1), Buffer.alloc(63)])),
  catalogue: ['SG-15'],
});

/** Puts together the segments of two tokens. */
const spliced = algorithms.accept(
  'splice',
  'a token whose parts are used below',
  partsFor('ES256', 'strict'),
);
const donor = () => (algorithms.tokens.get('strict-ES256') ?? '').split('.');
spliced.refuse(
  'splice-claims',
  'the claims of another token of the same issuer',
  'signature_invalid',
  {
    respell: (token) => {
      const [header, , signature] = token.split('.');
      return [header, donor()[1], signature].join('.');
    },
    catalogue: ['SG-20'],
  },
);
spliced.refuse(
  'splice-signature',
  'the signature of another token of the same issuer',
  'signature_invalid',
  {
    respell: (token) => [...token.split('.').slice(0, 2), donor()[2]].join('.'),
    catalogue: ['SG-20'],
  },
);
for (const [
  id,
  why,
  at,
  edit,
] of /** @type {[string, string, 0 | 1, (json: string) => string][]} */ ([
  ['space', 'a space in the claims', 1, (json) => json.replace(':', ': ')],
  ['escape', 'an escape in the claims', 1, (json) => json.replace('"iss"', '"\\u0069ss"')],
  ['header-space', 'a space in the header', 0, (json) => json.replace(':', ': ')],
])) {
  spliced.refuse(`respelled-${id}`, `${why}, after it was signed`, 'signature_invalid', {
    respell: (token) =>
      token
        .split('.')
        .map((segment, index) =>
          index === at ? encode(edit(decode(segment).toString())) : segment,
        )
        .join('.'),
    catalogue: ['SG-19'],
  });
}
