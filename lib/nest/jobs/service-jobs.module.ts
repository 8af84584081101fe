import { type DynamicModule, Module, type ModuleMetadata } from '@nestjs/common';
import { CallContexts } from '../call-contexts.js';
import { GuardedProcessorsCheck } from './guarded-processors.js';
import { JOB_QUEUES, type JobQueueOptions, JobQueues } from './job-queues.provider.js';
import { ServiceJobGuard } from './service-job.guard.js';

type Imports = NonNullable<ModuleMetadata['imports']>;

/**
 * Service tokens for jobs of BullMQ, with `@nestjs/bullmq`.
 *
 * A module with a processor under `@ServiceProcessor()` imports it as it is; a service that queues jobs imports
 * `forQueues([...])`, which serves both. Needs a `ServiceAuthModule`: the global one, or one with `isGlobal: false` among
 * `imports`.
 */
@Module({
  providers: [CallContexts, ServiceJobGuard, GuardedProcessorsCheck],
  exports: [ServiceJobGuard],
})
export class ServiceJobsModule {
  /**
   * Makes the named queues sign the jobs that are added to them, and all flow producers those that they add to these queues.
   *
   * @throws ServiceAuthConfigError at start, listing every problem
   */
  static forQueues(queues: readonly JobQueueOptions[], imports: Imports = []): DynamicModule {
    const signing: DynamicModule = {
      module: ServiceJobQueuesModule,
      // It exports nothing: Nest calls the hooks of global modules first, so that what others queue in theirs is signed.
      global: true,
      imports,
      providers: [{ provide: JOB_QUEUES, useValue: queues }],
    };
    return { module: ServiceJobsModule, imports: [...imports, signing] };
  }
}

/** What `ServiceJobsModule.forQueues()` imports. */
@Module({ providers: [JobQueues] })
export class ServiceJobQueuesModule {}
