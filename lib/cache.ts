/** What a service imports that caches its answers with @nestjs/cache-manager: the subpath `nestjs-service-auth/cache`. */
export { callerCacheKey } from './nest/cache/caller-cache-key.js';
export { ServiceCacheInterceptor } from './nest/cache/service-cache.interceptor.js';
