import { createHash } from 'node:crypto';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';
import { type ForgedRequest, grantOf, tokenPartsOf } from './forged-request.js';
import { readToken, type TokenParts } from './token-parts.js';

/** A value as it should be, beside the value that the receiver got. */
export interface Difference {
  readonly what: string;
  readonly left: LabelledText;
  readonly right: LabelledText;
}

export interface LabelledText {
  /** Where the text comes from: `in the token`. */
  readonly label: string;
  readonly text: string;
}

type Parts = TokenParts | undefined;
type Compare = (request: ForgedRequest, token: Parts) => readonly Difference[];

const NONE = '(none)';
const IN_TOKEN = 'in the token';
const AS_RECEIVED = 'as received';

/** For each code that a mismatch leads to: the values that do not match. */
const COMPARISONS: Readonly<Record<string, Compare>> = {
  body_mismatch: (request, token) => [
    received('SHA-256 of the body (bdy)', claim(token, 'bdy'), hashOf(request.body)),
    {
      what: 'The body',
      left: { label: 'as signed', text: request.original?.body ?? NONE },
      right: { label: AS_RECEIVED, text: request.body },
    },
  ],
  request_mismatch: (request, token) => [
    received('Method and target (req)', claim(token, 'req'), requestLineOf(request)),
  ],
  header_mismatch: (request, token) => [
    received('Content-Type (hdr)', boundContentType(token), request.headers['content-type'] ?? ''),
  ],
  audience_mismatch: (request, token) => [
    {
      what: 'Called service (aud)',
      left: { label: IN_TOKEN, text: claim(token, 'aud') },
      right: { label: 'who received it', text: receiverOf(request) },
    },
  ],
  signature_invalid: (request, token) => rewrittenClaims(request, token),
  algorithm_refused: (request, token) => [
    signed(
      'Algorithm (alg)',
      tokenPartsOf(request.original ?? request)?.header['alg'],
      token?.header['alg'],
    ),
  ],
  token_expired: (_request, token) => [ended('Good until (exp)', IN_TOKEN, token?.claims['exp'])],
  token_replayed: (_request, token) => [
    {
      what: 'Token id (jti)',
      left: { label: IN_TOKEN, text: claim(token, 'jti') },
      right: { label: 'already used', text: claim(token, 'jti') },
    },
  ],
  issuer_unknown: (_request, token) => [
    {
      what: 'Calling service (iss)',
      left: { label: IN_TOKEN, text: claim(token, 'iss') },
      right: { label: 'trusted by Herald', text: SERVICE_URIS.another },
    },
  ],
  key_unknown: (request, token) => [
    {
      what: 'Key id (kid)',
      left: { label: IN_TOKEN, text: textOf(token?.header['kid']) },
      right: {
        label: `published by ${claim(token, 'iss')}`,
        text: textOf(request.original && tokenPartsOf(request.original)?.header['kid']),
      },
    },
  ],
  subject_not_allowed: (_request, token) => [
    {
      what: 'User (sub)',
      left: { label: IN_TOKEN, text: claim(token, 'sub') },
      right: { label: 'another.service may speak for', text: `${CENSUS_USERS}…` },
    },
  ],
  subject_missing: (_request, token) => [
    {
      what: 'User (sub)',
      left: { label: IN_TOKEN, text: claim(token, 'sub') },
      right: { label: 'the route asks for', text: `${CENSUS_USERS}…` },
    },
  ],
  grant_missing: (request, token) => [
    {
      what: 'Grant (Txn-Token)',
      left: { label: 'Census asks for', text: `a grant for ${claim(token, 'sub')}` },
      right: { label: AS_RECEIVED, text: grantOf(request) || NONE },
    },
  ],
  grant_mismatch: (request, token) => [
    {
      what: 'User (sub)',
      left: { label: IN_TOKEN, text: claim(token, 'sub') },
      right: { label: 'in the grant', text: claim(grantPartsOf(request), 'sub') },
    },
  ],
  grant_expired: (request) => [
    ended('Good until (exp)', 'in the grant', grantPartsOf(request)?.claims['exp']),
  ],
};

/**
 * What the receiver compared when it refused a request with this code.
 *
 * @returns nothing for a code that no comparison leads to
 */
export function differencesOf(
  request: ForgedRequest,
  code: string | undefined,
): readonly Difference[] {
  const compare = code === undefined ? undefined : COMPARISONS[code];
  return compare?.(request, tokenPartsOf(request)) ?? [];
}

function received(what: string, inToken: string, asReceived: string): Difference {
  return {
    what,
    left: { label: IN_TOKEN, text: inToken },
    right: { label: AS_RECEIVED, text: asReceived },
  };
}

function signed(what: string, before: unknown, after: unknown): Difference {
  return {
    what,
    left: { label: 'when it was signed', text: textOf(before) },
    right: { label: IN_TOKEN, text: textOf(after) },
  };
}

function ended(what: string, where: string, seconds: unknown): Difference {
  return {
    what,
    left: { label: where, text: timeOf(Number(seconds) * 1000) },
    right: { label: 'when it arrived', text: timeOf(Date.now()) },
  };
}

/** The claims that are not as they were when the token was signed. */
function rewrittenClaims({ original }: ForgedRequest, token: Parts): Difference[] {
  const before = original && tokenPartsOf(original);
  if (!before || !token) return [];
  const names = Object.keys(before.claims).filter(
    (name) => before.claims[name] !== token.claims[name],
  );
  return names
    .filter((name) => typeof before.claims[name] === 'string')
    .map((name) => signed(`Claim ${name}`, before.claims[name], token.claims[name]));
}

function claim(token: Parts, name: string): string {
  return textOf(token?.claims[name]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : NONE;
}

function grantPartsOf(request: ForgedRequest): Parts {
  const grant = grantOf(request);
  return grant === '' ? undefined : readToken(grant);
}

function boundContentType(token: Parts): string {
  const bound = Object(token?.claims['hdr']) as Readonly<Record<string, unknown>>;
  return textOf(bound['content-type']);
}

function requestLineOf({ method, url }: ForgedRequest): string {
  const { pathname, search } = new URL(url);
  return `${method} ${pathname}${search}`;
}

/** The page's attempts go to Herald's `/notification/`, and to Census's `/user/`. */
function receiverOf({ url }: ForgedRequest): string {
  return new URL(url).pathname.startsWith('/user/') ? SERVICE_URIS.census : SERVICE_URIS.herald;
}

/** SHA-256 in hex, as `bdy` has it. */
function hashOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('.000Z', 'Z');
}
