// One file of vectors: a receiver, a clock, and requests with what the receiver makes of them.
import { createHash } from 'node:crypto';
import { digest, encode, signSegments } from './forge.mjs';
import { keys, WARNING } from './keys.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {import('./keys.mjs').TestKey} TestKey */
/** @typedef {{ header: Json, claims: Json, alg: string, key: TestKey }} TokenParts */

/**
 * A request with a token made for it, in parts. What is left out is as in the request before it.
 *
 * @typedef {object} Attempt
 * @property {string} issuer
 * @property {string} audience
 * @property {string | undefined} subject
 * @property {'strict' | 'original'} profile
 * @property {string} alg
 * @property {TestKey} key
 * @property {string} method
 * @property {string} target
 * @property {[string, string][]} headers what is sent besides the token and the framing
 * @property {string | Uint8Array} body
 * @property {Partial<Pick<Attempt, 'method' | 'target' | 'headers' | 'body'>>} madeFor what is signed instead
 * @property {Json} header laid over the good JOSE header; `undefined` leaves a member out
 * @property {Json} claims laid over the good claims, likewise
 * @property {(parts: TokenParts) => string} build
 * @property {(token: string) => string} respell changes the token after it was signed
 * @property {(token: string) => [string, string][]} [sendAs] every header that carries it, where that is not one `JWT`
 * @property {string[]} [after] ids of the vectors that were sent before
 * @property {string} [uses] the id of a vector whose token is sent
 * @property {string[]} [catalogue] rows of the project's catalogue of attacks
 * @property {Json | null} [grant] what is proved of the user; `null`: nothing
 */

/** @typedef {Partial<Attempt>} Parts */

export const NOW = 1_800_000_000;

const STATUS_BY_CODE = /** @type {Record<string, number>} */ ({
  body_unverifiable: 415,
  issuer_not_allowed: 403,
  subject_missing: 403,
  subject_not_allowed: 403,
  grant_missing: 403,
  grant_repeated: 403,
  grant_invalid: 403,
  grant_mismatch: 403,
  grant_expired: 403,
  grant_not_yet_valid: 403,
  originator_unknown: 403,
  originator_not_allowed: 403,
  scope_missing: 403,
  authentication_insufficient: 403,
});

/** Signs the parts as they are. */
export const sign = (/** @type {TokenParts} */ { header, claims, alg, key }) =>
  signSegments(encode(JSON.stringify(header)), encode(JSON.stringify(claims)), alg, key);

/** Signs the parts with the text of the claims, or of the header, changed before. */
export const withClaimsText =
  (/** @type {(json: string) => string | Uint8Array} */ edit) =>
  (/** @type {TokenParts} */ { header, claims, alg, key }) =>
    signSegments(encode(JSON.stringify(header)), encode(edit(JSON.stringify(claims))), alg, key);
export const withHeaderText =
  (/** @type {(json: string) => string | Uint8Array} */ edit) =>
  (/** @type {TokenParts} */ { header, claims, alg, key }) =>
    signSegments(encode(edit(JSON.stringify(header))), encode(JSON.stringify(claims)), alg, key);

/** For the two above: another member before those that are there. */
export const inObject = (/** @type {string} */ member) => (/** @type {string} */ json) =>
  `{${member},${json.slice(1)}`;

/** A signed token of exactly `length` characters: a claim grows until it fits. */
export const buildOfLength =
  (/** @type {number} */ length) =>
  (/** @type {TokenParts} */ { header, claims, alg, key }) => {
    for (const space of ['', ' ', '  ']) {
      const encodedHeader = encode(JSON.stringify(header) + space);
      const padded = (/** @type {number} */ pad) =>
        signSegments(
          encodedHeader,
          encode(JSON.stringify({ ...claims, pad: 'p'.repeat(pad) })),
          alg,
          key,
        );
      const missing = Math.floor(((length - padded(0).length) * 3) / 4);
      for (const pad of [missing - 1, missing, missing + 1]) {
        const token = padded(pad);
        if (token.length === length) return token;
      }
    }
    throw new Error(`no token has ${length} characters`);
  };

/** @type {Attempt} */
const BASELINE = {
  issuer: 'https://herald.service/',
  audience: 'https://census.service/',
  subject: 'https://census.service/user/21/',
  profile: 'strict',
  alg: 'ES256',
  key: keys['p-256'],
  method: 'GET',
  target: '/user/42/?full=1',
  headers: [],
  body: '',
  madeFor: {},
  header: {},
  claims: {},
  build: sign,
  respell: (token) => token,
};

export class VectorFile {
  /** @type {Json[]} */
  vectors = [];
  /** @type {Map<string, string>} */
  tokens = new Map();

