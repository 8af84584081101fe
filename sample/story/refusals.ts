import { generateKeyPairSync } from 'node:crypto';
import { readPrivateKey } from '../setup/key-files.js';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import { describe, orNoAnswer, send, type SentRequest } from './http-client.js';
import type { Narrator } from './narrator.js';
import { get, grantFor, post, sign, type Signer } from './signed-request.js';
import { NEWCOMER, OPERATOR, type Stage } from './story.js';

const UUID = /[0-9a-f-]{36}/;

/**
 * Four requests to Herald that are each wrong in one thing, after one that is right. Then one to Census, by somebody who
 * has Herald's private key.
 *
 * @returns when the services have reported the requests, and with them what they logged
 */
export async function playRefusals(
  { environment, services }: Pick<Stage, 'environment' | 'services'>,
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
  let receiver: ServiceName = 'herald';
  const show = async (label: string, request: SentRequest, expected: string): Promise<void> => {
    const line = `${request.method} ${new URL(request.url).pathname}`.replace(UUID, '...');
    const reported = services.nextHop(receiver);
    const answer = await orNoAnswer(send(request));
    narrator.exchange(label, line, describe(answer), expected);
    if (answer.status !== 0) await reported;
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
  receiver = 'census';
  const address = get(new URL('user/42/', environment.baseUrls.census).href);
  await show('stolen key', await sign(address, thief), '403 grant_missing');
}
