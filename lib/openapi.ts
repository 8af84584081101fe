/** What a service imports that describes itself with @nestjs/swagger: the subpath `nestjs-service-auth/openapi`. */
export { ApiServiceAuth } from './nest/openapi/api-service-auth.decorator.js';
export { createServiceAuthDocument } from './nest/openapi/create-service-auth-document.js';
export { addServiceAuth, SERVICE_AUTH_SCHEME } from './nest/openapi/service-auth.scheme.js';
