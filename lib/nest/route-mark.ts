import 'reflect-metadata';
import { ServiceAuthUsageError } from '../core/index.js';

/** What a decorator is applied to, as TypeScript hands it over. */
type Name = string | symbol;

type Place = readonly [prototype: object, name: Name];

/** Where the marks of one route are looked for. */
export interface MarkedRoute {
  readonly handler: object;
  readonly controller: object;
}

/**
 * A decorator of a route, or of every route of a controller, that leaves a mark. Like Nest's own it marks the
 * function or the class. It also marks the name in the class, and the prototype: a decorator above it that puts
 * another function or class in their place, without copying metadata, would drop the mark.
 *
 * @param next the value of the mark, from the one that stands there already
 */
export function markRoute<T>(
  key: string,
  next: (before: T | undefined) => T,
): ClassDecorator & MethodDecorator {
  return (target: object, name?: Name, descriptor?: { value?: unknown }) => {
    const value = descriptor?.value;
    if (typeof value === 'function' && name !== undefined) {
      define(key, next(read<T>(key, value)), value);
      const before = Reflect.getOwnMetadata(key, target, name) as T | undefined;
      Reflect.defineMetadata(key, next(before), target, name);
      return;
    }
    define(key, next(read<T>(key, target)), target);
    const prototype: unknown = Reflect.get(target, 'prototype');
    if (isObject(prototype)) define(key, next(read<T>(key, prototype)), prototype);
  };
}

/** The marks of a method: on its function, and on the name it has in the class that declares it. */
export function marksOfMethod<T>(key: string, route: MarkedRoute): T[] {
  const { places } = findPlaces(route);
  return present([read<T>(key, route.handler), ...ofNames<T>(key, places)]);
}

/** Those that only narrow count under a name alone; what opens a route needs the function itself. */
export function marksOfFunction<T>(key: string, route: MarkedRoute): T[] {
  const { places, isByName } = findPlaces(route);
  return present([read<T>(key, route.handler), ...(isByName ? [] : ofNames<T>(key, places))]);
}

/**
 * Asserts that no mark of a route can be lost: its function is one of its class, or bears marks itself, or no
 * method of the class has any.
 *
 * @throws ServiceAuthUsageError where an instance has put a function of another name in the place of a method
 */
export function assertMarksAreKnown(keys: readonly string[], route: MarkedRoute): void {
  if (findPlaces(route).places.length > 0) return;
  const methods = methodsOf(Reflect.get(route.controller, 'prototype'));
  const isMarked = keys.some(
    (key) => read(key, route.handler) === undefined && ofNames(key, methods).some(isPresent),
  );
  if (isMarked) throw new ServiceAuthUsageError(describeReplaced(route.controller));
}

function describeReplaced(controller: object): string {
  const name = String(Reflect.get(controller, 'name'));
  return `An instance of ${name} has replaced a method, so the decorators of nestjs-service-auth on it cannot be read. Replace the method on the class, or under its own name.`;
}

/** The marks of a controller, those of the classes it extends included: on the class, and on its prototype. */
export function marksOfController<T>(key: string, controller: object): T[] {
  const prototype: unknown = Reflect.get(controller, 'prototype');
  const ofPrototype = isObject(prototype) ? read<T>(key, prototype) : undefined;
  return present([read<T>(key, controller), ofPrototype]);
}

/** Where the function of a route stands in the class or in one that it extends: by its identity, or else by its name. */
function findPlaces({ handler, controller }: MarkedRoute): { places: Place[]; isByName: boolean } {
  const methods = methodsOf(Reflect.get(controller, 'prototype'));
  const same = methods.filter(([prototype, name]) => valueOf(prototype, name) === handler);
  if (same.length > 0) return { places: same, isByName: false };
  // An instance may have functions of its own, bound ones say: Nest then calls these.
  const ownName = String(Reflect.get(handler, 'name')).replace(/^(?:bound )+/, '');
  const named = methods.find(([, name]) => name === ownName);
  return { places: named ? [named] : [], isByName: true };
}

function ofNames<T>(key: string, places: readonly Place[]): (T | undefined)[] {
  return places.map(
    ([prototype, name]) => Reflect.getOwnMetadata(key, prototype, name) as T | undefined,
  );
}

/** Every method of a class, then of those it extends. */
function methodsOf(prototype: unknown): Place[] {
  if (!isObject(prototype) || prototype === Object.prototype) return [];
  const own = Reflect.ownKeys(prototype).map((name): Place => [prototype, name]);
  return [...own, ...methodsOf(Reflect.getPrototypeOf(prototype))];
}

/** Not by asking for the property: that would call getters. */
function valueOf(prototype: object, name: Name): unknown {
  return Reflect.getOwnPropertyDescriptor(prototype, name)?.value;
}

function define(key: string, value: unknown, place: object): void {
  Reflect.defineMetadata(key, value, place);
}

function read<T>(key: string, place: object): T | undefined {
  return Reflect.getMetadata(key, place) as T | undefined;
}

function present<T>(marks: (T | undefined)[]): T[] {
  return marks.filter(isPresent);
}

function isPresent<T>(mark: T | undefined): mark is T {
  return mark !== undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
