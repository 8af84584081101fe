// Signing and verifying without a framework.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import {
  actingAsItself,
  createServiceAuth,
  createSignedFetch,
  ServiceAuthConfigError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const herald = await createServiceAuth({
  issuer: HERALD,
  signingKey: { privateKey },
  targets: [{ baseUrl: CENSUS }],
});
const census = await createServiceAuth({
  issuer: CENSUS,
  trustedIssuers: [{ issuer: HERALD, publicKey }],
});

const body = Buffer.from('{"name":"Ada"}');
const headers = { 'content-type': 'application/json' };
const sign = async () =>
  await herald.sign({ method: 'POST', url: `${CENSUS}user`, headers, body, subject: undefined });
const verify = async (token: string | undefined, received: Uint8Array) =>
  await census.verify({
    method: 'POST',
    target: '/user',
    rawHeaders: ['JWT', token ?? '', 'Content-Type', 'application/json'],
    body: received,
  });

const identity = await verify(await sign(), body);
assert.equal(identity.issuer, HERALD);
await assert.rejects(verify(await sign(), Buffer.from('{"name":"Eve"}')), (error) => {
  return error instanceof ServiceTokenRefusedError && error.code === 'body_mismatch';
});

// Needs no client to be loaded, and one to be made; the errors are those of the other entry point.
assert.throws(() => new RedisReplayStore({} as never), ServiceAuthConfigError);

// The signed fetch needs no framework either.
const sent: string[] = [];
const signedFetch = createSignedFetch(herald, {
  fetch: async (_url: string, init: RequestInit) => {
    sent.push(new Headers(init.headers).get('jwt') ?? '');
    return await Promise.resolve(new Response('welcome'));
  },
});
const init = actingAsItself({ method: 'POST', headers, body });
const response = await signedFetch(`${CENSUS}user`, init);
assert.equal(await response.text(), 'welcome');
assert.equal((await verify(sent[0], body)).subject, undefined);
