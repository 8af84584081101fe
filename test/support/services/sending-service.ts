import { HttpService } from '@nestjs/axios';
import { type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AxiosRequestConfig, AxiosResponse, AxiosStatic } from 'axios';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { createKey } from '../keys/keys.js';
import type { Expected } from '../tokens/wire-check.js';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';
export const heraldKey = createKey();

/** What a receiver expects of herald's tokens. */
export const FROM_HERALD: Expected = {
  key: heraldKey,
  issuer: HERALD,
  audience: CENSUS,
  subject: USER,
};

/**
 * The very axios that @nestjs/axios runs on: under Nest 11 that is another copy than the one
 * `import axios from 'axios'` gives.
 */
export const axiosOfNest = new HttpService().axiosRef as AxiosStatic;

@Module({})
class SendingModule {}

/** A service that only sends. */
export class SendingService {
  private constructor(readonly context: INestApplicationContext) {}

  /** `targets` are base URLs of the census service, unless `options` say otherwise. */
  static async start(
    targets: readonly string[],
    options: Partial<ServiceAuthModuleOptions> = {},
    imports: ModuleMetadata['imports'] = [ServiceHttpModule.register()],
  ): Promise<SendingService> {
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      targets: targets.map((baseUrl) => ({ baseUrl, audience: CENSUS })),
      ...options,
    });
    const module = { module: SendingModule, imports: [auth, ...imports] };
    const logger = process.env['TEST_LOGS'] ? undefined : (false as const);
    return new SendingService(
      await NestFactory.createApplicationContext(module as never, { logger, abortOnError: false }),
    );
  }

  get http(): HttpService {
    return this.context.get(HttpService, { strict: false });
  }

  /** Sends on behalf of {@link USER}. */
  async send(config: AxiosRequestConfig): Promise<AxiosResponse<unknown>> {
    return await firstValueFrom(this.http.request<unknown>(onBehalfOf(USER, config)));
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}

/** The code with which signing refuses; anything else that happens is thrown. */
export async function refusalOf(sending: Promise<unknown>): Promise<string> {
  try {
    await sending;
  } catch (error) {
    if (error instanceof ServiceSigningError) return error.code;
    throw error;
  }
  throw new Error('The request was sent.');
}
