import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ServiceAuthModule, ServiceCallExceptionFilter } from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { type Environment, jwksUriAt } from '../setup/environment.js';
import { privateKeyFile } from '../setup/key-files.js';
import { CENSUS_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { WelcomeController } from './welcome.controller.js';

const HERALD_TIMEOUT_MILLISECONDS = 10_000;

/**
 * Another service takes orders from Edge and calls Herald for the same user. It believes no grant and refuses none, so it
 * needs no key of an originator: `trustDomain` is all it takes to send on the one that came.
 */
@Module({})
export class AppModule {
  static register({ baseUrls, keys }: Pick<Environment, 'baseUrls' | 'keys'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.another,
          signingKey: { keyFile: privateKeyFile(keys, 'another') },
          targets: [{ baseUrl: baseUrls.herald, audience: SERVICE_URIS.herald }],
          trustDomain: TRUST_DOMAIN,
          trustedIssuers: [
            {
              issuer: SERVICE_URIS.edge,
              jwksUri: jwksUriAt(baseUrls.edge),
              subjects: [CENSUS_USERS],
            },
          ],
        }),
        ServiceHttpModule.register({
          baseURL: baseUrls.herald,
          timeout: HERALD_TIMEOUT_MILLISECONDS,
        }),
      ],
      controllers: [WelcomeController],
      // A call that failed: 403 and 404 are passed on, and everything else is 502.
      providers: [{ provide: APP_FILTER, useClass: ServiceCallExceptionFilter }],
    };
  }
}
