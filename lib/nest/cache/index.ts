/** What a service imports that caches its answers with @nestjs/cache-manager: the subpath `nestjs-service-auth/cache`. */
export { callerCacheKey } from './caller-cache-key.js';
export { ServiceCacheInterceptor } from './service-cache.interceptor.js';
