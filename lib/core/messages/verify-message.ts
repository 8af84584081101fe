import { hash } from 'node:crypto';
import { readClaims, type UnverifiedClaims, type VerifiedClaims } from '../claims.js';
import { refuse } from '../errors.js';
import { createIdentity, type ServiceIdentity } from '../identity.js';
import type { TrustedIssuer } from '../issuers.js';
import { assertHeaderProfile, readJoseHeader } from '../jose-header.js';
import { describeKnownKeys } from '../refusal-details.js';
import type { TokenUse } from '../replay.js';
import { TOKEN_HEADER } from '../request.js';
import type { ReceivingSettings } from '../settings.js';
import { verifyClaims } from '../token-signature.js';
import { readToken } from '../token-syntax.js';
import {
  apart,
  assertAlgorithm,
  assertFirst,
  assertPolicy,
  findTrustedIssuer,
  proveUser,
  readAudience,
  recordUse,
  type RoutePolicy,
  tokenUse,
  type Verifier,
  withHeld,
} from '../verification-steps.js';
import { type IncomingMessage, MESSAGE_LINE, messageLine, transportOf } from './message.js';
import { readMessageText } from './message-text.js';
import { assertMessageTimes, type MessageTimeLimits } from './message-times.js';
import { MESSAGE_TYPE } from './sign-message.js';

/** What is asked of a message besides a good token. */
export interface MessageTerms {
  readonly policy: RoutePolicy;
  /** Whose uses are counted together: no two of one space are let in for one token. No line break. */
  readonly space: string;
  /** `record`: the use is recorded. `leave`: the caller reserves it, since the broker delivers again. */
  readonly replay: 'record' | 'leave';
}

/** What a verified message proves. */
export interface VerifiedMessage {
  readonly identity: ServiceIdentity;
  /** The use of its token. */
  readonly use: TokenUse;
  /** Whether the sender wants a signed answer. */
  readonly wantsAnswer: boolean;
}

const HEADER_RULES = {
  type: MESSAGE_TYPE,
  typeRequired: true,
  keyIdRequired: true,
  headerMembers: new Set(['alg', 'kid', 'typ']),
} as const;

const REQUIRED_CLAIMS = ['iss', 'aud', 'iat', 'exp', 'jti', 'req'];
const DIGEST = /^[0-9a-f]{64}$/;

/**
 * Verifies the one token of a message, as `verifyRequest` does that of a request: cheap steps first, and the first use is
 * recorded last, or left to the caller.
 *
 * @throws ServiceTokenRefusedError with the code of the first step that fails
 * @throws ServiceAuthUnavailableError `key_unavailable`, `replay_store_unavailable`
 */
export async function verifyMessage(
  message: IncomingMessage,
  { policy, space, replay }: MessageTerms,
  verifier: Verifier,
): Promise<VerifiedMessage> {
  const { settings, now, knownHeaders, load, progress, enforcement } = verifier;
  const token = readToken(message.headerValues(TOKEN_HEADER), knownHeaders);
  const header = readJoseHeader(token.unverifiedHeader);
  const unverified = readClaims(token.unverifiedPayload, MESSAGE_LINE);

  const transport = transportOf(message.verb);
  const trusted = await findTrustedIssuer(unverified.issuer, transport, settings);
  progress?.nameIssuer(trusted.issuer);
  if (trusted.profile === 'original') refuse('header_invalid', 'messages need the strict profile');
  assertHeaderProfile(header, token.unverifiedHeader, HEADER_RULES);
  const signedDigest = readDigest(unverified, trusted);

  const key =
    (await trusted.keys.find(header.keyId)) ??
    refuse('key_unknown', describeKnownKeys(trusted.keys.health()));
  assertAlgorithm(header, key);
  const { algorithm } = header;
  const check = { algorithm, key: key.key, keyId: key.keyId, load };
  const claims = await verifyClaims(unverified, token, check);
  knownHeaders?.keep(token.encodedHeader, token.unverifiedHeader);
  progress?.proveSignature(algorithm);

  const limits = limitsOf(message, settings);
  assertMessageTimes(claims, limits, now());
  const audience = readMessageAudience(claims, message, settings);
  assertLine(claims, message);
  if (digestOf(message, trusted) !== signedDigest) refuse('body_mismatch', 'the data differs');
  assertPolicy(claims, trusted, policy);
  const proof = await proveUser(claims, { trusted, policy, headers: message }, verifier);
  // Again, since keys of an originator may take time to arrive.
  assertMessageTimes(claims, limits, now());
  const use = messageUse(claims, { space, limits, nowMilliseconds: now() });
  const counted = enforcement === 'report' ? apart(use) : use;
  if (replay === 'record') assertFirst(await recordUse(counted, settings));
  progress?.finishVerification(proof);
  const verified = { keyId: key.keyId, profile: 'strict', verifier: settings } as const;
  const identity = createIdentity({ ...claims, audience }, { ...verified, grant: proof.grant });
  return {
    identity: withHeld(identity, proof),
    use: counted,
    wantsAnswer: message.verb === 'SEND' && claims.payload['ans'] === 1,
  };
}