  constructor(
    /** @type {string} */ description,
    /** @type {Json} */ receiver,
    /** @type {Parts} */ baseline = {},
  ) {
    this.description = description;
    this.receiver = receiver;
    this.baseline = lay(BASELINE, baseline);
  }

  /** A request that is accepted; `refuse` of what comes back adds ones that differ from it in one property. */
  accept(
    /** @type {string} */ id,
    /** @type {string} */ description,
    /** @type {Parts} */ parts = {},
  ) {
    const good = lay(this.baseline, parts);
    this.add(id, description, good, (claims, header) => ({
      verdict: 'accepted',
      identity: {
        issuer: claims['iss'],
        audience: claims['aud'],
        subject: claims['sub'] ?? null,
        tokenId: claims['jti'] ?? null,
        keyId: header['kid'] ?? good.key.kid,
      },
      ...(good.grant !== undefined && { grant: good.grant }),
    }));
    return {
      refuse: (
        /** @type {string} */ other,
        /** @type {string} */ why,
        /** @type {string} */ code,
        /** @type {Parts} */ change,
      ) => {
        const status = STATUS_BY_CODE[code] ?? 401;
        this.add(other, why, lay(good, change), () => ({ verdict: 'refused', code, status }), id);
      },
    };
  }

  /** @returns what is written to the file */
  toJson() {
    const { description, receiver, vectors } = this;
    return { description, warning: WARNING, now: NOW, receiver, vectors };
  }

  /** @private */
  add(
    /** @type {string} */ id,
    /** @type {string} */ description,
    /** @type {Attempt} */ attempt,
    /** @type {(claims: Json, header: Json) => Json} */ expect,
    /** @type {string} */ twin = '',
  ) {
    if (this.tokens.has(id)) throw new Error(`two vectors are called ${id}`);
    const parts = partsOf(attempt.uses ?? id, attempt);
    const made = this.tokens.get(attempt.uses ?? '') ?? attempt.build(parts);
    const token = attempt.respell(made);
    this.tokens.set(id, token);
    const { method, target, headers, body, sendAs, catalogue, after } = attempt;
    const sent = sendAs ? [...headers, ...sendAs(token)] : headers;
    this.vectors.push({
      id,
      description,
      ...(catalogue && { catalogue }),
      ...(twin && { twin }),
      ...(after && { after }),
      request: { method, target, headers: sent, body: describeBody(body) },
      token: sendAs ? null : token,
      expected: expect(parts.claims, parts.header),
    });
  }
}

/** Lays parts over an attempt: header and claims add up, everything else replaces. */
function lay(/** @type {Attempt} */ attempt, /** @type {Parts} */ parts) {
  return /** @type {Attempt} */ ({
    ...attempt,
    catalogue: undefined,
    ...parts,
    header: { ...attempt.header, ...parts.header },
    claims: { ...attempt.claims, ...parts.claims },
  });
}

/** Ids are made from the name of the vector, so that making the vectors again changes no claim. */
const tokenIdOf = (/** @type {string} */ id) =>
  createHash('sha256').update(id).digest('base64url').slice(0, 32);

/** What a strict token binds of the headers of a request with a body. */
const DESCRIBES_CONTENT = ['content-type', 'content-encoding', 'content-range'];

/** @returns {TokenParts} */
function partsOf(/** @type {string} */ id, /** @type {Attempt} */ attempt) {
  const { issuer, audience, subject, profile, alg, key, madeFor } = attempt;
  const { method, target, headers, body } = { ...attempt, ...madeFor };
  /** @type {Record<string, string>} */
  const hdr = {};
  for (const [name, value] of headers) {
    if (DESCRIBES_CONTENT.includes(name.toLowerCase())) hdr[name.toLowerCase()] = value;
  }
  const isStrict = profile === 'strict';
  const hasBody = body.length > 0;
  const good = {
    header: isStrict ? { alg, typ: 'svc+jwt', kid: key.kid } : { alg, typ: 'JWT' },
    claims: {
      iss: issuer,
      aud: audience,
      sub: subject,
      ...(isStrict && { iat: NOW, exp: NOW + 60, jti: tokenIdOf(id), req: `${method} ${target}` }),
      ...(isStrict && hasBody && Object.keys(hdr).length > 0 && { hdr }),
      ...(hasBody && { bdy: digest(isStrict ? 'sha256' : 'md5', body) }),
    },
  };
  return {
    header: defined({ ...good.header, ...attempt.header }),
    claims: defined({ ...good.claims, ...attempt.claims }),
    alg,
    key,
  };
}

/** Without the members that are `undefined`. */
export const defined = (/** @type {Json} */ object) =>
  /** @type {Json} */ (
    Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
  );

function describeBody(/** @type {string | Uint8Array} */ body) {
  if (body.length === 0) return null;
  const base64 = Buffer.from(body).toString('base64');
  return typeof body === 'string' ? { base64, text: body } : { base64 };
}
