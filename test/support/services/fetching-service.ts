import type { ModuleMetadata } from '@nestjs/common';
import { ServiceCallContext, type ServiceAuthModuleOptions } from 'nestjs-service-auth';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { fetch as fetchOfUndici } from 'undici';
import { SendingService, USER } from './sending-service.js';

type Import = NonNullable<ModuleMetadata['imports']>[number];

/** Everything that is sent goes out by both: `describe.each(FETCHES)('by $name', ({ module }) => ...)`. */
export const FETCHES: readonly { readonly name: string; readonly module: Import }[] = [
  { name: 'the fetch of Node', module: ServiceFetchModule },
  {
    name: 'the fetch of undici',
    module: ServiceFetchModule.register({ fetch: fetchOfUndici }),
  },
];

/** A service that only sends, with fetch. */
export class FetchingService {
  private constructor(private readonly service: SendingService) {}

  static async start(
    targets: readonly string[],
    options: Partial<ServiceAuthModuleOptions> = {},
    module: Import = ServiceFetchModule,
  ): Promise<FetchingService> {
    return new FetchingService(await SendingService.start(targets, options, [module]));
  }

  get fetch(): ServiceFetch {
    return this.service.context.get(ServiceFetch, { strict: false });
  }

  get callContext(): ServiceCallContext {
    return this.service.context.get(ServiceCallContext, { strict: false });
  }

  /** Sends on behalf of {@link USER}, and takes the whole answer in, so that its socket is free again. */
  async send(input: string | URL | Request, init?: RequestInit): Promise<Answered> {
    const response = await this.fetch(input, onBehalfOf(USER, init));
    const text = await response.text();
    return { response, status: response.status, text };
  }

  async close(): Promise<void> {
    await this.service.close();
  }
}

export interface Answered {
  readonly response: Response;
  readonly status: number;
  readonly text: string;
}
