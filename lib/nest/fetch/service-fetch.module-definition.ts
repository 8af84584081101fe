import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { AnyFetch, SignedFetchOptions } from '../../clients/fetch-options.js';

/** How the `ServiceFetch` of a module sends. */
export type ServiceFetchModuleOptions = Pick<SignedFetchOptions<AnyFetch>, 'fetch'>;

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  // Transient: Nest, told to compare modules by content, must not take two registrations for one.
  new ConfigurableModuleBuilder<ServiceFetchModuleOptions>({
    moduleName: 'ServiceFetch',
    alwaysTransient: true,
  })
    .setFactoryMethodName('createServiceFetchOptions')
    .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
