import { createHash, randomBytes } from 'node:crypto';
import type { TestKey } from '../keys/keys.js';
import { forge, type Json } from './forge.js';

/** What a grant is made of; everything else is good. */
export interface GrantParts {
  /** The key of the originator. */
  readonly key: TestKey;
  readonly originator: string;
  readonly trustDomain: string;
  readonly subject: string;
  /** When it is made, in seconds since the epoch. */
  readonly now: number;
  /** Merged over the good ones; a member that is `undefined` is left out. */
  readonly header?: Json;
  readonly claims?: Json;
  /** Makes the text from its parts. Default: signs them as they are. */
  readonly build?: (header: Json, claims: Json, key: TestKey) => string;
}

/** A grant, or a text that differs from one in what is given. Made with nothing but `node:crypto`. */
export function makeGrant({ key, originator, trustDomain, ...parts }: GrantParts): string {
  const { subject, now, header, claims, build = forge } = parts;
  const good = {
    iss: originator,
    aud: trustDomain,
    sub: subject,
    iat: now,
    exp: now + 300,
    txn: randomBytes(16).toString('base64url'),
    scope: 'user-present',
    req_wl: originator,
  };
  const goodHeader = { alg: key.algorithm, kid: key.keyId, typ: 'txntoken+jwt' };
  return build({ ...goodHeader, ...header }, { ...good, ...claims }, key);
}

/** What a service token says of the grant that is sent beside it. */
export function tthOf(grant: string): string {
  return createHash('sha256').update(grant, 'latin1').digest('base64url');
}
