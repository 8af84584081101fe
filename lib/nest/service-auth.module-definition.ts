import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<ServiceAuthModuleOptions>({ moduleName: 'ServiceAuth' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createServiceAuthOptions')
    .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({
      ...definition,
      global: isGlobal,
    }))
    .build();
