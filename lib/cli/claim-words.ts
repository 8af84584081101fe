import { describeMoment, describeSeconds } from './durations.js';

/** One member of a token: its value, and its meaning. */
export interface ExplainedMember {
  readonly name: string;
  readonly value: unknown;
  readonly words: string;
}

type Describe = (value: unknown, members: Members, nowSeconds: number) => string;
type Members = Readonly<Record<string, unknown>>;

const HEADER_WORDS: Readonly<Record<string, Describe>> = {
  alg: () => 'the algorithm it says it is signed with',
  kid: () => "the id of the signing key, among its issuer's",
  typ: () => 'what kind of token it says it is',
};

const DIGEST_NAMES: Readonly<Record<number, string>> = {
  32: 'MD5',
  64: 'SHA-256',
  96: 'SHA-384',
  128: 'SHA-512',
};

const CLAIM_WORDS: Readonly<Record<string, Describe>> = {
  iss: () => 'issuer: the service that calls',
  aud: () => 'audience: the service that is called',
  sub: () => 'subject: the user it calls for',
  iat: (value, _claims, now) => `issued ${moment(value, now)}`,
  exp: describeExpiry,
  nbf: (value, _claims, now) => `not valid before ${moment(value, now)}`,
  jti: () => 'token id: it may be used once',
  req: () => 'the one request it was made for: method and target',
  bdy: describeBody,
  hdr: () => 'the headers it was made for, with their values',
  tth: () => 'the hash of the grant: signed proof that the user is here',
};

const GRANT_WORDS: Readonly<Record<string, Describe>> = {
  iss: () => 'originator: the service that vouches for the user',
  aud: () => 'trust domain: the environment it counts in',
  sub: () => 'subject: the user who was there',
  iat: (value, _claims, now) => `made ${moment(value, now)}: its age`,
  exp: describeExpiry,
  txn: () => 'the id of the transaction, the same on every hop',
  scope: () => 'for what the user was there',
  req_wl: () => 'who asked for it',
  acr: () => 'how the user authenticated, in the words of the originator',
  auth_time: (value, _claims, now) => `the user authenticated ${moment(value, now)}`,
  amr: () => 'by which methods the user authenticated',
  tctx: () => 'what the originator says of the transaction',
  rctx: () => 'what the originator says of who asked',
};

/** Explains the members of a JOSE header. */
export function explainHeader(header: Members, nowSeconds: number): ExplainedMember[] {
  return explain(header, HEADER_WORDS, nowSeconds);
}

/** Explains claims, with times relative to `nowSeconds`, and what missing claims mean. */
export function explainClaims(claims: Members, nowSeconds: number): ExplainedMember[] {
  return explain(claims, CLAIM_WORDS, nowSeconds);
}

/** Explains the claims of a grant, with times relative to `nowSeconds`. */
export function explainGrantClaims(claims: Members, nowSeconds: number): ExplainedMember[] {
  return explain(claims, GRANT_WORDS, nowSeconds);
}

/** Explains what it means if a token lacks these claims. */
export function explainAbsence(claims: Members): string[] {
  return [
    ...('sub' in claims ? [] : ['no sub: the service calls for itself, for no user']),
    ...('bdy' in claims ? [] : ['no bdy: the request has no body']),
    ...('exp' in claims ? [] : ['no exp: it never expires by itself']),
    ...('req' in claims ? [] : ['no req: it is bound to no method and no path']),
  ];
}

function explain(
  members: Members,
  words: Readonly<Record<string, Describe>>,
  nowSeconds: number,
): ExplainedMember[] {
  return Object.entries(members).map(([name, value]) => {
    const describe = Object.hasOwn(words, name) ? words[name] : undefined;
    const unknown = 'not of the protocol: nobody looks at it';
    return { name, value, words: describe?.(value, members, nowSeconds) ?? unknown };
  });
}

function describeExpiry(value: unknown, { iat }: Members, nowSeconds: number): string {
  if (typeof value !== 'number') return 'when it expires';
  const verb = value <= nowSeconds ? 'expired' : 'expires';
  const life = typeof iat === 'number' ? `, a life of ${describeSeconds(value - iat)}` : '';
  return `${verb} ${moment(value, nowSeconds)}${life}`;
}

function describeBody(value: unknown): string {
  const name = typeof value === 'string' ? DIGEST_NAMES[value.length] : undefined;
  return `the ${name ?? '(unknown)'} digest of the body it was made for`;
}

/** Times far out of range have no date, and are printed as numbers. */
function moment(value: unknown, nowSeconds: number): string {
  if (typeof value !== 'number') return '(no number)';
  const date = new Date(value * 1000);
  const written = Number.isNaN(date.getTime()) ? '' : ` (${date.toISOString()})`;
  return `${describeMoment(value, nowSeconds)}${written}`;
}
