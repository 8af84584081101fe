import { type INestApplicationContext, Module } from '@nestjs/common';
import { ServiceAuthMiddleware, ServiceAuthModule, ServiceCallContext } from 'nestjs-service-auth';
import { createKey } from '../keys/keys.js';

const CONTEXT = 'CONTEXT_OF_SECOND';

/** A service beside the one that is called, in one application: what no request started, it does for itself. */
@Module({
  imports: [
    ServiceAuthModule.forRoot({
      isGlobal: false,
      issuer: 'https://second.service/',
      signingKey: { privateKey: createKey().privatePem },
      subjectOutsideRequest: 'act-as-itself',
    }),
  ],
  providers: [{ provide: CONTEXT, useExisting: ServiceCallContext }],
})
export class SecondServiceModule {}

/** The call context of the second service. */
export const contextOfSecond = (app: INestApplicationContext): ServiceCallContext =>
  app.get<ServiceCallContext>(CONTEXT, { strict: false });

const MIDDLEWARE = 'MIDDLEWARE_OF_FIRST';

/** For the root module: beside a second service, `app.get(ServiceAuthMiddleware)` may be that of either. */
export const FIRST_MIDDLEWARE = { provide: MIDDLEWARE, useExisting: ServiceAuthMiddleware };

/** The middleware of the global service. */
export const middlewareOfFirst = (app: INestApplicationContext): ServiceAuthMiddleware =>
  app.get<ServiceAuthMiddleware>(MIDDLEWARE);
