import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  RequestMethod,
  type Type,
} from '@nestjs/common';
import { INTERCEPTORS_METADATA, METHOD_METADATA } from '@nestjs/common/constants.js';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import {
  controllersIn,
  guardsEveryRoute,
  handlerOf,
  modeOf,
  type RoutePlace,
  routeNamesOf,
} from './guarded-routes.js';

/** The metadata key of `@CacheKey()` of @nestjs/cache-manager. */
const CACHE_KEY_METADATA = 'cache_module:cache_key';

/** The same symbol in every copy of the package. */
const KEYS_BY_CALLER = 'nestjs-service-auth:keys-by-caller';

/** The methods by which `CacheInterceptor` is recognised: this module does not import @nestjs/cache-manager. */
const METHODS_OF_CACHE = ['intercept', 'trackBy', 'isRequestCacheable'] as const;

/** The most routes that a warning names. */
const NAMED_ROUTES = 5;

/** Marks a class of interceptors, and its subclasses, whose cache keys contain the caller. */
export function markKeysByCaller(interceptor: Type): void {
  Reflect.defineMetadata(KEYS_BY_CALLER, true, interceptor);
}

/**
 * Warns at start if `CacheInterceptor` of @nestjs/cache-manager answers guarded requests. Its key is the URL, so one
 * user gets another user's answer.
 */
@Injectable()
export class CachedRoutesWarning implements OnApplicationBootstrap {
  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.serviceAuth.settings.receiving) return;
    const guardedThroughout = guardsEveryRoute(this.config);
    const everywhere = globalInterceptors(this.config);
    const names = controllersIn(this.modules).flatMap((controller) =>
      routeNamesOf(controller)
        .map((name) => ({ name, route: { controller, handler: handlerOf(controller, name) } }))
        .filter(({ route }) => modeOf(route, guardedThroughout) !== 'skip')
        .filter(({ route }) => isCachedForAll(route, everywhere))
        .map(({ name }) => `${controller.name}.${name}()`),
    );
    if (names.length > 0) new Logger('ServiceAuth').warn(describe(names));
  }
}

function describe(names: readonly string[]): string {
  const left = names.length - NAMED_ROUTES;
  const more = left > 0 ? ` and ${left} more` : '';
  const listed = `${names.slice(0, NAMED_ROUTES).join(', ')}${more}`;
  return `CacheInterceptor answers one user with another user's data: its key does not name the caller of ${listed}. Write ServiceCacheInterceptor of nestjs-service-auth/cache in its place.`;
}

function globalInterceptors(config: ApplicationConfig): readonly unknown[] {
  const scoped = config.getGlobalRequestInterceptors().map(({ metatype }) => metatype);
  return [...config.getGlobalInterceptors(), ...scoped];
}

function isCachedForAll(route: RoutePlace, everywhere: readonly unknown[]): boolean {
  const key: unknown = read(CACHE_KEY_METADATA, route.handler);
  // The application is responsible for a function or a trackBy() that makes its keys.
  if (typeof key === 'function') return false;
  const placed = [route.handler, route.controller].flatMap(
    (place) => (read(INTERCEPTORS_METADATA, place) ?? []) as readonly unknown[],
  );
  return [...everywhere, ...placed].some((interceptor) => {
    const cache = plainCacheOf(interceptor);
    if (cache === undefined) return false;
    // A subclass may cache other methods than GET.
    return key !== undefined || !cache.isItself || isGet(route);
  });
}

function isGet({ handler }: RoutePlace): boolean {
  const method: unknown = read(METHOD_METADATA, handler);
  return method === RequestMethod.GET || method === RequestMethod.ALL;
}

/**
 * `@UseInterceptors()` takes classes and objects. Undefined for other interceptors, and for caches with their own
 * keys.
 */
function plainCacheOf(interceptor: unknown): { readonly isItself: boolean } | undefined {
  const own: unknown =
    typeof interceptor === 'function' ? Reflect.get(interceptor, 'prototype') : interceptor;
  const cache = cachePrototypeOf(own);
  if (!isObject(own) || cache === undefined) return undefined;
  const constructor: unknown = Reflect.get(own, 'constructor');
  if (isObject(constructor) && read(KEYS_BY_CALLER, constructor) === true) return undefined;
  if (Reflect.get(own, 'trackBy') !== Reflect.get(cache, 'trackBy')) return undefined;
  return { isItself: constructor === Reflect.get(cache, 'constructor') };
}

/** The prototype that declares the methods of `CacheInterceptor`: the last in the prototype chain. */
function cachePrototypeOf(object: unknown): object | undefined {
  if (!isObject(object)) return undefined;
  const inherited = cachePrototypeOf(Reflect.getPrototypeOf(object));
  if (inherited) return inherited;
  return METHODS_OF_CACHE.every((name) => Object.hasOwn(object, name)) ? object : undefined;
}

function read(key: string, place: object): unknown {
  return Reflect.getMetadata(key, place);
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
