/** What a service imports that describes itself with @nestjs/swagger: the subpath `nestjs-service-auth/openapi`. */
export { ApiServiceAuth } from './api-service-auth.decorator.js';
export { createServiceAuthDocument } from './create-service-auth-document.js';
export { addServiceAuth, SERVICE_AUTH_SCHEME } from './service-auth.scheme.js';
