import { getQueueToken } from '@nestjs/bullmq';
import { Inject, Injectable, type OnModuleInit, Optional } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { FlowProducer, type Queue } from 'bullmq';
import {
  JOB_QUEUE_OPTIONS,
  OptionReader,
  ProblemList,
  readQueueTarget,
  shown,
} from '../../core/index.js';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { ServiceAuth } from '../../service-auth.js';
import type { ClientSigner } from '../messages/message-subject.js';
import { missingServiceAuth } from '../missing-service-auth.js';
import { noteSigning, SIGNS_OTHERWISE } from '../signed-once.js';
import type { JobQueueSettings } from './signed-jobs.js';
import { isSignable, signFlows, signQueue } from './signed-queues.js';

export const JOB_QUEUES = Symbol('JOB_QUEUES');

/** A queue whose jobs are signed, and for whom. */
export interface JobQueueOptions {
  /** The name under which `BullModule.registerQueue` registered it. */
  readonly queue: string;
  /** The service whose worker takes the jobs. Default: this service itself. */
  readonly audience?: string;
  /** As that of `targets`. Default `send` where `trustDomain` is set, else `never`. */
  readonly grants?: 'send' | 'required' | 'never';
  /**
   * For how long after its delay a job is good, its retries included: 1 to 604,800 seconds (7 days). Default
   * `jobLifetimeSeconds` of the service.
   */
  readonly lifetimeSeconds?: number;
}

const OPTION_NAMES = JOB_QUEUE_OPTIONS satisfies readonly (keyof JobQueueOptions)[];

/** Makes the named queues, and all flow producers for these queues, sign when the application starts. */
@Injectable()
export class JobQueues implements OnModuleInit {
  constructor(
    @Optional() @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth | undefined,
    @Optional()
    @Inject(ServiceCallContext)
    private readonly callContext: ServiceCallContext | undefined,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * @throws ServiceAuthConfigError listing every problem, each as `queues[n].field: what to write`
   * @throws ServiceAuthUsageError where no ServiceAuthModule is imported
   * @throws ServiceSigningError `sending_disabled` where the service has no key
   */
  onModuleInit(): void {
    const { serviceAuth, callContext } = this;
    if (!serviceAuth || !callContext) throw missingServiceAuth('ServiceJobsModule');
    const signer = { serviceAuth, callContext };
    const problems = new ProblemList();
    const known = new Map<string, JobQueueSettings>();
    for (const [index, options] of this.options().entries()) {
      const reader = new OptionReader(options, OPTION_NAMES, problems.under(`queues[${index}]`));
      const settings = readSettings(reader, signer);
      const queues = this.findQueues(reader);
      for (const { name } of queues) known.set(name, settings);
      const isUnsigned = (queue: Queue) => isFirst(queue, { serviceAuth, options, reader });
      for (const queue of queues.filter(isUnsigned)) signQueue(queue, settings, signer);
    }
    problems.assertNone();
    for (const producer of this.flowProducers()) signFlows(producer, known, signer);
  }

  private options(): readonly JobQueueOptions[] {
    return this.moduleRef.get<readonly JobQueueOptions[]>(JOB_QUEUES);
  }

  /** Each instance: two modules may register one queue with different options. */
  private findQueues(reader: OptionReader): readonly Queue[] {
    const name = reader.raw('queue');
    try {
      const token = getQueueToken(name as string);
      const queues = this.moduleRef.get<Queue>(token, { strict: false, each: true });
      if (queues.every(isSignable)) return queues;
      reader.report('queue', 'is no queue of BullMQ 6');
    } catch {
      const what = `register it with BullModule.registerQueue: ${shown(String(name))} is no queue of this application`;
      reader.report('queue', what);
    }
    return [];
  }

  private flowProducers(): Set<FlowProducer> {
    const modules = this.moduleRef.get(ModulesContainer, { strict: false });
    const instances = [...modules.values()].flatMap(({ providers }) =>
      [...providers.values()].map(({ instance }): unknown => instance),
    );
    const isProducer = (it: unknown): it is FlowProducer => it instanceof FlowProducer;
    return new Set(instances.filter(isProducer));
  }
}

interface Entry {
  readonly serviceAuth: ServiceAuth;
  readonly options: JobQueueOptions;
  readonly reader: OptionReader;
}

/** Whether no other entry makes this queue sign. Reports one that signs otherwise. */
function isFirst(queue: Queue, { reader, ...by }: Entry): boolean {
  const noted = noteSigning(queue, by);
  if (noted === 'other') reader.report('queue', SIGNS_OTHERWISE);
  return noted === 'first';
}

function readSettings(reader: OptionReader, { serviceAuth }: ClientSigner): JobQueueSettings {
  const { issuer } = serviceAuth.settings;
  return readQueueTarget(reader, { issuer, ...serviceAuth.sending });
}
