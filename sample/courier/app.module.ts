import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { type Environment, jwksUriAt } from '../setup/environment.js';
import { privateKeyFile } from '../setup/key-files.js';
import { MAIL_LIFETIME_SECONDS } from '../setup/mail-order.js';
import { CENSUS_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { mailIntake } from './mail-intake.js';
import { MailService } from './mail.service.js';
import { Mailer, SMTP_URL } from './mailer.js';
import { RecipientClient } from './recipient.client.js';

const CENSUS_TIMEOUT_MILLISECONDS = 5000;

/**
 * The courier writes the mails that Herald has queued. Each comes with the grant of the user who had it sent, and the
 * courier asks Census for the address on behalf of that user.
 */
@Module({})
export class AppModule {
  static async register({
    baseUrls,
    keys,
    mailQueue,
    smtpUrl,
  }: Pick<Environment, 'baseUrls' | 'keys' | 'mailQueue' | 'smtpUrl'>): Promise<DynamicModule> {
    const { transport, replayStore, imports = [], ...intake } = await mailIntake(mailQueue);
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.courier,
          signingKey: { keyFile: privateKeyFile(keys, 'courier') },
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
              issuer: SERVICE_URIS.herald,
              jwksUri: jwksUriAt(baseUrls.herald),
              subjects: [CENSUS_USERS],
              transports: [transport],
              // A mail that has waited is as good as a new one, for as long as its grant lives.
              subjectProof: {
                mode: 'required',
                withoutSubject: 'refused',
                maxAgeSeconds: MAIL_LIFETIME_SECONDS,
              },
            },
          ],
          replayStore,
        }),
        ServiceHttpModule.register({
          baseURL: baseUrls.census,
          timeout: CENSUS_TIMEOUT_MILLISECONDS,
        }),
        ...imports,
      ],
      controllers: intake.controllers,
      providers: [
        MailService,
        RecipientClient,
        Mailer,
        { provide: SMTP_URL, useValue: smtpUrl ?? null },
        ...(intake.providers ?? []),
      ],
    };
  }
}
