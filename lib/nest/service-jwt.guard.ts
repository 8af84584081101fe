import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RequestAuthenticator } from './request-authenticator.js';
import { routeOf } from './route-policy.js';

/**
 * Lets a request in when it carries a good service token, and otherwise answers with the status
 * and code of protocol section 5. For `@UseGuards(ServiceJwtGuard)`, or for every route with
 * `{ provide: APP_GUARD, useExisting: ServiceJwtGuard }`. Applied twice, it verifies once.
 */
@Injectable()
export class ServiceJwtGuard implements CanActivate {
  /** @internal */
  constructor(@Inject(RequestAuthenticator) private readonly authenticator: RequestAuthenticator) {}

  /** Whether the request may go on. @throws HttpException the answer to a refused request */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    // First of all, so that nothing opens a context this guard does not know: not even a decorator.
    if (context.getType() !== 'http') return await this.authenticator.refuseContext(context);
    const route = routeOf(context);
    if (route.mode === 'skip') return true;
    await this.authenticator.authenticate(context, route);
    return true;
  }
}