/** The digest that the token claims: of the data, or for an issuer of raw messages of the bytes. Never either-or. */
function readDigest({ payload }: UnverifiedClaims, { messageBodies }: TrustedIssuer): string {
  const missing = REQUIRED_CLAIMS.find((name) => payload[name] === undefined);
  if (missing !== undefined) refuse('claim_missing', missing);
  if (payload['hdr'] !== undefined) refuse('claim_invalid', 'hdr means nothing in a message');
  const [wanted, other] = messageBodies === 'raw' ? ['raw', 'bdy'] : ['bdy', 'raw'];
  if (payload[other] !== undefined) {
    refuse('claim_invalid', `${other} is not what messages of this issuer sign`);
  }
  const digest = payload[wanted];
  if (digest === undefined) refuse('claim_missing', wanted);
  if (typeof digest === 'string' && DIGEST.test(digest)) return digest;
  return refuse('claim_invalid', `${wanted} is no SHA-256 digest`);
}

function digestOf({ data, bytes }: IncomingMessage, { messageBodies }: TrustedIssuer): string {
  if (messageBodies === 'json') return hash('sha256', readMessageText(data), 'hex');
  if (bytes) return hash('sha256', bytes, 'hex');
  return refuse('body_unverifiable', 'this transport does not show the bytes of a message');
}

function limitsOf({ verb }: IncomingMessage, settings: ReceivingSettings): MessageTimeLimits {
  const { clockToleranceSeconds, maxTokenLifetimeSeconds, maxMessageLifetimeSeconds } = settings;
  const maxLifetimeSeconds =
    verb === 'SEND' ? maxTokenLifetimeSeconds.strict : maxMessageLifetimeSeconds;
  return { maxLifetimeSeconds, clockToleranceSeconds };
}

/** An event may be for everybody; nothing else is. */
function readMessageAudience(
  claims: VerifiedClaims,
  { verb }: IncomingMessage,
  { audiences, topics }: ReceivingSettings,
): string {
  const isEvent = verb === 'EMIT' && topics.size > 0;
  return readAudience(claims, {
    audiences: isEvent ? new Set([...audiences, ...topics]) : audiences,
  });
}

function assertLine({ requestLine = '' }: VerifiedClaims, { verb, route }: IncomingMessage): void {
  if (requestLine === messageLine(verb, route)) return;
  const isOtherVerb = !requestLine.startsWith(`${verb} `);
  refuse('request_mismatch', isOtherVerb ? 'the verb differs' : 'the pattern differs');
}

function messageUse(
  claims: VerifiedClaims,
  terms: { space: string; limits: MessageTimeLimits; nowMilliseconds: number },
): TokenUse {
  const { space, limits, nowMilliseconds } = terms;
  const use = tokenUse(claims, limits, nowMilliseconds) ?? refuse('claim_missing', 'jti');
  const { tokenId, forgetAtSeconds } = use;
  // A delivery is handled before its use is final, so the use is remembered for another tolerance.
  const later = forgetAtSeconds + limits.clockToleranceSeconds;
  return { ...use, tokenId: `${space} ${tokenId}`, forgetAtSeconds: later };
}
