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
 * Describes that a route, or every route of a controller, asks for a service token, and what it
 * answers without a good one: for documents of `SwaggerModule.createDocument()`, and for guards that
 * `createServiceAuthDocument()` does not see. It guards nothing. Routes marked `@SkipServiceAuth()` are left
 * out, and those marked `@OptionalServiceAuth()` are described as such, provided that it stands above
 * these decorators: those below are applied first.
 *
 * @throws ServiceAuthUsageError on a controller that mixes such routes with inherited ones, which it
 *   would describe for every heir: `createServiceAuthDocument()` describes each by itself
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

/** Made anew for each place: a decorator of swagger remembers where it has been. */
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
