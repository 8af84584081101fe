import { type DynamicModule, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { type Environment, jwksUriAt } from '../setup/environment.js';
import { readPublicKey } from '../setup/key-files.js';
import { CENSUS_USERS, SERVICE_URIS } from '../setup/services.js';
import { CensusUserResolver } from './census-user.resolver.js';
import { RolesGuard } from './roles.guard.js';
import { UserController } from './user.controller.js';
import { UserDirectory } from './user.directory.js';

/** Census knows the users. It calls nobody, so it needs no key of its own. */
@Module({})
export class AppModule {
  static register({ baseUrls, keys }: Pick<Environment, 'baseUrls' | 'keys'>): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: SERVICE_URIS.census,
          trustedIssuers: [
            {
              issuer: SERVICE_URIS.herald,
              jwksUri: jwksUriAt(baseUrls.herald),
              subjects: [CENSUS_USERS],
            },
            {
              // Publishes nothing, so its key comes from a file.
              issuer: SERVICE_URIS.legacy,
              publicKey: readPublicKey(keys, 'legacy'),
              profile: 'original',
              subjects: [CENSUS_USERS],
            },
          ],
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
