/** What an application imports that queues or does signed jobs of BullMQ. */
export type { JobQueueOptions } from './nest/jobs/job-queues.provider.js';
export type { JobAuthOptions } from './nest/jobs/job-token.js';
export type { SchedulerJobs } from './nest/jobs/service-job.guard.js';
export {
  ServiceProcessor,
  type ServiceProcessorOptions,
  ServiceWorkerHost,
} from './nest/jobs/service-processor.decorator.js';
export { ServiceJobsModule } from './nest/jobs/service-jobs.module.js';
export { ServiceMessage, serviceMessage } from './nest/messages/service-message.js';
