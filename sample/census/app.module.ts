import { type DynamicModule, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { MemoryReplayStore, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { type Environment, jwksUriAt } from '../setup/environment.js';
import { readPublicKey } from '../setup/key-files.js';
import { MAIL_LIFETIME_SECONDS } from '../setup/mail-order.js';
import { CENSUS_USERS, LEGACY_USERS, SERVICE_URIS, TRUST_DOMAIN } from '../setup/services.js';
import { CensusUserResolver } from './census-user.resolver.js';
import { SharedReplayStore } from './shared-replay-store.js';
import { RolesGuard } from './roles.guard.js';
import { UserController } from './user.controller.js';
import { UserDirectory } from './user.directory.js';

/**
 * Census knows the users. It calls nobody, so it needs no key of its own. That Herald speaks for a user is not enough:
 * Edge must have said that the user asked.
 */
@Module({})
export class AppModule {
  static register({
    baseUrls,
    keys,
    replayMemoryUrl,
  }: Pick<Environment, 'baseUrls' | 'keys' | 'replayMemoryUrl'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.census,
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
              subjectProof: { mode: 'required', withoutSubject: 'refused' },
            },
            {
              issuer: SERVICE_URIS.courier,
              jwksUri: jwksUriAt(baseUrls.courier),
              subjects: [CENSUS_USERS],
              // A mail may wait, so it may come with an old grant: on the routes that take one.
              subjectProof: {
                mode: 'required',
                withoutSubject: 'refused',
                maxAgeSeconds: MAIL_LIFETIME_SECONDS,
              },
            },
            {
              // Publishes nothing, so its key comes from a file.
              issuer: SERVICE_URIS.legacy,
              publicKey: readPublicKey(keys, 'legacy'),
              profile: 'original',
              // It proves nothing, so it may speak for one user only.
              subjects: LEGACY_USERS,
              subjectProof: { mode: 'off' },
            },
          ],
          // Several processes of Census need one memory of used tokens. Alone, Census remembers by itself.
          replayStore: replayMemoryUrl
            ? new SharedReplayStore(replayMemoryUrl)
            : new MemoryReplayStore(),
          userResolver: CensusUserResolver,
        }),
      ],
      controllers: [UserController],
      providers: [
        UserDirectory,
        CensusUserResolver,
        RolesGuard,
        { provide: APP_GUARD, useExisting: ServiceJwtGuard },
      ],
    };
  }
}
