import { from, isObservable, Observable, Subject, takeUntil } from 'rxjs';

/** Runs a function in a place of its own. */
export type RunInside = <T>(fn: () => T) => T;

/** The place where a function ran. */
export interface Place {
  readonly run: RunInside;
  /** Goes back to where it is called: for what takes over from there. */
  readonly back: () => RunInside;
}

/** The methods of something lazy that are replaced. */
type Methods = ReadonlyMap<PropertyKey, (...args: unknown[]) => unknown>;

/** What a thenable calls. */
type Settle = ((value: unknown) => unknown) | null | undefined;

const STEPS = ['next', 'return', 'throw'] as const;

/**
 * What a function returned, so that what it begins later runs in that place too: an Observable each time that it is
 * subscribed to, a generator at each step, a thenable that only begins when it is awaited, and each of them in a promise.
 *
 * Their values arrive where one subscribes or awaits: an operator that is piped to the result does not run inside.
 */
export function keepInside<T>(result: T, place: Place): T {
  if (typeof result !== 'object' || result === null) return result;
  if (isBegun(result)) {
    const kept = result.then((value) => keepInside(value, place));
    // Some clients give promises methods of their own.
    return Object.assign(kept, result) as T & Promise<unknown>;
  }
  const methods = lazyMethodsOf(result, place);
  if (methods === undefined) return result;
  return new Proxy(result, {
    get: (target, name, receiver): unknown =>
      methods.get(name) ?? (Reflect.get(target, name, receiver) as unknown),
  });
}

/** Whether it is a promise that awaiting does not begin. */
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
    // A source that emits at once has to learn of the end while it is subscribed to.
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
