import type { FlowOpts, FlowProducer, Queue } from 'bullmq';
import { createSlot } from '../../core/index.js';
import type { ClientSigner } from '../messages/message-subject.js';
import { type JobQueueSettings, SignedJobs } from './signed-jobs.js';

interface BulkJob {
  readonly name: string;
  readonly data: unknown;
  readonly opts?: object;
}

type AddJob = (name: string, data: unknown, opts?: object) => Promise<unknown>;
type AddBulk = (jobs: readonly BulkJob[]) => Promise<unknown>;
type UpsertScheduler = (
  id: string,
  repeat: object,
  template?: Partial<BulkJob>,
) => Promise<unknown>;

/** What of a `Queue` is replaced. `add` calls `addJob`. */
interface QueueMethods {
  addJob: AddJob;
  addBulk: AddBulk;
  upsertJobScheduler: UpsertScheduler;
}

/** The queues whose jobs a flow producer signs, by name. */
const SIGNED_FLOWS = createSlot<Map<string, SignedJobs>>();

/** Whether this version of BullMQ has the methods that {@link signQueue} replaces. */
export function isSignable(queue: object): boolean {
  return ['addJob', 'addBulk', 'upsertJobScheduler'].every(
    (name) => typeof Reflect.get(queue, name) === 'function',
  );
}

/** Makes a queue sign the jobs that it adds, in place: each class that has it injected has the signing one. Once. */
export function signQueue(queue: Queue, settings: JobQueueSettings, signer: ClientSigner): void {
  const jobs = new SignedJobs(settings, signer);
  const methods = queue as unknown as QueueMethods;
  const addJob = methods.addJob.bind(queue);
  const addBulk = methods.addBulk.bind(queue);
  const upsert = methods.upsertJobScheduler.bind(queue);
  const draftOf = ({ name, data, opts }: BulkJob) => ({
    ...identityOf(queue),
    name,
    data,
    opts,
    defaults: queue.defaultJobOptions,
  });
  methods.addJob = async (name, data, opts) => {
    const signed = await jobs.sign(draftOf({ name, data, opts }));
    return await addJob(name, signed.data, signed.opts);
  };
  methods.addBulk = async (given) => {
    const signed = await Promise.all(
      given.map(async (job) => ({ name: job.name, ...(await jobs.sign(draftOf(job))) })),
    );
    return await addBulk(signed);
  };
  methods.upsertJobScheduler = async (id, repeat, template) => {
    const { data, opts } = jobs.template({ data: template?.data, opts: template?.opts });
    return await upsert(id, repeat, template && { ...template, data, opts });
  };
}

/** As a `Job` reads its own from the qualified name, `<prefix>:<queue>`. */
function identityOf({ name, qualifiedName }: Pick<Queue, 'name' | 'qualifiedName'>) {
  return { prefix: qualifiedName.slice(0, -name.length - 1), queue: name };
}

interface FlowNode {
  readonly name: string;
  readonly queueName: string;
  readonly prefix?: string;
  readonly data?: unknown;
  readonly opts?: object;
  readonly children?: readonly FlowNode[];
}

/** What of a `FlowProducer` is replaced. */
interface FlowMethods {
  add(flow: FlowNode, opts?: FlowOpts): Promise<unknown>;
  addBulk(flows: readonly FlowNode[]): Promise<unknown>;
}

/**
 * Makes a flow producer sign the jobs that it adds to the named queues, in place. Jobs of other queues are added as they
 * are. Called again, it signs for more queues: a job that was signed twice would lose the user that its data names.
 */
export function signFlows(
  producer: FlowProducer,
  queues: ReadonlyMap<string, JobQueueSettings>,
  signer: ClientSigner,
): void {
  const known = SIGNED_FLOWS.get(producer);
  const jobs = known ?? new Map<string, SignedJobs>();
  for (const [name, settings] of queues) {
    if (!jobs.has(name)) jobs.set(name, new SignedJobs(settings, signer));
  }
  if (known) return;
  SIGNED_FLOWS.set(producer, jobs);
  const nodes = new SignedNodes(producer, jobs);
  const methods = producer as unknown as FlowMethods;
  const add = methods.add.bind(producer);
  const addBulk = methods.addBulk.bind(producer);
  methods.add = async (flow, opts) => await add(await nodes.sign(flow, opts), opts);
  methods.addBulk = async (flows) =>
    await addBulk(await Promise.all(flows.map(async (flow) => await nodes.sign(flow))));
}

class SignedNodes {
  constructor(
    private readonly producer: FlowProducer,
    private readonly jobs: ReadonlyMap<string, SignedJobs>,
  ) {}

  /** Reads the whole tree at once, before anything of it waits for its signature. */
  async sign(node: FlowNode, options?: FlowOpts): Promise<FlowNode> {
    const [signed, children] = await Promise.all([
      this.signOne(node, options),
      node.children && Promise.all(node.children.map((child) => this.sign(child, options))),
    ]);
    return children === undefined ? signed : { ...signed, children };
  }

  private async signOne(node: FlowNode, options: FlowOpts | undefined): Promise<FlowNode> {
    const { name, queueName, data, opts } = node;
    const jobs = this.jobs.get(queueName);
    if (!jobs) return node;
    const { queuesOptions }: Partial<FlowOpts> = options ?? {};
    const defaults = queuesOptions?.[queueName]?.defaultJobOptions;
    const draft = { ...this.identityOf(node), name, data, opts, defaults };
    return { ...node, ...(await jobs.sign(draft)) };
  }

  /** The qualified name is made by the producer's backend, as it does when the job is added. */
  private identityOf({ queueName, prefix }: FlowNode) {
    const backend = this.producer
      .getBackend()
      .forQueue(queueName, prefix || this.producer.opts.prefix);
    return identityOf({ name: queueName, qualifiedName: backend.qualifiedName });
  }
}
