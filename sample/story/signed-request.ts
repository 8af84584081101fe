import { createServiceAuth, type KeyMaterial } from 'nestjs-service-auth/core';
import { readPrivateKey } from '../setup/key-files.js';
import { CENSUS_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import type { SentRequest } from './http-client.js';
import { OPERATOR } from './story.js';

export interface Signer {
  readonly issuer: string;
  readonly privateKey: KeyMaterial;
  readonly audience: string;
  /** The URI of the user to speak for; null: for nobody. Default: the operator. */
  readonly subject?: string | null;
  /** The grant to send along. Default: none. */
  readonly grant?: string;
  /** The clock, in milliseconds since the epoch. Default: that of this machine. */
  readonly now?: () => number;
}

export function get(url: string): SentRequest {
  return { method: 'GET', url, headers: {}, body: '' };
}

export function post(url: string, content: unknown): SentRequest {
  const headers = { 'content-type': 'application/json' };
  return { method: 'POST', url, headers, body: JSON.stringify(content) };
}

/** Signs a request on behalf of a user, without Nest and without axios, as any program can. */
export async function sign(
  request: SentRequest,
  { issuer, privateKey, audience, subject = OPERATOR, grant, now }: Signer,
): Promise<SentRequest> {
  const baseUrl = new URL('/', request.url).href;
  const serviceAuth = await createServiceAuth({
    issuer,
    signingKey: { privateKey },
    targets: [{ baseUrl, audience }],
    trustDomain: TRUST_DOMAIN,
    now,
  });
  const body = Buffer.from(request.body);
  const token = await serviceAuth.sign({ ...request, body, subject: subject ?? undefined, grant });
  serviceAuth.close();
  const signed = { ...request.headers, JWT: token ?? '' };
  return { ...request, headers: grant === undefined ? signed : { ...signed, 'Txn-Token': grant } };
}

/**
 * FOR THE DEMONSTRATION ONLY. Makes a grant as Edge does, with Edge's key file: nobody has logged in for it.
 *
 * @param keys the directory of the key files
 */
export async function grantFor(
  subject: string,
  keys: string,
  { now, lifetimeSeconds }: { now?: () => number; lifetimeSeconds?: number } = {},
): Promise<string> {
  const edge = await createServiceAuth({
    issuer: SERVICE_URIS.edge,
    signingKey: { privateKey: readPrivateKey(keys, 'edge') },
    trustDomain: TRUST_DOMAIN,
    originate: { subjects: [CENSUS_USERS] },
    now,
  });
  const grant = await edge.issueGrant(subject, { scope: 'notification:create', lifetimeSeconds });
  edge.close();
  return grant;
}
