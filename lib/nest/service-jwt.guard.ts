import {
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  Optional,
} from '@nestjs/common';
import { ServiceAuthUsageError } from '../core/index.js';
import { receivedCallIn } from './received-call.js';
import { RequestAuthenticator } from './request-authenticator.js';
import { isResolver } from './resolver-context.js';
import { routeOf } from './route-policy.js';

const NO_MODULE =
  'ServiceJwtGuard needs ServiceAuthModule. Write imports: [ServiceAuthModule.forRoot({ issuer, trustedIssuers })] in the root module; with isGlobal: false, import what it returned in each module whose routes are guarded. Nest makes the guard: write @UseGuards(ServiceJwtGuard), or app.useGlobalGuards(app.get(ServiceJwtGuard)).';

/**
 * Lets a request in if it has a valid service token, and otherwise answers with the status and code of protocol
 * section 5. Use it with `@UseGuards(ServiceJwtGuard)`, or for every route with `{ provide: APP_GUARD, useExisting:
 * ServiceJwtGuard }`. Applied twice, it verifies once.
 *
 * Before a resolver of GraphQL it verifies nothing. It asserts what the resolver asks of the request that the endpoint has
 * verified, and refuses with `token_missing` if the endpoint has verified none.
 */
@Injectable()
export class ServiceJwtGuard implements CanActivate {
  /**
   * Optional, so that this library reports what is missing.
   *
   * @internal
   */
  constructor(
    @Optional()
    @Inject(RequestAuthenticator)
    private readonly authenticator: RequestAuthenticator | undefined,
  ) {}

  /**
   * Not in the constructor: Nest may leave the service out for another reason, which it then reports.
   *
   * @internal
   * @throws ServiceAuthUsageError if no ServiceAuthModule is imported
   */
  onModuleInit(): void {
    this.found();
  }

  /** Whether the request may go on. @throws HttpException the answer to a refused request */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const authenticator = this.found();
    // First of all, so that nothing opens a context this guard does not know: not even a decorator.
    const isOfResolver = isResolver(context);
    if (!isOfResolver && !authenticator.canVerify(context)) {
      return await authenticator.refuseContext(context);
    }
    const route = routeOf(context);
    if (route.mode === 'skip') return true;
    if (isOfResolver) await authenticator.admitToResolver(context, route);
    else await authenticator.authenticate(receivedCallIn(context), route);
    return true;
  }

  /**
   * Whether this guard can verify calls of a type of execution context. It refuses all others.
   *
   * @internal
   */
  verifies(type: string): boolean {
    return this.authenticator?.verifies(type) === true;
  }

  /**
   * Whether the service of this guard has a key, which signs the answers to messages.
   *
   * @internal
   */
  get signs(): boolean {
    return this.authenticator?.signs === true;
  }

  private found(): RequestAuthenticator {
    if (!this.authenticator) throw new ServiceAuthUsageError(NO_MODULE);
    return this.authenticator;
  }
}
