import { HttpService } from '@nestjs/axios';
import { BadGatewayException, Inject, Injectable, Logger } from '@nestjs/common';
import { isAxiosError } from 'axios';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { SERVICE_URIS } from '../setup/services.js';

export interface Recipient {
  readonly uri: string;
  readonly name: string;
  readonly email: string;
}

/** Asks Census for addresses, for the user who has the mail sent: in another process than the one that had the request. */
@Injectable()
export class RecipientClient {
  private readonly logger = new Logger(RecipientClient.name);

  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  /**
   * @param caller whose user asks: the verified identity of the job or the message
   * @returns undefined where this user may not have the address, or there is no such user
   * @throws BadGatewayException where Census cannot answer now
   */
  async find(uri: string, caller: ServiceIdentity): Promise<Recipient | undefined> {
    const path = `${uri.slice(SERVICE_URIS.census.length)}address/`;
    try {
      const { data } = await firstValueFrom(this.http.get<unknown>(path, onBehalfOf(caller)));
      return readRecipient(data);
    } catch (error) {
      if (!isAxiosError(error)) throw error;
      const { response, code } = error;
      if (response?.status === 403 || response?.status === 404) return undefined;
      const reason = response?.status ?? code;
      this.logger.warn(`Census gives no address now: ${reason}. The mail stays in the queue.`);
      // Nest would log the error of axios with its request and its sockets.
      throw new BadGatewayException('census.service did not answer as it should.');
    }
  }
}

function readRecipient(data: unknown): Recipient {
  const { uri, name, email } = Object(data) as Record<string, unknown>;
  if (typeof uri === 'string' && typeof name === 'string' && typeof email === 'string') {
    return { uri, name, email };
  }
  throw new BadGatewayException('census.service answered with something that is no user.');
}
