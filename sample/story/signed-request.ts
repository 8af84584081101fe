import { createServiceAuth, type KeyMaterial } from 'nestjs-service-auth/core';
import type { SentRequest } from './http-client.js';
import { OPERATOR } from './story.js';

export interface Signer {
  readonly issuer: string;
  readonly privateKey: KeyMaterial;
  readonly audience: string;
  /** The URI of the user to speak for; null: for nobody. Default: the operator. */
  readonly subject?: string | null;
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
  { issuer, privateKey, audience, subject = OPERATOR, now }: Signer,
): Promise<SentRequest> {
  const baseUrl = new URL('/', request.url).href;
  const serviceAuth = await createServiceAuth({
    issuer,
    signingKey: { privateKey },
    targets: [{ baseUrl, audience }],
    now,
  });
  const body = Buffer.from(request.body);
  const token = await serviceAuth.sign({ ...request, body, subject: subject ?? undefined });
  serviceAuth.close();
  return { ...request, headers: { ...request.headers, JWT: token ?? '' } };
}
