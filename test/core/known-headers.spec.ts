import type { IncomingRequest, ServiceAuth } from 'nestjs-service-auth/core';
import { KnownHeaders } from '../../lib/core/known-headers.js';
import { Receiver } from '../../lib/core/receiver.js';
import { encode, forge, type Json, strictParts } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  HERALD,
  NOW_SECONDS,
  USER,
} from '../support/services/peers.js';

const key = createKey();
const stranger = { ...createKey(), keyId: key.keyId };

describe('headers that are known', () => {
  let census: ServiceAuth;
  let receiver: Receiver;
  beforeAll(async () => {
    ({ census } = await createPeers(key));
    receiver = new Receiver(census.settings);
  });
  afterAll(() => census.close());

  function requestWith(header: Json, signer = key): { request: IncomingRequest; text: string } {
    const target = '/user/21/';
    const parts = strictParts({
      key: signer,
      issuer: HERALD,
      audience: CENSUS,
      subject: USER,
      now: NOW_SECONDS,
      method: 'GET',
      target,
      header,
    });
    const token = forge(parts.header, parts.claims, signer);
    const request = {
      method: 'GET',
      target,
      rawHeaders: ['JWT', token],
      body: new Uint8Array(),
    };
    return { request, text: encode(JSON.stringify(parts.header)) };
  }
  const verdict = async (request: IncomingRequest): Promise<string | undefined> =>
    await codeOf(async () => await receiver.begin({}).prove(request));
  const known = (text: string): unknown => receiver.knownHeaders.find(text);

  it('are those of a good signature, and no others', async () => {
    const bad = requestWith({ typ: 'SVC+JWT' }, stranger);
    expect(await verdict(bad.request)).toBe('signature_invalid');
    expect(known(bad.text)).toBeUndefined();
    const good = requestWith({ typ: 'SVC+JWT' });
    expect(await verdict(good.request)).toBe('accepted');
    expect(known(good.text)).toEqual({ alg: 'ES256', kid: key.keyId, typ: 'SVC+JWT' });
    expect(good.text).toBe(bad.text);
  });

  it('spare no check: a known header does not make a signature good', async () => {
    expect(await verdict(requestWith({}).request)).toBe('accepted');
    expect(await verdict(requestWith({}, stranger).request)).toBe('signature_invalid');
    expect(await verdict(requestWith({}).request)).toBe('accepted');
  });

  it('are at most 1,000, the oldest forgotten first', () => {
    const headers = new KnownHeaders();
    for (let at = 0; at < 1001; at++) headers.keep(`h${at}`, { alg: 'ES256', at });
    expect(headers.find('h0')).toBeUndefined();
    expect(headers.find('h1')).toEqual({ alg: 'ES256', at: 1 });
    expect(headers.find('h1000')).toEqual({ alg: 'ES256', at: 1000 });
  });

  it('are short, and stay as they are', () => {
    const headers = new KnownHeaders();
    const [short, long] = ['a'.repeat(512), 'a'.repeat(513)];
    headers.keep(short, { alg: 'ES256' });
    headers.keep(long, { alg: 'ES256' });
    expect(headers.find(long)).toBeUndefined();
    expect(headers.find(short)).toEqual({ alg: 'ES256' });
    expect(Object.isFrozen(headers.find(short))).toBe(true);
    headers.keep(short, { alg: 'EdDSA' });
    expect(headers.find(short)).toEqual({ alg: 'ES256' });
  });
});
