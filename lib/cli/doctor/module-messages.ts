import type { UncheckedOptions } from '../configuration-module.js';
import { type FoundModule, metadata, type Provider } from '../module-options.js';

/** What the modules of a service show of its messages and jobs. */
export interface ModuleMessages {
  /** The entries of `ServiceMessagesModule.forClients()`, not checked yet. */
  readonly clients: readonly unknown[];
  /** The entries of `ServiceJobsModule.forQueues()`, not checked yet. */
  readonly queues: readonly unknown[];
  /** The options of `ServiceMessagesModule.forRoot()`, not checked yet. */
  readonly receptions: readonly unknown[];
  /** The handlers under `@MessagePattern()` and not `@SkipServiceAuth()`, if `ServiceMessagesModule` is imported. */
  readonly requests: readonly string[];
  /** The same under `@EventPattern()`. */
  readonly events: readonly string[];
  /** Those of `requests` that are guarded, as far as decorators and providers show it. */
  readonly answering: readonly string[];
  /** The handlers whose messages nothing verifies: empty if `ServiceMessagesModule` is imported. */
  readonly unverified: {
    /** Those under `@UseGuards(ServiceJwtGuard)`, with `@SkipServiceAuth()` or not. */
    readonly guarded: readonly string[];
    /** Those that only an `APP_GUARD` may guard, and not `@SkipServiceAuth()`. */
    readonly reachable: readonly string[];
  };
  /** The classes under `@ServiceProcessor()`. */
  readonly processors: readonly string[];
}

/** `PatternHandler.MESSAGE` of @nestjs/microservices; the other kind is an event. */
const MESSAGE = 1;

/** Reads what modules say of messages and jobs. Creates none of them. */
export function messagesIn(modules: readonly FoundModule[]): ModuleMessages {
  const isReceiving = modules.some(({ name }) => name === 'ServiceMessagesModule');
  const hasAppGuard = modules.some(({ providers }) => providers.some(isAppGuard));
  const found = modules.flatMap((each) => each.controllers).flatMap(ofClass);
  const open = found.filter(({ isSkipped }) => !isSkipped);
  const handlers = isReceiving ? open : [];
  const requests = handlers.filter(({ isRequest }) => isRequest);
  // Without any guard here, main.ts may have a global one.
  const isShown = hasAppGuard || handlers.some(({ isGuarded }) => isGuarded);
  const answering = requests.filter(({ isGuarded }) => isGuarded || hasAppGuard || !isShown);
  const guarded = isReceiving ? [] : found.filter(({ isGuarded }) => isGuarded);
  const reachable = isReceiving || !hasAppGuard ? [] : open.filter(({ isGuarded }) => !isGuarded);
  return {
    clients: valuesOf(modules, 'MESSAGE_CLIENTS').flat(),
    queues: valuesOf(modules, 'JOB_QUEUES').flat(),
    receptions: valuesOf(modules, 'MESSAGE_RECEPTION'),
    requests: namesOf(requests),
    events: namesOf(handlers.filter(({ isRequest }) => !isRequest)),
    answering: namesOf(answering),
    unverified: { guarded: namesOf(guarded), reachable: namesOf(reachable) },
    processors: [...new Set(modules.flatMap(processorsIn))],
  };
}

/** The audiences that clients and queues name, whatever else is wrong with them. */
export function audiencesIn({ clients, queues }: ModuleMessages): string[] {
  return [...clients, ...queues]
    .map((entry) => (Object(entry) as UncheckedOptions)['audience'])
    .filter((audience) => typeof audience === 'string');
}

/** Whether options that are exported without a module show that the service sends or takes messages or jobs. */
export function showsMessages(options: UncheckedOptions): boolean {
  const { trustedIssuers } = options;
  const issuers = Array.isArray(trustedIssuers) ? (trustedIssuers as unknown[]) : [];
  const names = [
    'messageLifetimeSeconds',
    'jobLifetimeSeconds',
    'maxMessageLifetimeSeconds',
    'topics',
  ];
  return (
    names.some((name) => options[name] !== undefined) ||
    issuers.some((issuer) => {
      const { messages, transports } = Object(issuer) as UncheckedOptions;
      const list: unknown[] = Array.isArray(transports) ? transports : [];
      return messages !== undefined || list.includes('messages') || list.includes('jobs');
    })
  );
}

/** By the name of the symbol, as the module may have another copy of this library. */
function valuesOf(modules: readonly FoundModule[], name: string): unknown[] {
  return modules
    .flatMap(({ providers }) => providers)
    .filter(({ provide }) => typeof provide === 'symbol' && provide.description === name)
    .map(({ useValue }) => useValue);
}

interface FoundHandler {
  readonly name: string;
  readonly isRequest: boolean;
  readonly isSkipped: boolean;
  /** Whether it, or its class, has the guard. */
  readonly isGuarded: boolean;
}

/** Each once, since several modules may declare its class. */
function namesOf(handlers: readonly FoundHandler[]): string[] {
  return [...new Set(handlers.map(({ name }) => name))];
}

function ofClass(type: unknown): FoundHandler[] {
  if (typeof type !== 'function') return [];
  const prototype = type.prototype as object;
  return methodNamesOf(prototype).flatMap((name) => {
    const method: unknown = Reflect.get(prototype, name);
    const kind = metadata('microservices:handler_type', method);
    const mark = metadata(ROUTE_MODE, method) ?? metadata(ROUTE_MODE, type);
    if (kind === undefined) return [];
    const guards = [metadata(GUARDS, method), metadata(GUARDS, type)].flat();
    return [
      {
        name: `${type.name}.${name}()`,
        isRequest: kind === MESSAGE,
        isSkipped: mark === 'skip',
        isGuarded: guards.some(isServiceGuard),
      },
    ];
  });
}

/** Where `@SkipServiceAuth()` and its like mark a method or a class. */
const ROUTE_MODE = 'nestjs-service-auth:route-mode';

/** Where `@UseGuards()` of @nestjs/common notes the guards of a method or a class. */
const GUARDS = '__guards__';

/** Whether a guard, or its class, is `ServiceJwtGuard` or extends it; by name, as it may be of another copy of this library. */
function isServiceGuard(guard: unknown): boolean {
  let type: unknown = typeof guard === 'function' ? guard : (Object(guard) as object).constructor;
  while (typeof type === 'function') {
    if (type.name === 'ServiceJwtGuard') return true;
    type = Object.getPrototypeOf(type);
  }
  return false;
}

function isAppGuard({ provide, useClass, useExisting, useValue, inject = [] }: Provider): boolean {
  if (provide !== 'APP_GUARD') return false;
  return [useClass, useExisting, useValue, ...inject].some(isServiceGuard);
}

function methodNamesOf(prototype: object): string[] {
  const names: string[] = [];
  for (let place = prototype; place !== Object.prototype && place;) {
    const own = Object.entries(Object.getOwnPropertyDescriptors(place));
    names.push(...own.flatMap(([name, { value }]) => (typeof value === 'function' ? [name] : [])));
    place = Object.getPrototypeOf(place) as object;
  }
  return [...new Set(names)];
}

function processorsIn({ providers }: FoundModule): string[] {
  return providers.flatMap((provider) => {
    const type: unknown = typeof provider === 'function' ? provider : provider.useClass;
    const isGuarded = metadata('nestjs-service-auth:service-processor', type) === true;
    return isGuarded && typeof type === 'function' ? [type.name] : [];
  });
}
