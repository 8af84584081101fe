import { Body, Controller, Get, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { HttpService } from '@nestjs/axios';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { call } from '../support/http.js';
import { strictToken } from '../support/forge.js';
import { createKey } from '../support/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const heraldKey = createKey();

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get(':id')
  find(
    @Param('id') id: string,
    @ServiceSubject() subject: string,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return { id, subject, issuer: caller.issuer };
  }
  @Post()
  @HttpCode(201)
  create(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { body, subject };
  }
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  let census: TestService;
  beforeAll(async () => {
    census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
        }),
      ],
      controllers: [UserController],
    });
  });
  afterAll(() => census.close());

  it('serves a signed request as its subject', async () => {
    const token = strictToken({
      key: heraldKey,
      issuer: HERALD,
      audience: CENSUS,
      subject: USER,
      target: '/user/42?x=1',
    });
    const answer = await call(census.port, { target: '/user/42?x=1', headers: { JWT: token } });
    expect(answer.json).toEqual({ id: '42', subject: USER, issuer: HERALD });
    expect(answer.headers).toMatchObject({ vary: 'JWT', 'cache-control': 'private' });
    const again = await call(census.port, { target: '/user/42?x=1', headers: { JWT: token } });
    expect(again).toMatchObject({ status: 401, code: 'token_replayed' });
  });

  it('signs what axios sends', async () => {
    const herald = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          targets: [{ baseUrl: census.url, audience: CENSUS }],
        }),
        ServiceHttpModule.register({ baseURL: census.url }),
      ],
    });
    const http = herald.app.get(HttpService, { strict: false });
    const { data } = await firstValueFrom(
      http.post<unknown>('/user', { name: 'x' }, onBehalfOf(USER)),
    );
    expect(data).toEqual({ body: { name: 'x' }, subject: USER });
    await herald.close();
  });

  it('refuses a changed body', async () => {
    const token = strictToken({
      key: heraldKey,
      issuer: HERALD,
      audience: CENSUS,
      subject: USER,
      method: 'POST',
      target: '/user',
      body: '{"a":1}',
      contentType: 'application/json',
    });
    const headers = { JWT: token, 'content-type': 'application/json' };
    expect(
      await call(census.port, { method: 'POST', target: '/user', headers, body: '{"a":2}' }),
    ).toMatchObject({
      status: 401,
      code: 'body_mismatch',
    });
    expect(
      await call(census.port, { method: 'POST', target: '/user', headers, body: '{"a":1}' }),
    ).toMatchObject({ status: 201 });
  });
});
