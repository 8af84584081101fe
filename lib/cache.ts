/** The subpath `nestjs-service-auth/cache`, for services that cache their answers with @nestjs/cache-manager. */
export { callerCacheKey } from './nest/cache/caller-cache-key.js';
export { ServiceCacheInterceptor } from './nest/cache/service-cache.interceptor.js';
