import { hash } from 'node:crypto';
import { MAX_REQUEST_LINE_LENGTH } from '../claims.js';
import { ServiceSigningError } from '../errors.js';
import { PROFILES } from '../profiles.js';
import type { SendingSettings } from '../settings.js';
import { readGrant, readSubject, type Signer } from '../sign-request.js';
import { signClaims } from '../token-signature.js';
import { MAX_TOKEN_LENGTH } from '../token-syntax.js';
import { MAX_DELAY_SECONDS, MESSAGE_LINE, messageLine, type OutgoingMessage } from './message.js';

/** The JOSE header of a message's token: RFC 8725 section 3.11 asks for a type of its own. */
export const MESSAGE_TYPE = 'msg+jwt';

/** Whom a message is for, and whether grants are sent with it. */
export interface MessageTarget {
  /** A service, or with `EMIT` a topic. */
  readonly audience: string;
  /** As that of a target. */
  readonly grants: 'send' | 'required' | 'never';
}

/** The token of a message, and what its answer must refer to. */
export interface SignedMessage {
  /** The value of the header `JWT`. */
  readonly token: string;
  readonly tokenId: string;
}

/**
 * Signs a message: claims who sends it, to whom, for which user, under which pattern and with which data.
 *
 * @throws ServiceSigningError `subject_invalid`, `request_too_long`, `token_too_large`, `grant_unusable`,
 *   `message_unsignable`
 */
export async function signMessage(
  message: OutgoingMessage,
  target: MessageTarget,
  signer: Signer,
): Promise<SignedMessage> {
  const { verb, route, text, wantsAnswer } = message;
  const req = messageLine(verb, route);
  if (req.length > MAX_REQUEST_LINE_LENGTH) throw new ServiceSigningError('request_too_long');
  if (!MESSAGE_LINE.test(req)) {
    const detail = 'its pattern is empty, or has a control character';
    throw new ServiceSigningError('message_unsignable', { detail });
  }
  const sub = readSubject(message.subject, PROFILES.strict);
  const tth = readGrant(message, target);
  const bdy = hash('sha256', text, 'hex');
  const about = { sub, req, bdy, tth, ans: wantsAnswer === true ? 1 : undefined };
  const sign = async (): Promise<SignedMessage> =>
    await signAbout(about, { message, target, signer });
  const signed = await (signer.turn ? signer.turn.atEnd(sign) : sign());
  if (signed.token.length > MAX_TOKEN_LENGTH) throw new ServiceSigningError('token_too_large');
  return signed;
}

interface Signing {
  readonly message: OutgoingMessage;
  readonly target: MessageTarget;
  readonly signer: Signer;
}

async function signAbout(
  about: Readonly<Record<string, unknown>>,
  { message, target, signer }: Signing,
): Promise<SignedMessage> {
  signer.assertOpen?.();
  const { issuer, tokenIds, sending } = signer;
  const tokenId = tokenIds.next();
  const { sub, ...others } = about;
  const times = timesOf(message, signer);
  const claims = { iss: issuer, aud: target.audience, sub, ...times, jti: tokenId, ...others };
  const key = sending.signingKeys.current();
  const token = await signClaims(claims, { typ: MESSAGE_TYPE, kid: key.keyId }, key);
  return { token, tokenId };
}

function timesOf(message: OutgoingMessage, { now, sending }: Signer) {
  const { verb, delaySeconds = 0, lifetimeSeconds = lifetimeOf(verb, sending) } = message;
  if (!(delaySeconds >= 0 && delaySeconds <= MAX_DELAY_SECONDS)) {
    throw new ServiceSigningError('message_unsignable', {
      detail: `its delay is no number of seconds from 0 to ${MAX_DELAY_SECONDS}`,
    });
  }
  const iat = Math.floor(now() / 1000);
  const start = iat + Math.ceil(delaySeconds);
  return { iat, nbf: delaySeconds > 0 ? start : undefined, exp: start + lifetimeSeconds };
}

function lifetimeOf(verb: OutgoingMessage['verb'], sending: SendingSettings): number {
  return {
    SEND: sending.tokenLifetimeSeconds,
    EMIT: sending.messageLifetimeSeconds,
    JOB: sending.jobLifetimeSeconds,
  }[verb];
}
