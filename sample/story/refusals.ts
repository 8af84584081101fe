import { generateKeyPairSync } from 'node:crypto';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import { describe, orNoAnswer, send, type SentRequest } from './http-client.js';
import type { Narrator } from './narrator.js';
import { get, grantFor, post, sign, type Signer } from './signed-request.js';
import { NEWCOMER, OPERATOR } from './story.js';

const UUID = /[0-9a-f-]{36}/;

/**
 * Four requests to Herald that are each wrong in one thing, after one that is right. Then one to Census, by somebody who
 * has Herald's private key.
 */
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
    grant: await grantFor(OPERATOR, environment.keys),
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
    const line = `${request.method} ${new URL(request.url).pathname}`.replace(UUID, '...');
    narrator.exchange(label, line, describe(await orNoAnswer(send(request))), expected);
  };

  narrator.heading('One good request to Herald, and four that Herald refuses');
  const signed = await sign(lookUp, another);
  await show('good', signed, '200');
  await show('replayed token', signed, '401 token_replayed');
  const changed = { ...(await sign(order, another)), body: order.body.replace('42', '43') };
  await show('changed body', changed, '401 body_mismatch');
  await show('unknown issuer', await sign(order, stranger), '401 issuer_unknown');
  const misdirected = await sign(order, { ...another, audience: SERVICE_URIS.census });
  await show('wrong audience', misdirected, '401 audience_mismatch');

  narrator.heading("A thief with Herald's private key asks Census for user 42, who is not here");
  const thief: Signer = {
    issuer: SERVICE_URIS.herald,
    privateKey: readPrivateKey(environment.keys, 'herald'),
    audience: SERVICE_URIS.census,
    subject: NEWCOMER,
  };
  const address = get(new URL('user/42/', environment.baseUrls.census).href);
  await show('stolen key', await sign(address, thief), '403 grant_missing');
}
