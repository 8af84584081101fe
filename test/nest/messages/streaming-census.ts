import {
  type CallHandler,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { ServiceJwtGuard } from 'nestjs-service-auth';
import { concat, defer, EMPTY, from, type Observable, of, retry, throwError, timer } from 'rxjs';
import { map } from 'rxjs/operators';
import { acknowledge } from '../../support/messages/messaging-services.js';

/** What handlers may answer with: each name is a handler of {@link streamingController}. */
export const STREAMS = [
  'value',
  'promise',
  'many',
  'none',
  'one',
  'empty-text',
  'nulls',
  'nothing',
  'late',
  'spread',
  'failing',
  'failing-at-once',
  'failing-with-text',
  'failing-with-error',
  'filtered',
  'retried',
] as const;

@Catch()
class WordsFilter implements ExceptionFilter {
  catch(error: Error): Observable<never> {
    return throwError(() => ({ status: 'filtered', message: error.message }));
  }
}

@Injectable()
class RetryInterceptor implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(retry(2));
  }
}

const failure = (): Observable<never> =>
  throwError(() => new RpcException({ status: 'error', code: 'house_full', rooms: [1, null] }));

/** Handlers of every kind under `<prefix>.<name>`, with a guard or without one. */
export function streamingController(prefix: string, isGuarded: boolean): Type {
  const guarded: ClassDecorator = isGuarded ? UseGuards(ServiceJwtGuard) : () => undefined;
  let attempts = 0;

  @Controller()
  @guarded
  class StreamingController {
    @MessagePattern(`${prefix}.echo`)
    echo(@Payload() data: unknown, @Ctx() context: object) {
      acknowledge(context);
      return { data, text: JSON.stringify(data) };
    }

    @MessagePattern(`${prefix}.value`)
    value(@Ctx() context: object) {
      acknowledge(context);
      return { name: 'Zoë', rooms: [1, 2.5, null, { of: true }], dropped: undefined };
    }

    @MessagePattern(`${prefix}.promise`)
    async promise(@Ctx() context: object) {
      acknowledge(context);
      return await Promise.resolve([1, 'two']);
    }

    @MessagePattern(`${prefix}.many`)
    many(@Ctx() context: object) {
      acknowledge(context);
      return from([0, 1, 2]).pipe(map((n) => ({ n })));
    }

    @MessagePattern(`${prefix}.none`)
    none(@Ctx() context: object) {
      acknowledge(context);
      return EMPTY;
    }

    @MessagePattern(`${prefix}.one`)
    one(@Ctx() context: object) {
      acknowledge(context);
      return of('one');
    }

    @MessagePattern(`${prefix}.empty-text`)
    emptyText(@Ctx() context: object) {
      acknowledge(context);
      return of('', 0, false);
    }

    @MessagePattern(`${prefix}.nulls`)
    nulls(@Ctx() context: object) {
      acknowledge(context);
      return of(null, 1, null);
    }

    @MessagePattern(`${prefix}.nothing`)
    nothing(@Ctx() context: object) {
      acknowledge(context);
    }

    @MessagePattern(`${prefix}.nothings`)
    nothings(@Ctx() context: object) {
      acknowledge(context);
      return of(undefined, 1, undefined, null, undefined);
    }

    @MessagePattern(`${prefix}.nothing-late`)
    nothingLate(@Ctx() context: object) {
      acknowledge(context);
      return concat(of(undefined), timer(5).pipe(map(() => undefined)), timer(5));
    }

    @MessagePattern(`${prefix}.late`)
    late(@Ctx() context: object) {
      acknowledge(context);
      return timer(20).pipe(map(() => 'late'));
    }

    @MessagePattern(`${prefix}.spread`)
    spread(@Ctx() context: object) {
      acknowledge(context);
      return concat(of(1), timer(5), of(2), timer(5));
    }

    @MessagePattern(`${prefix}.failing`)
    failing(@Ctx() context: object) {
      acknowledge(context);
      return concat(of(1, 2), failure());
    }

    @MessagePattern(`${prefix}.failing-at-once`)
    failingAtOnce(@Ctx() context: object) {
      acknowledge(context);
      return failure();
    }

    @MessagePattern(`${prefix}.failing-with-text`)
    failingWithText(@Ctx() context: object): never {
      acknowledge(context);
      throw new RpcException('The house is full.');
    }

    @MessagePattern(`${prefix}.failing-with-error`)
    failingWithError(@Ctx() context: object): never {
      acknowledge(context);
      throw new Error('canary of the inside');
    }

    @MessagePattern(`${prefix}.filtered`)
    @UseFilters(new WordsFilter())
    filtered(@Ctx() context: object): never {
      acknowledge(context);
      throw new Error('for the filter');
    }

    @MessagePattern(`${prefix}.retried`)
    @UseInterceptors(RetryInterceptor)
    retried(@Ctx() context: object) {
      return defer(() => {
        attempts += 1;
        if (attempts % 3 !== 0) return throwError(() => new Error('not yet'));
        acknowledge(context);
        return of('at the third attempt');
      });
    }
  }
  return StreamingController;
}
