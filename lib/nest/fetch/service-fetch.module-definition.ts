import { ConfigurableModuleBuilder, type ModuleMetadata } from '@nestjs/common';
import type { AnyFetch, SignedFetchOptions } from '../../clients/fetch-options.js';
import { markSigningClient } from '../signing-client.js';

/** How the `ServiceFetch` of a module sends. */
export type ServiceFetchModuleOptions = Pick<SignedFetchOptions<AnyFetch>, 'fetch'>;

/** What a registration takes besides: its visibility, and with which `ServiceAuthModule` it signs. */
interface Extras extends Pick<ModuleMetadata, 'imports'> {
  isGlobal: boolean;
}

const EXTRAS: Extras = { isGlobal: false, imports: undefined };

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  // Transient: Nest, told to compare modules by content, must not take two registrations for one.
  new ConfigurableModuleBuilder<ServiceFetchModuleOptions>({
    moduleName: 'ServiceFetch',
    alwaysTransient: true,
  })
    .setFactoryMethodName('createServiceFetchOptions')
    .setExtras(EXTRAS, (definition, { isGlobal, imports = definition.imports }) => ({
      ...definition,
      global: isGlobal,
      imports,
      providers: [...(definition.providers ?? []), markSigningClient(imports)],
    }))
    .build();
