import { ServiceSigningError, ServiceTokenRefusedError } from '../errors.js';
import type { SigningTurn } from '../scheduling.js';
import type { SendingSettings } from '../settings.js';
import { findSubjectFlaw, isWithinPrefixes } from '../subject.js';
import type { TokenIds } from '../token-ids.js';
import { signClaims } from '../token-signature.js';
import { MAX_CLAIM_VALUES } from '../token-syntax.js';
import { JsonFlaw, readJsonObject } from '../unambiguous-json.js';
import { isScopeToken, readGrantClaims } from './grant-claims.js';
import type { OriginateSettings } from './grant-settings.js';
import { GRANT_TYPE, MAX_GRANT_LENGTH } from './verify-grant.js';

/** The scope of a grant if its maker names none. It does not satisfy a route that requires another scope. */
export const USER_PRESENT = 'user-present';

/** What a grant says besides its originator and its user. */
export interface GrantOptions {
  /** What the user allows. A scope has no spaces. Default `user-present`. */
  readonly scope?: string | readonly string[] | undefined;
  /** How long the grant lives, in seconds. Default `originate.lifetimeSeconds`; at most `originate.maxLifetimeSeconds`. */
  readonly lifetimeSeconds?: number | undefined;
  /** How the user authenticated: OpenID Connect Core section 2. */
  readonly acr?: string | undefined;
  readonly authTimeSeconds?: number | undefined;
  readonly amr?: readonly string[] | undefined;
  /** What receivers learn of the transaction, and of who asked for it. */
  readonly transactionContext?: Readonly<Record<string, unknown>> | undefined;
  readonly requesterContext?: Readonly<Record<string, unknown>> | undefined;
}

/** Options of a grant that may be made while the service serves a request. */
export interface OriginateCall extends GrantOptions {
  /**
   * `served-grant`: the request being served came from another service. This service vouches for the user itself,
   * instead of passing on the grant of that request. The event `grant_issued` records it.
   */
  readonly insteadOf?: 'served-grant' | undefined;
}

/** The originator: its name, its clock, its key, its source of ids, and when it signs. */
export interface GrantSigner {
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly sending: SendingSettings;
  readonly tokenIds: TokenIds;
  readonly turn: SigningTurn;
}

/** A grant that this service made, and its claims. */
export interface IssuedGrant {
  /** The value of the header `Txn-Token`, once it is signed. */
  readonly text: Promise<string>;
  readonly subject: string;
  readonly transaction: string;
  readonly expiresAtSeconds: number;
  readonly lifetimeSeconds: number;
}

/**
 * Makes a grant: this service vouches for the user. It checks the grant before it signs.
 *
 * @throws ServiceSigningError `originate_refused`
 * @see draft-ietf-oauth-transaction-tokens-10
 */
export function issueGrant(
  subject: string,
  options: GrantOptions,
  signer: GrantSigner,
): IssuedGrant {
  const { issuer, now, sending, tokenIds } = signer;
  const { originate, trustDomain } = sending;
  if (originate === undefined || trustDomain === undefined) refuse('set `originate`');
  assertSubject(subject, originate);
  const lifetimeSeconds = readLifetime(options, originate);
  const iat = Math.floor(now() / 1000);
  const expiresAtSeconds = iat + lifetimeSeconds;
  const transaction = tokenIds.next();
  const claims = {
    iss: issuer,
    aud: trustDomain,
    sub: subject,
    iat,
    exp: expiresAtSeconds,
    txn: transaction,
    scope: readScope(options.scope),
    req_wl: issuer,
    acr: options.acr,
    auth_time: options.authTimeSeconds,
    amr: options.amr,
    tctx: options.transactionContext,
    rctx: options.requesterContext,
  };
  assertReadable(claims, lifetimeSeconds);
  const text = signGrant(claims, signer);
  return { text, subject, transaction, expiresAtSeconds, lifetimeSeconds };
}

/** Asserts that receivers can read the claims as those of a grant, whatever values the application has given. */
function assertReadable(claims: Readonly<Record<string, unknown>>, lifetimeSeconds: number): void {
  try {
    const written = Buffer.from(JSON.stringify(claims));
    readGrantClaims(readJsonObject(written, MAX_CLAIM_VALUES), lifetimeSeconds);
  } catch (error) {
    if (error instanceof ServiceTokenRefusedError) refuse(error.detail ?? error.code);
    if (error instanceof JsonFlaw || error instanceof TypeError) refuse(error.message);
    throw error;
  }
}

async function signGrant(
  claims: Readonly<Record<string, unknown>>,
  { sending, turn }: GrantSigner,
): Promise<string> {
  const key = sending.signingKeys.current();
  const text = await turn.atEnd(() => signClaims(claims, { typ: GRANT_TYPE, kid: key.keyId }, key));
  if (text.length > MAX_GRANT_LENGTH) refuse('it would be longer than 4096 characters');
  return text;
}

function assertSubject(subject: string, { subjects }: OriginateSettings): void {
  const flaw = findSubjectFlaw(subject);
  if (flaw !== undefined) refuse(`the user is ${flaw}`);
  if (!isWithinPrefixes(subject, subjects)) refuse('the user is outside of `originate.subjects`');
}

function readLifetime(
  { lifetimeSeconds: asked }: GrantOptions,
  { lifetimeSeconds, maxLifetimeSeconds }: OriginateSettings,
): number {
  const seconds = asked ?? lifetimeSeconds;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > maxLifetimeSeconds) {
    refuse(`lifetimeSeconds is no whole number from 1 to ${maxLifetimeSeconds}`);
  }
  return seconds;
}

function readScope(scope: GrantOptions['scope']): string {
  const scopes = [scope ?? USER_PRESENT].flat();
  if (scopes.length === 0 || !scopes.every(isScopeToken)) {
    refuse("scope is no text without spaces, such as 'notification:create', and no list of them");
  }
  return scopes.join(' ');
}

function refuse(detail: string): never {
  throw new ServiceSigningError('originate_refused', { detail });
}
