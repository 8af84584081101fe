import type { UncheckedOptions } from '../configuration-module.js';
import { type FoundModule, metadata } from '../module-options.js';

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
  /** The classes under `@ServiceProcessor()`. */
  readonly processors: readonly string[];
}

/** `PatternHandler.MESSAGE` of @nestjs/microservices; the other kind is an event. */
const MESSAGE = 1;

/** Reads what modules say of messages and jobs. Creates none of them. */
export function messagesIn(modules: readonly FoundModule[]): ModuleMessages {
  const isReceiving = modules.some(({ name }) => name === 'ServiceMessagesModule');
  const handlers = isReceiving ? modules.flatMap((each) => each.controllers).flatMap(ofClass) : [];
  const named = (isRequest: boolean) => [
    ...new Set(handlers.flatMap((each) => (each.isRequest === isRequest ? [each.name] : []))),
  ];
  return {
    clients: valuesOf(modules, 'MESSAGE_CLIENTS').flat(),
    queues: valuesOf(modules, 'JOB_QUEUES').flat(),
    receptions: valuesOf(modules, 'MESSAGE_RECEPTION'),
    requests: named(true),
    events: named(false),
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
}

function ofClass(type: unknown): FoundHandler[] {
  if (typeof type !== 'function') return [];
  const prototype = type.prototype as object;
  return methodNamesOf(prototype).flatMap((name) => {
    const method: unknown = Reflect.get(prototype, name);
    const kind = metadata('microservices:handler_type', method);
    const mark = metadata(ROUTE_MODE, method) ?? metadata(ROUTE_MODE, type);
    if (kind === undefined || mark === 'skip') return [];
    return [{ name: `${type.name}.${name}()`, isRequest: kind === MESSAGE }];
  });
}

/** Where `@SkipServiceAuth()` and its like mark a method or a class. */
const ROUTE_MODE = 'nestjs-service-auth:route-mode';

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
