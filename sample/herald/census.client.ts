import { HttpService } from '@nestjs/axios';
import { BadGatewayException, Inject, Injectable } from '@nestjs/common';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { SERVICE_URIS } from '../setup/services.js';
import { toHttpException } from '../setup/upstream-failure.js';

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
   * @throws HttpException 403 and 404 as Census says, 502 when it does not deliver
   */
  async findUser(uri: string, caller: ServiceIdentity): Promise<CensusUser> {
    // The URI says whose user it is; where Census listens is configuration.
    const path = uri.slice(SERVICE_URIS.census.length);
    try {
      const { data } = await firstValueFrom(this.http.get<unknown>(path, onBehalfOf(caller)));
      return readUser(data);
    } catch (error) {
      if (error instanceof BadGatewayException) throw error;
      throw toHttpException(error, 'census.service');
    }
  }
}

function readUser(data: unknown): CensusUser {
  const { uri, name, email } = Object(data) as Record<string, unknown>;
  if (typeof uri === 'string' && typeof name === 'string' && typeof email === 'string') {
    return { uri, name, email };
  }
  throw new BadGatewayException('census.service answered with something that is no user.');
}
