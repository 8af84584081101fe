import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ServiceAuthModule, ServiceCallExceptionFilter } from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import type { Environment } from '../setup/environment.js';
import { privateKeyFile } from '../setup/key-files.js';
import { MAIL_LIFETIME_SECONDS } from '../setup/mail-order.js';
import { CENSUS_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { SessionController } from './session.controller.js';
import { Sessions } from './sessions.js';
import { WelcomeController } from './welcome.controller.js';

const ANOTHER_TIMEOUT_MILLISECONDS = 15_000;

/** Edge is where users log in. It vouches for those who have: `originate` makes it the originator of their grants. */
@Module({})
export class AppModule {
  static register({ baseUrls, keys }: Pick<Environment, 'baseUrls' | 'keys'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.edge,
          signingKey: { keyFile: privateKeyFile(keys, 'edge') },
          targets: [{ baseUrl: baseUrls.another, audience: SERVICE_URIS.another }],
          trustDomain: TRUST_DOMAIN,
          originate: { subjects: [CENSUS_USERS], maxLifetimeSeconds: MAIL_LIFETIME_SECONDS },
        }),
        ServiceHttpModule.register({
          baseURL: baseUrls.another,
          timeout: ANOTHER_TIMEOUT_MILLISECONDS,
        }),
      ],
      controllers: [SessionController, WelcomeController],
      // A call that failed: 403 and 404 are passed on, and everything else is 502.
      providers: [Sessions, { provide: APP_FILTER, useClass: ServiceCallExceptionFilter }],
    };
  }
}
