import { randomUUID } from 'node:crypto';
import {
  HttpService,
  type HttpModuleAsyncOptions,
  type HttpModuleOptions,
  type HttpModuleOptionsFactory,
} from '@nestjs/axios';
import {
  type DynamicModule,
  type FactoryProvider,
  Module,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import { markSigningClient } from '../signing-client.js';
import { axiosOfNest, ServiceSigningInterceptor } from './service-signing.interceptor.js';
import { TwoHttpServicesWarning } from './two-http-services.warning.js';

const SERVICE_HTTP_OPTIONS = Symbol('SERVICE_HTTP_OPTIONS');
const SERVICE_HTTP_ID = Symbol('SERVICE_HTTP_ID');

const httpService: FactoryProvider<HttpService> = {
  provide: HttpService,
  useFactory: (options: HttpModuleOptions, signing: ServiceSigningInterceptor) =>
    signing.attach(new HttpService(axiosOfNest().create(options))),
  inject: [SERVICE_HTTP_OPTIONS, ServiceSigningInterceptor],
};

/** The options of `register`: those of axios, and the imports of the module. */
export interface ServiceHttpModuleOptions
  extends HttpModuleOptions, Pick<ModuleMetadata, 'imports'> {}

/**
 * Replaces `HttpModule` of @nestjs/axios: the `HttpService` that it exports signs every request to a configured
 * target. It needs a `ServiceAuthModule` with `signingKey` and `targets`. Either that module is global, or it has
 * `isGlobal: false` and is in `imports`.
 */
@Module({})
export class ServiceHttpModule {
  /**
   * Creates the `HttpService` with these options of axios.
   *
   * @param given options of axios; `imports` has the `ServiceAuthModule` that signs, unless that is the global one
   *
   * @example
   * `ServiceHttpModule.register({ imports: [censusAuth], timeout: 5000 })`
   */
  static register({ imports, ...options }: ServiceHttpModuleOptions = {}): DynamicModule {
    return define({ global: options.global, imports }, [
      { provide: SERVICE_HTTP_OPTIONS, useValue: options },
    ]);
  }

  /** The same, with options from a factory, a class or a provider. @throws TypeError without one of them */
  static registerAsync(options: HttpModuleAsyncOptions): DynamicModule {
    return define({ global: options.global, imports: options.imports }, [
      ...asyncProviders(options),
      ...(options.extraProviders ?? []),
    ]);
  }
}

function define(
  module: Pick<DynamicModule, 'global' | 'imports'>,
  providers: Provider[],
): DynamicModule {
  return {
    ...module,
    module: ServiceHttpModule,
    providers: [
      // If Nest compares modules by content, it must still keep two registrations apart.
      { provide: SERVICE_HTTP_ID, useValue: randomUUID() },
      markSigningClient(module.imports),
      ...providers,
      ServiceSigningInterceptor,
      httpService,
      TwoHttpServicesWarning,
    ],
    exports: [HttpService, ServiceSigningInterceptor],
  };
}

function asyncProviders(options: HttpModuleAsyncOptions): Provider[] {
  if (options.useFactory) {
    const { useFactory, inject = [] } = options;
    return [{ provide: SERVICE_HTTP_OPTIONS, useFactory, inject }];
  }
  const factory = options.useExisting ?? options.useClass;
  if (!factory) throw new TypeError('registerAsync needs useFactory, useClass or useExisting');
  return [...(options.useClass ? [options.useClass] : []), optionsFrom(factory)];
}

function optionsFrom(factory: Type<HttpModuleOptionsFactory>): FactoryProvider {
  return {
    provide: SERVICE_HTTP_OPTIONS,
    useFactory: async (options: HttpModuleOptionsFactory) => await options.createHttpOptions(),
    inject: [factory],
  };
}
