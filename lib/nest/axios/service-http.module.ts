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

/** What `register` takes: the options of axios, and what the module imports. */
export interface ServiceHttpModuleOptions
  extends HttpModuleOptions, Pick<ModuleMetadata, 'imports'> {}

/**
 * Stands in for `HttpModule` of @nestjs/axios: the `HttpService` it exports signs every request to a
 * configured target. Needs a `ServiceAuthModule` with `signingKey` and `targets`: the global one, or one with
 * `isGlobal: false` among its `imports`, whose service signs then.
 */
@Module({})
export class ServiceHttpModule {
  /**
   * Makes the `HttpService` with these options of axios.
   *
   * @param given options of axios; `imports` holds the `ServiceAuthModule` that signs, where that is not the global one
   *
   * @example
   * `ServiceHttpModule.register({ imports: [censusAuth], timeout: 5000 })`
   */
  static register({ imports, ...options }: ServiceHttpModuleOptions = {}): DynamicModule {
    return define({ global: options.global, imports }, [
      { provide: SERVICE_HTTP_OPTIONS, useValue: options },
    ]);
  }

  /** The same, with options that a factory, a class or a provider gives. @throws TypeError for none of them */
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
      // Nest, told to compare modules by content, must not take two registrations for one.
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
