import { Inject, Injectable, Optional } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import type { RunInside } from '../for-whom/kept-inside.js';
import { ServiceCallContext } from '../for-whom/service-call.context.js';
import type { RequestState } from './request-state.js';

/** The call contexts of all services of an application, and that of the service that receives. */
@Injectable()
export class CallContexts {
  // Private, so that a logger that prints what has it injected does not show the container.
  readonly #own: ServiceCallContext | undefined;
  readonly #modules: ModulesContainer;

  constructor(
    @Optional() @Inject(ServiceCallContext) own: ServiceCallContext | undefined,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#own = own;
    this.#modules = modules;
  }

  get own(): ServiceCallContext | undefined {
    return this.#own;
  }

  /** As Nest has made them by now. */
  all(): ServiceCallContext[] {
    return [...this.#modules.values()].flatMap(({ providers }) => {
      const instance: unknown = providers.get(ServiceCallContext)?.instance;
      return instance instanceof ServiceCallContext ? [instance] : [];
    });
  }
}

/**
 * Runs functions as part of serving one request, in each of these call contexts: what one service verifies must not look to
 * another one like code that no request started.
 */
export function runnerIn(contexts: readonly ServiceCallContext[], state: RequestState): RunInside {
  return <T>(fn: () => T): T => {
    const nested = contexts.reduce<() => T>(
      (inner, context) => () => context.runForRequest(state, inner),
      fn,
    );
    return nested();
  };
}
