import { generateKeyPairSync } from 'node:crypto';
import type { INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  ServiceAuth,
  ServiceAuthConfigError,
  ServiceSigningError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth';
import * as core from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { CensusModule } from './census.module.js';
import { CensusClient, HeraldModule } from './herald.module.js';
import { ADA, ANOTHER, HERALD, USER } from './services.js';

async function start(module: Type): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  const app = testing.createNestApplication();
  await app.listen(0, '127.0.0.1');
  return app;
}

describe('two services', () => {
  let census: INestApplication;
  let herald: INestApplication;

  beforeAll(async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    process.env['HERALD_PRIVATE_KEY'] = privateKey;
    process.env['HERALD_PUBLIC_KEY'] = publicKey;
    process.env['ANOTHER_PUBLIC_KEY'] = publicKey;
    census = await start(CensusModule);
    process.env['CENSUS_URL'] = await census.getUrl();
    herald = await start(HeraldModule);
  });

  afterAll(async () => {
    await herald.close();
    await census.close();
  });

  it('sign, verify and serve a call', async () => {
    const answer = await herald.get(CensusClient).create('Ada');
    expect(answer).toEqual({ status: 201, data: { body: { name: 'Ada' }, subject: USER } });
  });

  it('sign a call for the user of the request being served', async () => {
    const url = await herald.getUrl();
    const another = await core.createServiceAuth({
      issuer: ANOTHER,
      signingKey: { privateKey: process.env['HERALD_PRIVATE_KEY'] ?? '' },
      targets: [{ baseUrl: url, audience: HERALD }],
    });
    const call = core.onBehalfOf(ADA, { method: 'POST' });
    const answer = await core.createSignedFetch(another)(`${url}/greeting/for-caller`, call);
    another.close();
    const data = { body: { name: 'Ada' }, subject: ADA };
    expect(await answer.json()).toEqual({ status: 201, data });
  });

  it.each([
    ['serve', '{"name":"Ada"}', 201, undefined],
    ['refuse', '{"name":"Eve"}', 401, 'body_mismatch'],
  ])('%s a call signed for Ada with the body %s', async (_verb, sent, status, code) => {
    const url = `${await census.getUrl()}/user`;
    const headers = { 'content-type': 'application/json' };
    const body = Buffer.from('{"name":"Ada"}');
    const auth = herald.get(ServiceAuth, { strict: false });
    const token = await auth.sign({ method: 'POST', url, headers, body, subject: USER });
    const answer = await fetch(url, {
      method: 'POST',
      headers: { ...headers, JWT: token ?? '' },
      body: sent,
    });
    expect(answer.status).toBe(status);
    expect(((await answer.json()) as { code?: string }).code).toBe(code);
  });
});

describe('the entry points of the package', () => {
  it('have one copy of each class', () => {
    expect(core.ServiceTokenRefusedError).toBe(ServiceTokenRefusedError);
    expect(() => new RedisReplayStore({} as never)).toThrow(ServiceAuthConfigError);
  });

  it('throw the errors of one another', async () => {
    process.env['CENSUS_URL'] ??= 'http://127.0.0.1:9';
    const herald = await start(HeraldModule);
    const call = herald.get(CensusClient).createForNobody('Ada');
    await expect(call).rejects.toBeInstanceOf(ServiceSigningError);
    await herald.close();
  });
});
