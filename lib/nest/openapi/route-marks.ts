import type { INestApplication, Type } from '@nestjs/common';
import { ApiSecurity } from '@nestjs/swagger';
import { controllersOf, handlerOf, type RoutePlace, routeNamesOf } from './guarded-routes.js';

const MARK = 'nestjs-service-auth:mark:';

/**
 * Finds the controller and the handler of an operation in a document. The document does not contain them: class names
 * repeat, and options choose ids and paths. So while a document is created, each controller and each handler has a
 * mark, in the one place where swagger combines both.
 */
export class RouteMarks {
  private readonly controllers: Type[] = [];
  private readonly handlers: object[] = [];
  private readonly removals: (() => void)[] = [];

  constructor(app: INestApplication) {
    for (const controller of controllersOf(app)) this.markController(controller);
  }

  /** The route of an operation with these requirements; undefined if it belongs to no controller. */
  routeOf(requirements: readonly object[]): RoutePlace | undefined {
    const names = requirements.flatMap((requirement) => Object.keys(requirement)).filter(isMark);
    // The last one: a class also has the marks of its base classes, before its own.
    const controller = this.controllers[lastIndex(names, 'controller')];
    const handler = this.handlers[lastIndex(names, 'handler')];
    return controller && handler ? { controller, handler } : undefined;
  }

  /** Removes all marks from controllers and handlers. */
  remove(): void {
    for (const remove of this.removals.splice(0).toReversed()) remove();
  }

  private markController(controller: Type): void {
    const mark = `${MARK}controller:${this.controllers.push(controller) - 1}`;
    this.apply(controller, () => ApiSecurity(mark)(controller));
    for (const name of routeNamesOf(controller)) this.markHandler(controller, name);
  }

  private markHandler(controller: Type, name: string): void {
    const value = handlerOf(controller, name);
    if (this.handlers.includes(value)) return; // An inherited handler, already marked with another controller.
    const mark = `${MARK}handler:${this.handlers.push(value) - 1}`;
    const prototype = controller.prototype as object;
    this.apply(value, () => ApiSecurity(mark)(prototype, name, { value }));
  }

  private apply(place: object, decorate: () => void): void {
    const before = ownMetadata(place);
    decorate();
    for (const [key, value] of ownMetadata(place)) {
      if (value === before.get(key)) continue;
      this.removals.push(() => {
        if (before.has(key)) Reflect.defineMetadata(key, before.get(key), place);
        else Reflect.deleteMetadata(key, place);
      });
    }
  }
}

/** The requirements without the marks. */
export function withoutMarks<T extends object>(requirements: readonly T[]): T[] {
  return requirements.filter((requirement) => !Object.keys(requirement).some(isMark));
}

function isMark(name: string): boolean {
  return name.startsWith(MARK);
}

function lastIndex(names: readonly string[], kind: string): number {
  const prefix = `${MARK}${kind}:`;
  const name = names.findLast((each) => each.startsWith(prefix));
  return name === undefined ? -1 : Number(name.slice(prefix.length));
}

function ownMetadata(place: object): Map<unknown, unknown> {
  const keys = Reflect.getOwnMetadataKeys(place) as unknown[];
  return new Map(keys.map((key) => [key, Reflect.getOwnMetadata(key, place)]));
}
