import { ConfigurableModuleBuilder, type ModuleMetadata } from '@nestjs/common';
import type { AnyFetch, SignedFetchOptions } from '../../clients/fetch-options.js';
import { markSigningClient } from '../signing-client.js';

/** The options of `ServiceFetch`. */
export type ServiceFetchModuleOptions = Pick<SignedFetchOptions<AnyFetch>, 'fetch'>;

/** Further options of a registration: its visibility, and the `ServiceAuthModule` that signs. */
interface Extras extends Pick<ModuleMetadata, 'imports'> {
  isGlobal: boolean;
}

const EXTRAS: Extras = { isGlobal: false, imports: undefined };

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  // Transient: if Nest compares modules by content, it must still keep two registrations apart.
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
