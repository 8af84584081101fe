import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { Observable } from 'rxjs';
import { requestStateOf } from './request-state.js';
import { ServiceCallContext } from './service-call.context.js';

/**
 * Runs pipes and handler in the call context of their own request. Not earlier: a middleware may call
 * next() in the turn of another request, whose user would then be taken for this one's.
 */
@Injectable()
export class CallContextInterceptor implements NestInterceptor {
  constructor(@Inject(ServiceCallContext) private readonly callContext: ServiceCallContext) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const state = requestStateOf(context.switchToHttp().getRequest<object>());
    // Subscribing inside covers what Nest subscribes to later: streams of a handler, later interceptors.
    return new Observable((subscriber) =>
      this.callContext.runForRequest(state, () => next.handle().subscribe(subscriber)),
    );
  }
}
