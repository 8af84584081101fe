import 'reflect-metadata';
import { Processor, type ProcessorOptions, WorkerHost } from '@nestjs/bullmq';
import { Inject, type Type } from '@nestjs/common';
import type { Job, Worker, WorkerOptions } from 'bullmq';
import { ServiceAuthUsageError, type ServiceIdentity } from '../../core/index.js';
import { assertGuarded, noteGuarded, SERVICE_PROCESSOR } from './guarded-processors.js';
import { type SchedulerJobs, ServiceJobGuard } from './service-job.guard.js';

/** How long a worker of BullMQ locks a job, where its options do not say. */
const DEFAULT_LOCK_MILLISECONDS = 30_000;

/** The property that the guard is injected into. */
const GUARD = 'serviceJobGuard';

/** What `@ServiceProcessor()` takes: the options of a worker of BullMQ, and how the worker treats jobs of schedulers. */
export interface ServiceProcessorOptions extends Partial<WorkerOptions> {
  /**
   * BullMQ copies the template of a scheduler into each job, so these have no token. `refuse`, the default: they are
   * refused with `token_missing`. `act-as-itself`: they run without an identity, and their calls name no user. Everybody
   * who can write to the Redis of the queue can make such jobs.
   */
  readonly schedulers?: SchedulerJobs;
}

type Host = abstract new <T extends Worker = Worker>() => Pick<WorkerHost<T>, 'worker'>;

const Host = WorkerHost as unknown as Host;

/** The base class of processors under `@ServiceProcessor()`: a `WorkerHost` of `@nestjs/bullmq`. */
export abstract class ServiceWorkerHost<T extends Worker = Worker> extends Host<T> {
  /**
   * Does one job, which the guard has verified.
   *
   * @param identity who queued it, and for which user. Undefined for a job of a scheduler under `act-as-itself`, and for one
   *   that would be refused, in report-only mode
   * @param signal as BullMQ gives it to processors that take it
   */
  abstract process(
    job: Job,
    identity: ServiceIdentity | undefined,
    signal?: AbortSignal,
  ): Promise<unknown>;
}

/**
 * `@Processor()` of `@nestjs/bullmq` for a queue whose jobs are signed: each job is verified before `process(job, identity)`
 * runs. `@AllowIssuers()`, `@RequireSubject()`, `@RequireSubjectProof()` and `@ReportOnly()` on the class or the method
 * apply. The module of the class imports `ServiceJobsModule`.
 *
 * @param queue its name, or the options of `@Processor()`
 * @throws ServiceAuthUsageError for a class without a method `process`
 */
export function ServiceProcessor(
  queue: string | ProcessorOptions,
  { schedulers = 'refuse', ...workerOptions }: ServiceProcessorOptions = {},
): ClassDecorator {
  if (schedulers !== 'refuse' && schedulers !== 'act-as-itself') {
    throw new ServiceAuthUsageError("schedulers: write 'refuse' or 'act-as-itself'.");
  }
  const lockMilliseconds = workerOptions.lockDuration ?? DEFAULT_LOCK_MILLISECONDS;
  return (target: object) => {
    const type = target as Type<object>;
    const prototype = type.prototype as object;
    guardMethod(type, prototype);
    Processor(queue as ProcessorOptions, workerOptions)(type);
    Reflect.defineMetadata(SERVICE_PROCESSOR, true, type);
    Inject(ServiceJobGuard)(prototype, GUARD);
    // Nest sets it on each instance that it makes, before a worker is bound to the method.
    Object.defineProperty(prototype, GUARD, {
      set(this: object, guard: ServiceJobGuard) {
        guardInstance(this, guard, { schedulers, lockMilliseconds });
      },
      configurable: true,
    });
  };
}

type Method = (...args: unknown[]) => unknown;

/** Without the guard, the method itself fails: an instance that Nest did not make has none. */
function guardMethod(type: Type<object>, prototype: object): void {
  const method: unknown = Reflect.get(prototype, 'process');
  if (typeof method !== 'function') {
    throw new ServiceAuthUsageError(
      `${type.name}: @ServiceProcessor() needs a method process(job, identity).`,
    );
  }
  const guarded = function (this: unknown, ...args: unknown[]): unknown {
    assertGuarded(this, type.name);
    return Reflect.apply(method as Method, this, args);
  };
  copyShape(method, guarded);
  Object.defineProperty(prototype, 'process', {
    value: guarded,
    writable: true,
    configurable: true,
  });
}

/** Its decorators, its name, and how many arguments it takes: BullMQ gives a signal to processors that take three. */
function copyShape(from: object, to: object): void {
  for (const key of Reflect.getMetadataKeys(from) as unknown[]) {
    Reflect.defineMetadata(key, Reflect.getMetadata(key, from), to);
  }
  for (const name of ['name', 'length']) {
    Object.defineProperty(to, name, { value: Reflect.get(from, name), configurable: true });
  }
}

interface Declared {
  readonly schedulers: SchedulerJobs;
  readonly lockMilliseconds: number;
}

/** Puts the guard in front of the `process` that this instance has, also one of a class that extends the decorated one. */
function guardInstance(instance: object, guard: ServiceJobGuard, declared: Declared): void {
  if (!noteGuarded(instance)) return;
  const method = Reflect.get(instance, 'process') as Method;
  const type = instance.constructor as Type<object>;
  const processor = guard.prepare({ type, method, ...declared });
  const serve = async (job: Job, signal?: AbortSignal): Promise<unknown> =>
    await guard.serve(job, processor, (identity) =>
      Reflect.apply(method, instance, [job, identity, signal]),
    );
  const guarded =
    method.length < 3
      ? async (job: Job) => await serve(job)
      : async (job: Job, _token: string, signal: AbortSignal) => await serve(job, signal);
  Object.defineProperty(instance, 'process', { value: guarded });
}
