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
  type Provider,
  type Type,
} from '@nestjs/common';
import { axiosOfNest, ServiceSigningInterceptor } from './service-signing.interceptor.js';

const SERVICE_HTTP_OPTIONS = Symbol('SERVICE_HTTP_OPTIONS');
const SERVICE_HTTP_ID = Symbol('SERVICE_HTTP_ID');

const httpService: FactoryProvider<HttpService> = {
  provide: HttpService,
  useFactory: (options: HttpModuleOptions, signing: ServiceSigningInterceptor) =>
    signing.attach(new HttpService(axiosOfNest().create(options))),
  inject: [SERVICE_HTTP_OPTIONS, ServiceSigningInterceptor],
};

/**
 * Stands in for `HttpModule` of @nestjs/axios: the `HttpService` it exports signs every request to a
 * configured target. Needs a `ServiceAuthModule` with `signingKey` and `targets`.
 */
@Module({})
export class ServiceHttpModule {
  /** Makes the `HttpService` with these options of axios. */
  static register(options: HttpModuleOptions = {}): DynamicModule {
    return define({ global: options.global }, [
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
      ...providers,
      ServiceSigningInterceptor,
      httpService,
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
