import { All, Controller, HttpCode, type LoggerService, Req, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { call } from '../http/http.js';
import { type Recorded, valuesOf } from '../http/recording-server.js';
import { CENSUS, HERALD, heraldKey } from './sending-service.js';
import { type Adapter, startService, type TestService } from './service.js';

@Controller()
@UseGuards(ServiceJwtGuard)
class EverythingController {
  @All('*')
  @HttpCode(200)
  answer(@ServiceCaller() caller: ServiceIdentity, @Req() request: { method: string }) {
    return { accepted: request.method, subject: caller.subject, tokenId: caller.tokenId };
  }
}

/** A guarded application that answers 200 under every path to what herald has signed. */
export async function startCensus(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions> = {},
  logger?: LoggerService,
): Promise<TestService> {
  return await startService({
    adapter,
    logger,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
        ...options,
      }),
    ],
    controllers: [EverythingController],
    // JSON texts that are no objects are JSON too; Fastify takes them anyway.
    configure: (app) =>
      adapter === 'express' ? app.useBodyParser('json', { strict: false }) : undefined,
  });
}

/** Set by Node for the new connection. */
const NOT_REPLAYED = ['connection', 'content-length', 'host', 'transfer-encoding'];

/** What a guarded application says to this very request: `accepted`, a code, or another status. */
export async function replay(service: TestService, recorded: Recorded): Promise<unknown> {
  const names = recorded.rawHeaders
    .filter((_name, at) => at % 2 === 0)
    .map((name) => name.toLowerCase())
    .filter((name) => !NOT_REPLAYED.includes(name));
  const { status, code } = await call(service.port, {
    method: recorded.method,
    target: recorded.target,
    headers: Object.fromEntries(names.map((name) => [name, valuesOf(recorded, name)])),
    body: recorded.body,
  });
  return status === 200 ? 'accepted' : (code ?? status);
}
