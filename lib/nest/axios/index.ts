/** What a service that calls others imports: the subpath `nestjs-service-auth/axios`. */
export { actingAsItself, onBehalfOf } from './call-subject.config.js';
export { ServiceHttpModule } from './service-http.module.js';
export { ServiceSigningInterceptor } from './service-signing.interceptor.js';
