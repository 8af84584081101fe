// Public keys that no receiver may use, each with a token that verifies with it.
import { encode, macSegments } from './forge.mjs';
import { jwkFor, keys, keysFile, WARNING } from './keys.mjs';
import { CENSUS, HERALD } from './receiver.mjs';
import { PKCS1_GOOD } from './rsa-encodings.mjs';
import { NOW, sign, VectorFile } from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {import('./vector-file.mjs').Parts} Parts */
/** @typedef {import('./vector-file.mjs').TokenParts} TokenParts */

const file = new VectorFile('', {}, { issuer: HERALD, audience: CENSUS });
/** @type {Json[]} */
const vectors = [];

/** Adds the vector that was made last, with the key to verify it with. */
function withKey(/** @type {Json} */ jwk, /** @type {Json} */ expected = {}) {
  const made = file.vectors.at(-1) ?? {};
  vectors.push({
    ...made,
    jwk,
    expected: { .../** @type {Json} */ (made['expected']), ...expected },
  });
}

/** @type {(id: string, description: string, jwk: Json, parts?: Parts) => (id: string, why: string, jwk: Json, row: string, change?: Parts) => void} */
function accept(id, description, jwk, parts = {}) {
  const good = file.accept(id, description, parts);
  withKey(jwk);
  return (other, why, bad, row, change = {}) => {
    good.refuse(other, why, 'key_unknown', { ...change, catalogue: [row] });
    withKey(bad);
  };
}

const rsa = jwkFor(keys.rsa, 'RS256');
const ec = jwkFor(keys['p-256'], 'ES256');
const ed25519 = jwkFor(keys.ed25519, 'EdDSA');

const refuseRsa = accept('rsa', 'RSA, 2048 bits, exponent 65537', rsa, {
  alg: 'RS256',
  key: keys.rsa,
});
refuseRsa(
  'rsa-exponent-1',
  'exponent 1: the signature is the padded digest',
  { ...rsa, e: 'AQ' },
  'SG-25',
  {
    build: ({ header, claims }) => {
      const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
      return `${input}.${encode(PKCS1_GOOD(Buffer.from(input)))}`;
    },
  },
);
refuseRsa('rsa-exponent-3', 'exponent 3', jwkFor(keys['rsa-exponent-3'], 'RS256'), 'SG-25', {
  key: keys['rsa-exponent-3'],
});
refuseRsa('rsa-1024', '1024 bits', jwkFor(keys['rsa-1024'], 'RS256'), 'SG-24', {
  key: keys['rsa-1024'],
});

const refuseEc = accept('ec', 'P-256', ec);
refuseEc('ec-private', 'the private half', { ...keysFile.keys['p-256'], alg: 'ES256' }, 'KL-08');
refuseEc(
  'ec-off-curve',
  'a point that is not on the curve',
  { ...ec, y: keys['p-256'].publicJwk['x'] },
  'SG-27',
);
refuseEc('ec-encryption', 'use enc', { ...ec, use: 'enc' }, 'SG-28');
refuseEc('ec-key-ops', 'key_ops without verify', { ...ec, key_ops: ['sign'] }, 'SG-28');
refuseEc('ec-other-alg', 'alg ES384 on P-256', { ...ec, alg: 'ES384' }, 'SG-08');
refuseEc(
  'symmetric',
  'a symmetric key',
  { kty: 'oct', k: encode('k'.repeat(32)), kid: ec.kid, alg: 'HS256' },
  'KL-07',
  {
    header: { alg: 'HS256' },
    build: ({ header, claims }) =>
      macSegments(encode(JSON.stringify(header)), encode(JSON.stringify(claims)), 'k'.repeat(32)),
  },
);

const refuseEd = accept('ed25519', 'Ed25519', ed25519, { alg: 'EdDSA', key: keys.ed25519 });
refuseEd(
  'ed25519-identity',
  'the neutral point: one signature fits every message',
  { ...ed25519, x: encode(Buffer.concat([Buffer.of(1), Buffer.alloc(31)])) },
  'SG-15',
  {
    build: (/** @type {TokenParts} */ parts) => {
      const [header, payload] = sign(parts).split('.');
      return [header, payload, encode(Buffer.concat([Buffer.of(1), Buffer.alloc(63)]))].join('.');
    },
  },
);

export const issuerKeys = {
  toJson: () => ({
    description:
      'Public keys that no receiver may use. With each as the only key of its issuer, the receiver does not start, or answers key_unknown.',
    warning: WARNING,
    now: NOW,
    receiver: { issuer: CENSUS, trustedIssuer: { issuer: HERALD, profile: 'strict' } },
    vectors,
  }),
};
