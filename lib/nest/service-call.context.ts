import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { type CallSubject, ChosenSubject } from '../clients/call-subject.js';
import type { RequestState } from './request-state.js';

type CallScope = { readonly request: RequestState } | { readonly chosen: CallSubject };

/**
 * Knows for whom outgoing calls are made at this point of the program: the verified user of the
 * request being served, or whoever was named for a job.
 */
@Injectable()
export class ServiceCallContext {
  // Only ever entered with run(): enterWith() would leak one request's user into the next one
  // on the same socket.
  private readonly storage = new AsyncLocalStorage<CallScope | undefined>();

  /** Runs `fn`; every call made in it, and in what it starts, is on behalf of `subject`. */
  runOnBehalfOf<T>(subject: string, fn: () => T): T {
    return this.storage.run({ chosen: new ChosenSubject(subject) }, fn);
  }

  /** Runs `fn`; every call made in it, and in what it starts, names no user. */
  runActingAsItself<T>(fn: () => T): T {
    return this.storage.run({ chosen: new ChosenSubject(undefined) }, fn);
  }

  /**
   * Runs `fn` as part of serving `request`, whatever is around it: that may be another request's turn,
   * and a subject chosen there is not this one's. For the library's own interceptor.
   */
  runForRequest<T>(request: RequestState, fn: () => T): T {
    return this.storage.run({ request }, fn);
  }

  /** Runs `fn` with nobody chosen, whoever is around it. For the library's own hooks. */
  runOutside<T>(fn: () => T): T {
    return this.storage.getStore() === undefined ? fn() : this.storage.run(undefined, fn);
  }

  /**
   * For whom calls are made here; undefined when nobody said, as in a job that names no user, or
   * while a request is served whose caller proved nothing, or once it has been answered: what it has
   * started and others use as well (a queue, a pool) would go on in its user's name.
   */
  current(): CallSubject | undefined {
    const scope = this.storage.getStore();
    if (scope === undefined) return undefined;
    if ('chosen' in scope) return scope.chosen;
    const { identity, isOver } = scope.request;
    return identity && !isOver ? { subject: identity.subject } : undefined;
  }
}
