import { Inject, Injectable, type OnModuleInit, Optional, type Type } from '@nestjs/common';
import type { Job } from 'bullmq';
import { ServiceAuthUsageError, type ServiceIdentity } from '../../core/index.js';
import { ServiceAuth } from '../../service-auth.js';
import { CallContexts, runnerIn } from '../call-contexts.js';
import { missingServiceAuth } from '../missing-service-auth.js';
import { RequestAuthenticator } from '../request-authenticator.js';
import { readRoute, type Route } from '../route-policy.js';
import { ReceivedJob } from './received-job.js';

/** What a processor does with the jobs of schedulers, which have no token. */
export type SchedulerJobs = 'act-as-itself' | 'refuse';

/** A processor as it was declared. */
export interface DeclaredProcessor {
  readonly type: Type;
  readonly method: object;
  readonly schedulers: SchedulerJobs;
  readonly lockMilliseconds: number;
}

/** A processor that is guarded: what it asks of a job. */
export interface GuardedProcessor {
  readonly route: Route;
  /** For the jobs of schedulers; undefined where they are refused. */
  readonly schedulerRoute: Route | undefined;
  readonly lockMilliseconds: number;
}

type Process = (identity: ServiceIdentity | undefined) => unknown;

/** Verifies jobs before the processors of this application run: `@ServiceProcessor()` has it injected. */
@Injectable()
export class ServiceJobGuard implements OnModuleInit {
  // Private, so that a logger that prints a processor shows neither keys nor the container.
  readonly #serviceAuth: ServiceAuth | undefined;
  readonly #authenticator: RequestAuthenticator | undefined;
  readonly #contexts: CallContexts;

  /** @internal */
  constructor(
    @Optional() @Inject(ServiceAuth) serviceAuth: ServiceAuth | undefined,
    @Optional() @Inject(RequestAuthenticator) authenticator: RequestAuthenticator | undefined,
    @Inject(CallContexts) contexts: CallContexts,
  ) {
    this.#serviceAuth = serviceAuth;
    this.#authenticator = authenticator;
    this.#contexts = contexts;
  }

  /**
   * @internal
   * @throws ServiceAuthUsageError where no ServiceAuthModule is imported
   */
  onModuleInit(): void {
    this.parts();
  }

  /**
   * Reads what a processor asks of its jobs.
   *
   * @internal
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`, and for decorators that contradict each other
   */
  prepare({ type, method, schedulers, lockMilliseconds }: DeclaredProcessor): GuardedProcessor {
    // Throws where the service has no receiving half.
    void this.parts().serviceAuth.receiving;
    const route = readRoute(method, type);
    if (route.mode !== 'required') {
      throw new ServiceAuthUsageError(
        `${type.name}: @SkipServiceAuth() and @OptionalServiceAuth() open HTTP routes alone. Write @Processor() for jobs that nobody signs.`,
      );
    }
    if (schedulers === 'refuse') return { route, schedulerRoute: undefined, lockMilliseconds };
    if (asksSomething(route)) {
      throw new ServiceAuthUsageError(
        `${type.name}: the jobs of schedulers have neither issuer nor user, so schedulers: 'act-as-itself' goes with no @AllowIssuers(), @RequireSubject() or @RequireSubjectProof(). Give them a queue of their own.`,
      );
    }
    return { route, schedulerRoute: { ...route, mode: 'optional' }, lockMilliseconds };
  }

  /**
   * Verifies a job, then runs the processor for its user.
   *
   * @internal
   * @returns what the processor returns; `{ duplicate: true }` for a job that was done before
   * @throws UnrecoverableError with the code of the refusal; DelayedError; what the processor throws
   */
  async serve(job: Job, processor: GuardedProcessor, process: Process): Promise<unknown> {
    const { serviceAuth } = this.parts();
    const { lockMilliseconds } = processor;
    const received = new ReceivedJob(job, { serviceAuth, lockMilliseconds });
    try {
      const run = runnerIn(this.#contexts.all(), received.state);
      return await run(async () => await this.serveInside(received, processor, process));
    } finally {
      received.state.endedAt = performance.now();
    }
  }

  private async serveInside(
    received: ReceivedJob,
    { route, schedulerRoute }: GuardedProcessor,
    process: Process,
  ): Promise<unknown> {
    const { authenticator, callContext } = this.parts();
    const isOwn = schedulerRoute !== undefined && received.isScheduled && !received.hasToken;
    let identity: ServiceIdentity | undefined;
    try {
      identity = await authenticator.authenticate(received, isOwn ? schedulerRoute : route);
    } catch (error) {
      return await received.settle(error);
    }
    if (identity) received.protectData();
    return await received.run(async () =>
      isOwn
        ? await callContext.runActingAsItself(() => process(undefined))
        : await process(identity),
    );
  }

  private parts() {
    const [serviceAuth, authenticator] = [this.#serviceAuth, this.#authenticator];
    const callContext = this.#contexts.own;
    if (serviceAuth && authenticator && callContext) {
      return { serviceAuth, authenticator, callContext };
    }
    throw missingServiceAuth('ServiceJobsModule');
  }
}

function asksSomething({ policy }: Route): boolean {
  const { allowedIssuers = [], subjectRequired, proof } = policy;
  return allowedIssuers.length > 0 || subjectRequired === true || proof !== undefined;
}
