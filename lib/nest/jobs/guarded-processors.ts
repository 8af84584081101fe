import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ServiceAuthUsageError } from '../../core/index.js';
import { SERVICE_PROCESSOR } from '../handler-coverage.js';

export { SERVICE_PROCESSOR };

/** The instances whose `process` is guarded. */
const GUARDED = new WeakSet<object>();

/** Notes that the `process` of an instance is guarded. @returns false if it was already */
export function noteGuarded(instance: object): boolean {
  if (GUARDED.has(instance)) return false;
  GUARDED.add(instance);
  return true;
}

/** Asserts that a processor runs behind the guard. @throws ServiceAuthUsageError */
export function assertGuarded(instance: unknown, name: string): void {
  const isGuarded = typeof instance === 'object' && instance !== null && GUARDED.has(instance);
  if (!isGuarded) throw unguarded(name);
}

/** Lets no application start with a processor that nothing guards, though its class says so. */
@Injectable()
export class GuardedProcessorsCheck implements OnModuleInit {
  readonly #modules: ModulesContainer;

  constructor(@Inject(ModulesContainer) modules: ModulesContainer) {
    this.#modules = modules;
  }

  /** @throws ServiceAuthUsageError for a processor that Nest did not make from its class */
  onModuleInit(): void {
    const providers = [...this.#modules.values()].flatMap((module) => [
      ...module.providers.values(),
    ]);
    for (const provider of providers.filter((each) => each.isDependencyTreeStatic())) {
      const instance: unknown = provider.instance;
      if (isUnguarded(instance)) throw unguarded(instance.constructor.name);
    }
  }
}

function isUnguarded(instance: unknown): instance is object {
  if (typeof instance !== 'object' || instance === null || GUARDED.has(instance)) return false;
  const { constructor }: { constructor?: unknown } = instance;
  return typeof constructor === 'function' && Reflect.hasMetadata(SERVICE_PROCESSOR, constructor);
}

function unguarded(name: string): ServiceAuthUsageError {
  return new ServiceAuthUsageError(
    `${name} is made without Nest, so that nothing verifies its jobs: name the class itself among the providers of a module, in the place of useFactory or useValue.`,
  );
}
