import { hash } from 'node:crypto';
import { refuse, ServiceTokenRefusedError } from '../errors.js';
import { nameDifference } from '../issuers.js';
import { assertHeaderProfile, type JoseHeader, readJoseHeader } from '../jose-header.js';
import type { KnownHeaders } from '../known-headers.js';
import { describeKnownKeys } from '../refusal-details.js';
import type { VerificationLoad } from '../scheduling.js';
import { assertSignature } from '../token-signature.js';
import { readToken, type UnverifiedToken } from '../token-syntax.js';
import type { GrantCache, KnownGrant } from './grant-cache.js';
import { readGrantClaims } from './grant-claims.js';
import type { GrantSettings } from './grant-settings.js';
import { toVerifiedGrant } from './verified-grant.js';

/** The longest grant that this library reads, in characters. */
export const MAX_GRANT_LENGTH = 4096;

const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/** The JOSE header of a grant: RFC 8725 section 3.11 asks for a type of its own. */
export const GRANT_TYPE = 'txntoken+jwt';
const HEADER_RULES = {
  type: GRANT_TYPE,
  typeRequired: true,
  keyIdRequired: true,
  headerMembers: new Set(['alg', 'kid', 'typ']),
} as const;

const GRANT_TEXT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Whether a text has the outer form of a grant. Reads none of its content. */
export function isGrantText(text: string): boolean {
  return text.length <= MAX_GRANT_LENGTH && GRANT_TEXT.test(text);
}

/** The receiver that verifies grants, and its cache. */
export interface GrantVerifier {
  readonly grants: GrantSettings;
  readonly cache: GrantCache;
  readonly knownHeaders?: KnownHeaders | undefined;
  readonly load?: VerificationLoad | undefined;
}

/** The `tth` of a grant: base64url SHA-256 of the value of its header. */
export function grantHash(text: string): string {
  return hash('sha256', text, 'base64url');
}

/**
 * Asserts the form that the value of a header must have before it is hashed.
 *
 * @throws ServiceTokenRefusedError `grant_invalid`, `grant_repeated` (several in one header, joined by a comma)
 */
export function assertGrantText(text: string): void {
  if (text.length > MAX_GRANT_LENGTH) refuse('grant_invalid', 'longer than 4096 characters');
  if (text.includes(',')) refuse('grant_repeated', 'several grants in one header');
  if (!VISIBLE_ASCII.test(text)) refuse('grant_invalid', 'not visible ASCII');
}

/**
 * Verifies a grant, or finds it in the cache: an originator has signed it, with a key that the originator still has.
 * The caller checks the user and the age.
 *
 * @param tokenHash the {@link grantHash} of `text`
 * @throws ServiceTokenRefusedError `grant_invalid`, `originator_unknown`
 * @throws ServiceAuthUnavailableError `key_unavailable`
 */
export async function verifyGrant(
  text: string,
  tokenHash: string,
  verifier: GrantVerifier,
): Promise<KnownGrant> {
  const { cache, grants } = verifier;
  const known = cache.find(tokenHash);
  if (known && (await isStillGood(known, grants))) return known;
  if (known) cache.drop(tokenHash);
  return await cache.once(tokenHash, async () => {
    const grant = await verifyAnew(text, verifier);
    cache.keep(tokenHash, grant, text.length);
    return grant;
  });
}

/**
 * Whether a cached grant still counts: its originator may still vouch, and has the same key under the same id, for
 * that algorithm. If not, the grant is verified again, which gives the reason.
 */
async function isStillGood(known: KnownGrant, { originators }: GrantSettings): Promise<boolean> {
  const originator = originators.get(known.claims.issuer);
  const key = await originator?.keys.find(known.keyId);
  if (key === undefined) return false;
  // A key that is fetched again is another object, even if it is unchanged.
  const isSameKey = key.key === known.key || key.key.equals(known.key);
  return isSameKey && key.algorithms.has(known.algorithm);
}

async function verifyAnew(
  text: string,
  { grants, knownHeaders, load }: GrantVerifier,
): Promise<KnownGrant> {
  const { token, algorithm, keyId } = await asGrant(() => readGrant(text, knownHeaders));
  const claims = readGrantClaims(token.unverifiedPayload, grants.maxLifetimeSeconds);
  const originator =
    grants.originators.get(claims.issuer) ??
    refuse('originator_unknown', describeNearOriginator(claims.issuer, grants));
  const key =
    (await originator.keys.find(keyId)) ??
    refuse('grant_invalid', `kid: ${describeKnownKeys(originator.keys.health())}`);
  if (!key.algorithms.has(algorithm)) {
    refuse('grant_invalid', 'alg is not the algorithm of the key');
  }
  await asGrant(() => assertSignature(token, { algorithm, key: key.key, load: load?.ofGrants }));
  knownHeaders?.keep(token.encodedHeader, token.unverifiedHeader);
  const proved = toVerifiedGrant(claims);
  return { claims, proved, keyId: key.keyId, key: key.key, algorithm };
}

/**
 * Reads and checks the JOSE header of a grant.
 *
 * @throws ServiceTokenRefusedError `grant_invalid`
 */
export async function readGrantHeader({ unverifiedHeader }: UnverifiedToken): Promise<JoseHeader> {
  return await asGrant(() => readHeader(unverifiedHeader));
}

function readHeader(unverifiedHeader: UnverifiedToken['unverifiedHeader']): JoseHeader {
  const header = readJoseHeader(unverifiedHeader);
  assertHeaderProfile(header, unverifiedHeader, HEADER_RULES);
  return header;
}

function readGrant(
  text: string,
  knownHeaders: KnownHeaders | undefined,
): JoseHeader & { readonly token: UnverifiedToken } {
  const token = readToken([text], knownHeaders);
  return { ...readHeader(token.unverifiedHeader), token };
}

/** Runs checks of service tokens on a grant, with the code of grants. @throws `grant_invalid` for any refusal */
export async function asGrant<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ServiceTokenRefusedError)) throw error;
    return refuse('grant_invalid', error.detail ?? error.code);
  }
}

/**
 * The configured originator that the grant probably means. The grant is not verified, so the text quotes nothing of
 * it.
 */
function describeNearOriginator(
  unverifiedIssuer: string,
  { originators }: GrantSettings,
): string | undefined {
  for (const name of originators.keys()) {
    const difference = nameDifference(unverifiedIssuer, name);
    if (difference !== undefined) return `differs from ${name} in ${difference}`;
  }
  return undefined;
}
