import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey, readPublicKey } from '../setup/key-files.js';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';
import { CensusClient } from './census.client.js';
import { Mailer, SMTP_URL } from './mailer.js';
import { NotificationController } from './notification.controller.js';
import { NotificationService } from './notification.service.js';

const CENSUS_TIMEOUT_MILLISECONDS = 5000;

/** Herald notifies users by e-mail. It is called by others, and calls Census on behalf of the same user. */
@Module({})
export class AppModule {
  static register({ baseUrls, keys, smtpUrl }: Environment): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.herald,
          signingKey: { privateKey: readPrivateKey(keys, 'herald') },
          targets: [{ baseUrl: baseUrls.census, audience: SERVICE_URIS.census }],
          trustedIssuers: [
            {
              issuer: SERVICE_URIS.another,
              publicKey: readPublicKey(keys, 'another'),
              subjects: [CENSUS_USERS],
            },
            {
              issuer: SERVICE_URIS.legacy,
              publicKey: readPublicKey(keys, 'legacy'),
              profile: 'original',
              subjects: [CENSUS_USERS],
            },
          ],
        }),
        ServiceHttpModule.register({
          baseURL: baseUrls.census,
          timeout: CENSUS_TIMEOUT_MILLISECONDS,
        }),
      ],
      controllers: [NotificationController],
      providers: [
        NotificationService,
        CensusClient,
        Mailer,
        { provide: SMTP_URL, useValue: smtpUrl ?? null },
      ],
    };
  }
}
