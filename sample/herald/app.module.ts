import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ServiceAuthModule, ServiceCallExceptionFilter } from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { type Environment, jwksUriAt } from '../setup/environment.js';
import { privateKeyFile, readPublicKey } from '../setup/key-files.js';
import { CENSUS_USERS, LEGACY_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { CensusClient } from './census.client.js';
import { mailQueueModule } from './mail-queue.js';
import { NotificationController } from './notification.controller.js';
import { NotificationService } from './notification.service.js';

const CENSUS_TIMEOUT_MILLISECONDS = 5000;

/**
 * Herald notifies users by e-mail. It is called by others, and calls Census on behalf of the same user. It asks for the
 * grant that Edge made for that user, and sends it on. Mails go into a queue, from which the courier takes them.
 */
@Module({})
export class AppModule {
  static register({
    baseUrls,
    keys,
    heraldKeyFile,
    mailQueue,
  }: Pick<Environment, 'baseUrls' | 'keys' | 'heraldKeyFile' | 'mailQueue'>): DynamicModule {
    const keyFile = heraldKeyFile ?? privateKeyFile(keys, 'herald');
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.herald,
          // Read again every second, and kept by receivers for a minute, so that a rotation is worth watching.
          signingKey: { keyFile, checkSeconds: 1 },
          publishedKeys: { maxAgeSeconds: 60 },
          targets: [{ baseUrl: baseUrls.census, audience: SERVICE_URIS.census }],
          trustDomain: TRUST_DOMAIN,
          originators: [
            {
              issuer: SERVICE_URIS.edge,
              jwksUri: jwksUriAt(baseUrls.edge),
              subjects: [CENSUS_USERS],
            },
          ],
          trustedIssuers: [
            {
              issuer: SERVICE_URIS.another,
              jwksUri: jwksUriAt(baseUrls.another),
              subjects: [CENSUS_USERS],
              subjectProof: { mode: 'required', withoutSubject: 'refused' },
            },
            {
              // Publishes nothing, so its key comes from a file.
              issuer: SERVICE_URIS.legacy,
              publicKey: readPublicKey(keys, 'legacy'),
              profile: 'original',
              // It proves nothing here, and Census asks: what it wants of Census needs a grant all the same.
              subjects: LEGACY_USERS,
              subjectProof: { mode: 'off' },
            },
          ],
        }),
        ServiceHttpModule.register({
          baseURL: baseUrls.census,
          timeout: CENSUS_TIMEOUT_MILLISECONDS,
        }),
        mailQueueModule({ keys, mailQueue }),
      ],
      controllers: [NotificationController],
      providers: [
        NotificationService,
        CensusClient,
        // A call that failed: 403 and 404 are passed on, and everything else is 502.
        { provide: APP_FILTER, useClass: ServiceCallExceptionFilter },
      ],
    };
  }
}
