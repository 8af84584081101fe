import { HttpService } from '@nestjs/axios';
import { BadGatewayException, Inject, Injectable } from '@nestjs/common';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { SERVICE_URIS } from '../setup/services.js';

export interface CensusUser {
  readonly uri: string;
  readonly name: string;
  readonly email: string;
}

/** Asks Census, for the user of our caller. Nothing here speaks of tokens: `HttpService` signs. */
@Injectable()
export class CensusClient {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  /**
   * @param caller whose user asks: the verified identity that `@ServiceCaller()` gives
   * @throws AxiosError which `ServiceCallExceptionFilter` answers: 403 and 404 as Census says, otherwise 502
   */
  async findUser(uri: string, caller: ServiceIdentity): Promise<CensusUser> {
    // The URI says whose user it is; where Census listens is configuration.
    const path = uri.slice(SERVICE_URIS.census.length);
    const { data } = await firstValueFrom(this.http.get<unknown>(path, onBehalfOf(caller)));
    return readUser(data);
  }
}

function readUser(data: unknown): CensusUser {
  const { uri, name, email } = Object(data) as Record<string, unknown>;
  if (typeof uri === 'string' && typeof name === 'string' && typeof email === 'string') {
    return { uri, name, email };
  }
  throw new BadGatewayException('census.service answered with something that is no user.');
}
