import { randomUUID } from 'node:crypto';
import type { TestKey } from '../keys/keys.js';
import { forge, type Json, sha256 } from '../tokens/forge.js';
import type { Headers, PlainMessage } from './plain-broker.js';

/** A message and its token, each member of which may be changed. */
export interface MessageParts {
  readonly key: TestKey;
  readonly issuer: string;
  readonly audience: string;
  readonly subject?: string | undefined;
  readonly verb: 'SEND' | 'EMIT' | 'JOB';
  /** Where it is sent. */
  readonly pattern: string;
  /** What the token says of that. Default: the same. */
  readonly route?: string;
  /** The JSON text that is sent. */
  readonly data: string;
  /** The JSON text that is signed. Default: the same. */
  readonly signedData?: string;
  /** Merged over the good ones; a member that is `undefined` is left out. */
  readonly header?: Json;
  readonly claims?: Json;
  /** What is sent beside the data. Default: the token as `JWT`. */
  readonly headers?: (token: string) => Headers;
}

/** The header and claims of the token of a good message. */
export function messageTokenParts(parts: MessageParts): { header: Json; claims: Json } {
  const now = Math.floor(Date.now() / 1000);
  const { key, issuer, audience, subject, verb, pattern, route = pattern, data } = parts;
  return {
    header: { alg: key.algorithm, kid: key.keyId, typ: 'msg+jwt', ...parts.header },
    claims: {
      iss: issuer,
      aud: audience,
      sub: subject,
      iat: now,
      exp: now + 60,
      jti: randomUUID(),
      req: `${verb} ${route}`,
      bdy: sha256(parts.signedData ?? data),
      ...parts.claims,
    },
  };
}

/** The token of a message, made with nothing but `node:crypto`. */
export function messageToken(parts: MessageParts): string {
  const { header, claims } = messageTokenParts(parts);
  return forge(header, claims, parts.key);
}

/** A message with its token, for a plain client of a broker. */
export function forgeMessage(parts: MessageParts): PlainMessage {
  const { pattern, data, headers = (JWT) => ({ JWT }) } = parts;
  const wantsAnswer = pattern.startsWith('send');
  return { pattern, data, wantsAnswer, headers: headers(messageToken(parts)) };
}
