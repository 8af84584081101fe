import { applyDecorators, type Type } from '@nestjs/common';
import { ApiHeader, ApiResponse, ApiSecurity } from '@nestjs/swagger';
import { type ProofPolicy, ServiceAuthUsageError } from '../../core/index.js';
import { type Route, readRoute } from '../route-policy.js';
import { grantParameter } from './grant-parameter.js';
import { handlerOf, routeNamesOf } from './guarded-routes.js';
import { REFUSAL_STATUSES, refusalResponse, refusalSchema } from './refusal-responses.js';
import { SERVICE_AUTH_SCHEME } from './service-auth.scheme.js';

type Decorator = ClassDecorator & MethodDecorator;

/**
 * Describes that a route, or every route of a controller, requires a service token, and how it refuses requests. Use
 * it for documents of `SwaggerModule.createDocument()`, and for guards that `createServiceAuthDocument()` does not
 * see. It does not guard the route. Write it above `@SkipServiceAuth()` and `@OptionalServiceAuth()`, since
 * TypeScript applies the lower decorators first. Then it omits the former routes, and describes the latter as
 * optional.
 *
 * @throws ServiceAuthUsageError on a controller that mixes such routes with inherited ones, which it would describe
 *   for every subclass. Use `createServiceAuthDocument()`, which describes each by itself
 */
export function ApiServiceAuth(): Decorator {
  return (target: object, name?: string | symbol, descriptor?: { value?: unknown }) => {
    if (name !== undefined && descriptor) describeMethod(target, name, descriptor);
    else describeController(target as Type);
  };
}

function describeMethod(
  prototype: object,
  name: string | symbol,
  descriptor: { value?: unknown },
): void {
  const route = readRoute(Object(descriptor.value) as object, prototype.constructor);
  decoratorsFor(route)(prototype, name, descriptor);
}

function describeController(controller: Type): void {
  const routes = routeNamesOf(controller).map((name) => {
    const route = readRoute(handlerOf(controller, name), controller);
    return { name, route, kind: kindOf(route) };
  });
  const [first] = routes;
  if (!first) return;
  if (routes.every(({ kind }) => kind === first.kind)) decoratorsFor(first.route)(controller);
  else for (const { name, route } of routes) describeRoute(controller, name, route);
}

/** Routes of one kind are described alike. */
function kindOf({ mode, policy: { proof } }: Route): string {
  return proof === undefined ? mode : `${mode}, ${grantParameter(proof).description}`;
}

function describeRoute(controller: Type, name: string, route: Route): void {
  const prototype = controller.prototype as object;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (!descriptor) {
    throw new ServiceAuthUsageError(
      `@ApiServiceAuth() cannot describe the inherited ${controller.name}.${name}() beside routes of another mode or proof: make the document with createServiceAuthDocument().`,
    );
  }
  decoratorsFor(route)(prototype, name, descriptor);
}

/** Created again for each place: a decorator of swagger remembers where it was used. */
function decoratorsFor({ mode, policy: { proof } }: Route): Decorator {
  if (mode === 'skip') return applyDecorators();
  return applyDecorators(
    ...(mode === 'optional' ? [ApiSecurity({})] : []),
    ApiSecurity(SERVICE_AUTH_SCHEME),
    ...(proof ? [describedHeader(proof)] : []),
    ...REFUSAL_STATUSES.map((status) =>
      ApiResponse({ status, ...refusalResponse(status, refusalSchema(status)) }),
    ),
  );
}

function describedHeader(proof: ProofPolicy): Decorator {
  const { in: _place, ...header } = grantParameter(proof);
  return ApiHeader(header);
}
