/** What a service imports that serves GraphQL with @nestjs/graphql: the subpath `nestjs-service-auth/graphql`. */
export { guardedDriver, type GuardedDriverOptions } from './nest/graphql/guarded-driver.js';
