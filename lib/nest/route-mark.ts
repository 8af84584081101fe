import 'reflect-metadata';
import { ServiceAuthUsageError } from '../core/index.js';

/** The name of a decorated member. */
type Name = string | symbol;

type Place = readonly [prototype: object, name: Name];

/** The places of the marks of one route. */
export interface MarkedRoute {
  readonly handler: object;
  readonly controller: object;
}

/**
 * A decorator of a route, or of every route of a controller, that sets a mark. Like the decorators of Nest, it marks
 * the function or the class. It also marks the name in the class, and the prototype. Otherwise a decorator above it
 * could drop the mark, by replacing the function or class without copying metadata.
 *
 * @param next computes the value of the mark from the existing one
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

/** The marks of a method: on its function, and on its name in the class that declares it. */
export function marksOfMethod<T>(key: string, route: MarkedRoute): T[] {
  const { places } = findPlaces(route);
  return present([read<T>(key, route.handler), ...ofNames<T>(key, places)]);
}

/** Marks that narrow also count by name alone; a mark that opens a route must be on the function itself. */
export function marksOfFunction<T>(key: string, route: MarkedRoute): T[] {
  const { places, isByName } = findPlaces(route);
  return present([read<T>(key, route.handler), ...(isByName ? [] : ofNames<T>(key, places))]);
}

/**
 * Asserts that no mark of a route can be lost: its function belongs to its class, or has marks itself, or no method
 * of the class has marks.
 *
 * @throws ServiceAuthUsageError if an instance has replaced a method by a function with another name
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

/** The marks of a controller and of its base classes: on the class, and on its prototype. */
export function marksOfController<T>(key: string, controller: object): T[] {
  const prototype: unknown = Reflect.get(controller, 'prototype');
  const ofPrototype = isObject(prototype) ? read<T>(key, prototype) : undefined;
  return present([read<T>(key, controller), ofPrototype]);
}

/** Finds the function of a route in the class or in its base classes: by identity, or else by name. */
function findPlaces({ handler, controller }: MarkedRoute): { places: Place[]; isByName: boolean } {
  const methods = methodsOf(Reflect.get(controller, 'prototype'));
  const same = methods.filter(([prototype, name]) => valueOf(prototype, name) === handler);
  if (same.length > 0) return { places: same, isByName: false };
  // An instance may have its own functions, such as bound ones, which Nest then calls.
  const ownName = String(Reflect.get(handler, 'name')).replace(/^(?:bound )+/, '');
  const named = methods.find(([, name]) => name === ownName);
  return { places: named ? [named] : [], isByName: true };
}

function ofNames<T>(key: string, places: readonly Place[]): (T | undefined)[] {
  return places.map(
    ([prototype, name]) => Reflect.getOwnMetadata(key, prototype, name) as T | undefined,
  );
}

/** Every method of a class, then those of its base classes. */
function methodsOf(prototype: unknown): Place[] {
  if (!isObject(prototype) || prototype === Object.prototype) return [];
  const own = Reflect.ownKeys(prototype).map((name): Place => [prototype, name]);
  return [...own, ...methodsOf(Reflect.getPrototypeOf(prototype))];
}

/** Reads the descriptor, since reading the property would call getters. */
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
