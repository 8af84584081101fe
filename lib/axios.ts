/** The subpath `nestjs-service-auth/axios`, for services that call others. */
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
export {
  ServiceHttpModule,
  type ServiceHttpModuleOptions,
} from './nest/axios/service-http.module.js';
export { ServiceSigningInterceptor } from './nest/axios/service-signing.interceptor.js';
export { userCacheKey } from './nest/axios/user-cache-key.js';
