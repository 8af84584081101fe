import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { type CallSubject, ChosenSubject } from '../clients/call-subject.js';
import type { RequestState } from './request-state.js';

/**
 * Knows for whom outgoing calls are made at this point of the program: the verified user of the
 * request being served, or whoever was named for a job.
 */
@Injectable()
export class ServiceCallContext {
  // Only ever entered with run(): enterWith() would leak one request's user into the next one
  // on the same socket.
  private readonly requests = new AsyncLocalStorage<RequestState | undefined>();
  private readonly choices = new AsyncLocalStorage<CallSubject | undefined>();
  private served = 0;

  /** Runs `fn`; every call made in it, and in what it starts, is on behalf of `subject`. */
  runOnBehalfOf<T>(subject: string, fn: () => T): T {
    return this.choices.run(new ChosenSubject(subject), fn);
  }

  /** Runs `fn`; every call made in it, and in what it starts, names no user. */
  runActingAsItself<T>(fn: () => T): T {
    return this.choices.run(new ChosenSubject(undefined), fn);
  }

  /**
   * Runs `fn` as part of serving `request`, whatever is around it: that may be another request's turn,
   * and a subject chosen there is not this one's. Each run is ended with `endRequest`. For the library's
   * own hooks.
   */
  runForRequest<T>(request: RequestState, fn: () => T): T {
    this.served++;
    return this.runUnchosen(() => this.requests.run(request, fn));
  }

  /**
   * Ends what `runForRequest` began. Until Node 24, a store that is in use costs every promise of the
   * process, so it is put down while no request needs it. Work that is left behind has nobody then.
   */
  endRequest(request: RequestState): void {
    request.isOver = true;
    if (--this.served === 0) this.requests.disable();
  }

  /** Runs `fn` with nobody chosen, whoever is around it. For the library's own hooks. */
  runOutside<T>(fn: () => T): T {
    if (this.requests.getStore() === undefined) return this.runUnchosen(fn);
    return this.runUnchosen(() => this.requests.run(undefined, fn));
  }

  private runUnchosen<T>(fn: () => T): T {
    return this.choices.getStore() === undefined ? fn() : this.choices.run(undefined, fn);
  }

  /**
   * For whom calls are made here; undefined when nobody said, as in a job that names no user, or
   * while a request is served whose caller proved nothing, or once it has been answered: what it has
   * started and others use as well (a queue, a pool) would go on in its user's name.
   */
  current(): CallSubject | undefined {
    const chosen = this.choices.getStore();
    if (chosen) return chosen;
    const request = this.requests.getStore();
    return request?.identity && !request.isOver ? { subject: request.identity.subject } : undefined;
  }
}
