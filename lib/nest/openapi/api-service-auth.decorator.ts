import { applyDecorators, type Type } from '@nestjs/common';
import { ApiResponse, ApiSecurity } from '@nestjs/swagger';
import { ServiceAuthUsageError } from '../../core/index.js';
import type { RouteMode } from '../route-mode.decorator.js';
import { readRoute } from '../route-policy.js';
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
  const { mode } = readRoute(Object(descriptor.value) as object, prototype.constructor);
  decoratorsFor(mode)(prototype, name, descriptor);
}

function describeController(controller: Type): void {
  const routes = routeNamesOf(controller).map((name) => {
    const { mode } = readRoute(handlerOf(controller, name), controller);
    return { name, mode };
  });
  const [first] = routes;
  if (!first) return;
  if (routes.every(({ mode }) => mode === first.mode)) decoratorsFor(first.mode)(controller);
  else for (const { name, mode } of routes) describeRoute(controller, name, mode);
}

function describeRoute(controller: Type, name: string, mode: RouteMode): void {
  const prototype = controller.prototype as object;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (!descriptor) {
    throw new ServiceAuthUsageError(
      `@ApiServiceAuth() cannot describe the inherited ${controller.name}.${name}() beside routes of another mode: make the document with createServiceAuthDocument().`,
    );
  }
  decoratorsFor(mode)(prototype, name, descriptor);
}

/** Made anew for each place: a decorator of swagger remembers where it has been. */
function decoratorsFor(mode: RouteMode): Decorator {
  if (mode === 'skip') return applyDecorators();
  return applyDecorators(
    ...(mode === 'optional' ? [ApiSecurity({})] : []),
    ApiSecurity(SERVICE_AUTH_SCHEME),
    ...REFUSAL_STATUSES.map((status) =>
      ApiResponse({ status, ...refusalResponse(status, refusalSchema(status)) }),
    ),
  );
}
