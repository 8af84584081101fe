import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServiceAuth } from 'nestjs-service-auth/core';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import { describe, send, type SentRequest } from './http-client.js';
import type { Narrator } from './narrator.js';
import { NEWCOMER, OPERATOR } from './story.js';

interface Signer {
  readonly issuer: string;
  readonly privateKey: string | KeyObject;
  readonly audience: string;
}

/** Four requests to Herald that are each wrong in one thing, after one that is right. */
export async function playRefusals(
  environment: Environment,
  notificationUri: string,
  narrator: Narrator,
): Promise<void> {
  const base = environment.baseUrls.herald;
  const another: Signer = {
    issuer: SERVICE_URIS.another,
    privateKey: readPrivateKey(environment.keys, 'another'),
    audience: SERVICE_URIS.herald,
  };
  const stranger: Signer = {
    ...another,
    issuer: 'https://stranger.service/',
    privateKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  };
  const lookUp = get(new URL(notificationUri.slice(SERVICE_URIS.herald.length), base).href);
  const order = post(new URL('notification/', base).href, {
    user: NEWCOMER,
    type: 'welcome-message',
  });
  const show = async (label: string, request: SentRequest, expected: string): Promise<void> => {
    const line = `${request.method} ${new URL(request.url).pathname}`;
    narrator.exchange(label, line, describe(await send(request)), expected);
  };

  narrator.heading('One good request to Herald, and four that are refused');
  const signed = await sign(lookUp, another, base);
  await show('good', signed, '200');
  await show('replayed token', signed, '401 token_replayed');
  const changed = { ...(await sign(order, another, base)), body: order.body.replace('42', '43') };
  await show('changed body', changed, '401 body_mismatch');
  await show('unknown issuer', await sign(order, stranger, base), '401 issuer_unknown');
  const misdirected = await sign(order, { ...another, audience: SERVICE_URIS.census }, base);
  await show('wrong audience', misdirected, '401 audience_mismatch');
}

function get(url: string): SentRequest {
  return { method: 'GET', url, headers: {}, body: '' };
}

function post(url: string, content: unknown): SentRequest {
  const headers = { 'content-type': 'application/json' };
  return { method: 'POST', url, headers, body: JSON.stringify(content) };
}

/** Signs a request without Nest and without axios, as any program can. */
async function sign(request: SentRequest, signer: Signer, baseUrl: string): Promise<SentRequest> {
  const { issuer, privateKey, audience } = signer;
  const serviceAuth = await createServiceAuth({
    issuer,
    signingKey: { privateKey },
    targets: [{ baseUrl, audience }],
  });
  const body = Buffer.from(request.body);
  const token = await serviceAuth.sign({ ...request, body, subject: OPERATOR });
  return { ...request, headers: { ...request.headers, JWT: token ?? '' } };
}
