import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Role, User } from './user.directory.js';

/** Who may use a route: users with one of the roles, or `self`: whoever the route's `:id` names. */
export const Roles = Reflector.createDecorator<(Role | 'self')[]>();

/** An ordinary guard of an ordinary application: it knows `request.user`, and nothing of tokens. */
@Injectable()
export class RolesGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const allowed = this.reflector.getAllAndOverride(Roles, [
      context.getHandler(),
      context.getClass(),
    ]);
    const { user, params } = context
      .switchToHttp()
      .getRequest<{ user?: User; params: { id?: string } }>();
    if (!user) return false;
    return allowed.includes(user.role) || (allowed.includes('self') && params.id === user.id);
  }
}
