/** The subpath `nestjs-service-auth/openapi`, for services described with @nestjs/swagger. */
export { ApiServiceAuth } from './nest/openapi/api-service-auth.decorator.js';
export { createServiceAuthDocument } from './nest/openapi/create-service-auth-document.js';
export { addServiceAuth, SERVICE_AUTH_SCHEME } from './nest/openapi/service-auth.scheme.js';
