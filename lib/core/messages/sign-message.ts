import { hash } from 'node:crypto';
import { MAX_REQUEST_LINE_LENGTH } from '../claims.js';
import { ServiceSigningError } from '../errors.js';
import { PROFILES } from '../profiles.js';
import type { SendingSettings } from '../settings.js';
import { readGrant, readSubject, type Signer } from '../sign-request.js';
import { signClaims } from '../token-signature.js';
import { MAX_TOKEN_LENGTH } from '../token-syntax.js';
import { MAX_DELAY_SECONDS, MESSAGE_LINE, messageLine, type OutgoingMessage } from './message.js';
import { parseMessageText } from './message-text.js';

/** The JOSE header of a message's token: RFC 8725 section 3.11 asks for a type of its own. */
export const MESSAGE_TYPE = 'msg+jwt';

/** Whom a message is for, and whether grants are sent with it. */
export interface MessageTarget {
  /** A service, or with `EMIT` a topic. */
  readonly audience: string;
  /** As that of a target. */
  readonly grants: 'send' | 'required' | 'never';
}

/** A message as it is sent. */
export interface SignedMessage {
  /** The value of the header `JWT`. */
  readonly token: string;
  /** What its answer must refer to. */
  readonly tokenId: string;
  /** What its text says: give this to the client of the broker, never what the text was written from. */
  readonly data: unknown;
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
  const data = parseMessageText(message.text);
  const { issuer, tokenIds, sending } = signer;
  const { sub, ...others } = statementOf(message, target);
  const times = timesOf(message, signer);
  const tokenId = tokenIds.next();
  const claims = { iss: issuer, aud: target.audience, sub, ...times, jti: tokenId, ...others };
  const key = sending.signingKeys.current();
  const token = await signClaims(claims, { typ: MESSAGE_TYPE, kid: key.keyId }, key);
  if (token.length > MAX_TOKEN_LENGTH) throw new ServiceSigningError('token_too_large');
  return { token, tokenId, data };
}

/** What the token claims of the message. */
function statementOf(message: OutgoingMessage, target: MessageTarget) {
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
  return { sub, req, bdy, tth, ans: wantsAnswer === true ? 1 : undefined };
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
