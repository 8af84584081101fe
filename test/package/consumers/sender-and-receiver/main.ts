// Two services: herald calls census with axios, on behalf of a user.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { HttpService } from '@nestjs/axios';
import { Body, Controller, Module, Post, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Post()
  create(
    @Body() body: unknown,
    @ServiceSubject() subject: string,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return { body, subject, issuer: caller.issuer };
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
})
class CensusModule {}

const census = await NestFactory.create(CensusModule, { logger: false });
await census.listen(0, '127.0.0.1');
const censusUrl = await census.getUrl();

@Module({
  imports: [
    ServiceAuthModule.forRootAsync({
      useFactory: () => ({
        issuer: HERALD,
        signingKey: { privateKey },
        targets: [{ baseUrl: censusUrl, audience: CENSUS }],
      }),
    }),
    ServiceHttpModule.register({ baseURL: censusUrl }),
  ],
})
class HeraldModule {}

const herald = await NestFactory.createApplicationContext(HeraldModule, { logger: false });
const http = herald.get(HttpService, { strict: false });
const { data } = await firstValueFrom(
  http.post<unknown>('/user', { name: 'Ada' }, onBehalfOf(USER)),
);
assert.deepEqual(data, { body: { name: 'Ada' }, subject: USER, issuer: HERALD });

const refused = await fetch(`${censusUrl}/user`, { method: 'POST' });
assert.equal(refused.status, 401);
assert.match(await refused.text(), /"code":"token_missing"/);

await Promise.all([herald.close(), census.close()]);
