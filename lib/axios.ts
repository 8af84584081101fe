/** What a service that calls others imports: the subpath `nestjs-service-auth/axios`. */
export { actingAsItself, onBehalfOf } from './for-whom/call-options.js';
export type { CallUser } from './for-whom/named-subject.js';
export {
  ServiceHttpModule,
  type ServiceHttpModuleOptions,
} from './nest/axios/service-http.module.js';
export { ServiceSigningInterceptor } from './nest/axios/service-signing.interceptor.js';
export { userCacheKey } from './nest/axios/user-cache-key.js';
