import { createHash, randomUUID } from 'node:crypto';
import { call, type Answer } from '../support/http/http.js';
import type { Recorded } from '../support/http/recording-server.js';
import { valuesOf } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { decodeClaims, forge, type Json } from '../support/tokens/forge.js';
import { Caller, type SignedCall } from '../support/services/caller.js';

export const EDGE = 'https://edge.service/';
export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const DOMAIN = 'https://test.example.org/';
export const USERS = 'https://census.service/user/';
export const ALICE = `${USERS}alice/`;
export const BOB = `${USERS}bob/`;

/** Calls herald, and vouches for users: with tokens and grants that the library had no part in making. */
export const edge = new Caller(EDGE, HERALD);
const originatorKey = createKey();

/** How a receiver names the one who vouches. */
export const originators = [
  { issuer: 'https://login.service/', publicKey: originatorKey.publicPem, subjects: [USERS] },
];

/** A grant for a user, which begins now. Claims are merged over the good ones. */
export function grantFor(subject: string, claims: Json = {}): string {
  const iat = Number(claims['iat'] ?? Math.floor(Date.now() / 1000));
  const payload = {
    iss: 'https://login.service/',
    aud: DOMAIN,
    sub: subject,
    iat,
    exp: iat + 300,
    txn: randomUUID(),
    scope: 'user-present',
    req_wl: 'https://login.service/',
    ...claims,
  };
  const header = { alg: originatorKey.algorithm, kid: originatorKey.keyId, typ: 'txntoken+jwt' };
  return forge(header, payload, originatorKey);
}

export const hashOf = (grant: string): string =>
  createHash('sha256').update(grant).digest('base64url');

/** The headers of a call to herald for a user, with a grant beside the token, or without. */
export function headersFor(request: SignedCall, grant?: string) {
  if (grant === undefined) return edge.headers(request);
  const claims = { ...request.claims, tth: hashOf(grant) };
  return { ...edge.headers({ ...request, claims }), 'txn-token': grant };
}

/** Asks herald for a user. */
export async function ask(port: number, request: SignedCall, grant?: string): Promise<Answer> {
  return await call(port, { target: request.target, headers: headersFor(request, grant) });
}

/** What a recorded call says: for whom, and with which grant; the pair is asserted to be whole. */
export function saidBy(recorded: Recorded): { user: string; grant: string | undefined } {
  const [token, ...others] = valuesOf(recorded, 'jwt');
  const grants = valuesOf(recorded, 'txn-token');
  if (others.length > 0 || grants.length > 1) throw new Error('a header came twice');
  const [grant] = grants;
  if (token === undefined) return { user: 'unsigned', grant };
  const { sub, tth } = decodeClaims(token);
  expect(tth).toBe(grant === undefined ? undefined : hashOf(grant));
  return { user: typeof sub === 'string' ? sub : 'nobody', grant };
}
