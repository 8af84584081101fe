// A service that only receives, and a caller that has no framework.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { Controller, Get, Module } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ServiceAuthModule, ServiceJwtGuard, ServiceSubject } from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');

@Controller('user')
class UserController {
  @Get('me')
  me(@ServiceSubject() subject: string) {
    return { subject };
  }
}

@Module({
  imports: [
    ServiceAuthModule.forRoot({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey }],
    }),
  ],
  controllers: [UserController],
  providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
})
class CensusModule {}

const census = await NestFactory.create(CensusModule, { logger: false });
await census.listen(0, '127.0.0.1');
const url = `${await census.getUrl()}/user/me`;

const herald = await createServiceAuth({
  issuer: HERALD,
  signingKey: { privateKey },
  targets: [{ baseUrl: url, audience: CENSUS }],
});
const request = { method: 'GET', url, headers: {}, body: new Uint8Array(), subject: USER };
const token = await herald.sign(request);
assert.ok(token);

const served = await fetch(url, { headers: { JWT: token } });
assert.deepEqual(await served.json(), { subject: USER });
const replayed = await fetch(url, { headers: { JWT: token } });
assert.equal(replayed.status, 401);
assert.match(await replayed.text(), /"code":"token_replayed"/);

await census.close();
