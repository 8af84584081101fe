import type { ServerResponse } from 'node:http';
import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { finalize, Observable } from 'rxjs';
import { rawRequestOf, type RequestState, requestStateOf } from './request-state.js';
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
    const endIfGone = endWithAnswer(state, context.switchToHttp().getResponse<object>());
    // Subscribing inside covers what Nest subscribes to later: streams of a handler, later interceptors.
    return new Observable((subscriber) =>
      this.callContext.runForRequest(state, () =>
        next.handle().pipe(finalize(endIfGone)).subscribe(subscriber),
      ),
    );
  }
}

/**
 * Ends a request with its answer. A caller that hangs up does not end it: what the handler has begun, it
 * may bring to its end.
 *
 * @returns what ends it after the handler, where nobody is there to be answered
 */
function endWithAnswer(state: RequestState, response: object): () => void {
  const raw = rawRequestOf(response) as ServerResponse;
  raw.once('finish', () => (state.isOver = true));
  return () => {
    if (raw.destroyed) state.isOver = true;
  };
}
