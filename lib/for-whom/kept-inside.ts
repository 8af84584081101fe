import { from, isObservable, Observable, Subject, takeUntil } from 'rxjs';

/** Runs a function in a place: a call context. */
export type RunInside = <T>(fn: () => T) => T;

/** The place where a function ran. */
export interface Place {
  readonly run: RunInside;
  /** Captures the current place, and returns a function that goes back to it. */
  readonly back: () => RunInside;
}

/** The replaced methods of a lazy object. */
type Methods = ReadonlyMap<PropertyKey, (...args: unknown[]) => unknown>;

/** A callback of a thenable. */
type Settle = ((value: unknown) => unknown) | null | undefined;

const STEPS = ['next', 'return', 'throw'] as const;

/**
 * Wraps the result of a function so that its later work runs in the same place. This covers an Observable at each
 * subscription, a generator at each step, and a thenable that begins when it is awaited. It also covers each of them
 * in a promise.
 *
 * Values arrive in the context of the subscriber: an operator piped to the result does not run inside.
 */
export function keepInside<T>(result: T, place: Place): T {
  if (typeof result !== 'object' || result === null) return result;
  if (isBegun(result)) {
    const kept = result.then((value) => keepInside(value, place));
    // Some clients add their own methods to promises.
    return Object.assign(kept, result) as T & Promise<unknown>;
  }
  const methods = lazyMethodsOf(result, place);
  if (methods === undefined) return result;
  return new Proxy(result, {
    get: (target, name, receiver): unknown =>
      methods.get(name) ?? (Reflect.get(target, name, receiver) as unknown),
  });
}

/** Whether it is a promise whose work has already begun. */
function isBegun(result: object): result is Promise<unknown> {
  return result instanceof Promise && Object.is(Reflect.get(result, 'then'), PROMISE_THEN);
}

const PROMISE_THEN: unknown = Reflect.get(Promise.prototype, 'then');

function lazyMethodsOf(result: object, place: Place): Methods | undefined {
  const has = (name: PropertyKey): boolean => typeof Reflect.get(result, name) === 'function';
  if (isObservable(result)) return observableMethods(result, place);
  if (has('next') && (has(Symbol.iterator) || has(Symbol.asyncIterator))) {
    return new Map(STEPS.filter(has).map((name) => [name, inside(result, name, place)]));
  }
  if (!has('then')) return undefined;
  const then = inside(result, 'then', place);
  return new Map([
    [
      'then',
      (done, failed) => then(delivered(done as Settle, place), delivered(failed as Settle, place)),
    ],
  ]);
}

function inside(
  target: object,
  name: PropertyKey,
  { run }: Place,
): (...args: unknown[]) => unknown {
  return (...args) => run(() => invoke(target, name, args));
}

function invoke(target: object, name: PropertyKey, args: unknown[]): unknown {
  return Reflect.apply(Reflect.get(target, name) as () => unknown, target, args);
}

function delivered(settle: Settle, place: Place): Settle {
  if (typeof settle !== 'function') return settle;
  const back = place.back();
  return (value) => back(() => settle(keepInside(value, place)));
}

function observableMethods(source: Observable<unknown>, place: Place): Methods {
  const subscribe = (...args: unknown[]): unknown =>
    invoke(subscribedInside(source, place), 'subscribe', args);
  const connect = inside(source, 'connect', place);
  return new Map(Object.entries('connect' in source ? { subscribe, connect } : { subscribe }));
}

function subscribedInside(source: Observable<unknown>, { run, back }: Place): Observable<unknown> {
  const deliver = back();
  return new Observable((subscriber) => {
    // A synchronous source must see the end during the subscription.
    const stop = new Subject<void>();
    subscriber.add(() => stop.next());
    run(() =>
      from(source)
        .pipe(takeUntil(stop))
        .subscribe({
          next: (value) => deliver(() => subscriber.next(value)),
          error: (error) => deliver(() => subscriber.error(error)),
          complete: () => deliver(() => subscriber.complete()),
        }),
    );
  });
}
