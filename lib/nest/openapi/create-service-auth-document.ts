import type { INestApplication } from '@nestjs/common';
import { type OpenAPIObject, type SwaggerDocumentOptions, SwaggerModule } from '@nestjs/swagger';
import type { RefusalStatus } from '../../core/index.js';
import {
  addRefusals,
  askForGrant,
  askForToken,
  asksForToken,
  type Operation,
  refusalComponents,
} from './described-operation.js';
import { readRoute } from '../route-policy.js';
import { isGuardedThroughout, modeOf } from './guarded-routes.js';
import { RouteMarks, withoutMarks } from './route-marks.js';
import { SECURITY_SCHEME, SERVICE_AUTH_SCHEME } from './service-auth.scheme.js';

/**
 * Creates the document of an application as `SwaggerModule.createDocument()` does. To every operation that
 * `ServiceJwtGuard` guards, it adds the security scheme, and the refusals by status with their codes. It sees guards
 * of a route, of a controller, and of the application. `@SkipServiceAuth()` and `@OptionalServiceAuth()` have the
 * same effect as for requests. The handler's own description of a status stays, beside that of the guard. It does not
 * see a guard of the application that calls `ServiceJwtGuard`: write `@ApiServiceAuth()` there.
 *
 * @throws ServiceAuthUsageError for an application not created by `NestFactory.create()`
 */
export function createServiceAuthDocument(
  app: INestApplication,
  config: Omit<OpenAPIObject, 'paths'>,
  options?: SwaggerDocumentOptions,
): OpenAPIObject {
  const guardedThroughout = isGuardedThroughout(app);
  const marks = new RouteMarks(app);
  try {
    const document = SwaggerModule.createDocument(app, config, options);
    const statuses = operationsOf(document.paths).flatMap(([method, operation]) => {
      const route = marks.routeOf(operation.security ?? []);
      removeMarks(operation);
      const mode = route ? modeOf(route, guardedThroughout) : 'skip';
      if (!route || mode === 'skip' || asksForToken(operation)) return [];
      askForToken(operation, mode, document.security);
      askForGrant(operation, readRoute(route.handler, route.controller).policy.proof);
      return addRefusals(operation, method);
    });
    // Webhooks are requests of this service to others, which guard them.
    for (const [, operation] of operationsOf(webhooksOf(document))) removeMarks(operation);
    return withComponents(document, new Set(statuses));
  } finally {
    marks.remove();
  }
}

type Paths = OpenAPIObject['paths'];

/** Webhooks of OpenAPI 3.1; before that, swagger lists them among the paths. */
function webhooksOf(document: OpenAPIObject): Paths {
  return (Reflect.get(document, 'webhooks') ?? {}) as Paths;
}

function operationsOf(paths: Paths): [method: string, operation: Operation][] {
  return Object.values(paths)
    .flatMap((item) => Object.entries({ ...item } as Record<string, unknown>))
    .filter((entry): entry is [string, Operation] => isOperation(entry[1]));
}

function isOperation(value: unknown): value is Operation {
  return typeof value === 'object' && value !== null && 'responses' in value;
}

function removeMarks(operation: Operation): void {
  const security = withoutMarks(operation.security ?? []);
  // An empty list would remove the requirements of the whole document.
  if (security.length > 0) operation.security = security;
  else delete operation.security;
}

function withComponents(
  document: OpenAPIObject,
  statuses: ReadonlySet<RefusalStatus>,
): OpenAPIObject {
  const isUsed = operationsOf(document.paths).some(([, operation]) => asksForToken(operation));
  if (!isUsed) return document;
  const { components = {} } = document;
  const { schemas, responses } = refusalComponents(statuses);
  return {
    ...document,
    components: {
      ...components,
      schemas: { ...components.schemas, ...schemas },
      responses: { ...components.responses, ...responses },
      securitySchemes: { [SERVICE_AUTH_SCHEME]: SECURITY_SCHEME, ...components.securitySchemes },
    },
  };
}
