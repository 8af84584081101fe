import { DelayedError, type Job, UnrecoverableError } from 'bullmq';
import {
  type IncomingMessage,
  jobRoute,
  type RequestVerification,
  type RoutePolicy,
  ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceIdentity,
  ServiceTokenRefusedError,
} from '../../core/index.js';
import type { ServiceAuth } from '../../service-auth.js';
import { recordHeaders, signedHeaders } from '../messages/header-carrier.js';
import { holdUse } from '../messages/held-use.js';
import type { DeliveryClaim } from '../messages/message-delivery.js';
import type { CallRefusal, ReceivedCall } from '../received-call.js';
import { noteVerification, type RequestState, type Verification } from '../request-state.js';
import { JOB_TOKEN, tokenMemberOf } from './job-token.js';

/** The longest pause before a job comes again that cannot be decided now. */
const LONGEST_PAUSE_MILLISECONDS = 5000;
const SHORTEST_PAUSE_MILLISECONDS = 50;

/** Who takes a job. */
export interface JobReception {
  readonly serviceAuth: ServiceAuth;
  /** For how long the worker locks a job; the use is reserved for as long. */
  readonly lockMilliseconds: number;
}

/** One job that a worker has taken, as the guard looks at it. */
export class ReceivedJob implements ReceivedCall<IncomingMessage> {
  readonly transport = 'jobs';
  readonly state: RequestState = {};
  private readonly token: unknown;
  private isReport = false;
  private isDuplicate = false;
  private refusal: CallRefusal | undefined;
  private claim: DeliveryClaim | undefined;

  constructor(
    private readonly job: Job,
    private readonly reception: JobReception,
  ) {
    this.token = tokenMemberOf(job.opts);
  }

  /** The queue: job names may be of anybody's choosing. */
  get route(): string {
    return this.job.queueName;
  }

  get hasToken(): boolean {
    return this.token !== undefined;
  }

  /** Whether BullMQ made the job from the template of a scheduler. */
  get isScheduled(): boolean {
    return this.job.repeatJobKey !== undefined;
  }

  toVerify(): IncomingMessage {
    const { prefix, queueName, name } = this.job;
    const data: unknown = this.job.data;
    const headers = signedHeaders(recordHeaders(this.token));
    return {
      verb: 'JOB',
      route: jobRoute(prefix, queueName, name),
      headerValues: (header) => headers.get(header) ?? [],
      data,
    };
  }

  beginVerification(verifier: object, isReport: boolean): Verification {
    this.isReport = isReport;
    return noteVerification(this.state, verifier, isReport);
  }

  async prove(
    incoming: IncomingMessage,
    policy: RoutePolicy,
    verification: RequestVerification,
  ): Promise<ServiceIdentity> {
    const { transport, route } = this;
    const { serviceAuth, lockMilliseconds } = this.reception;
    // The service, for whom the use counts: two services may share a store.
    const space = `JOB ${JSON.stringify([serviceAuth.settings.issuer, incoming.route])}`;
    const verified = await verification.proveMessage(incoming, { policy, space, replay: 'leave' });
    const times = { leaseMilliseconds: lockMilliseconds, waitMilliseconds: 0 };
    const held = await holdUse(verified, { serviceAuth, transport, route, ...times });
    if (held === 'busy') throw new ServiceAuthUnavailableError('message_busy');
    if (held === 'seen') {
      this.drop(verification);
      throw new ServiceTokenRefusedError('token_replayed');
    }
    this.claim = held;
    return verified.identity;
  }

  /** Not enumerable, so that it is not in what BullMQ and loggers write of a job. */
  setUser(user: unknown): void {
    Object.defineProperty(this.job, 'user', { value: user, configurable: true });
  }

  /** From the options in memory: in the queue the token stays, for the next attempt. */
  removeToken(): void {
    Reflect.deleteProperty(this.job.opts, JOB_TOKEN);
  }

  refuse(error: CallRefusal): Error {
    this.refusal = error;
    return error;
  }

  /** What would change the signed data fails, with what to do instead. */
  protectData(): void {
    const updateData = async (): Promise<never> =>
      await Promise.reject(
        new ServiceAuthUsageError(
          'job.updateData() would change data that is signed, so that the next attempt was refused (body_mismatch). Keep progress with job.updateProgress(), or add another job for the next step.',
        ),
      );
    Object.defineProperty(this.job, 'updateData', { value: updateData, configurable: true });
  }

  /** Runs the processor: its use is done if it succeeds, and free again if it fails. */
  async run<T>(process: () => Promise<T>): Promise<T> {
    try {
      const result = await process();
      await this.claim?.commit();
      return result;
    } finally {
      // Frees nothing after a commit.
      await this.claim?.release();
    }
  }

  /**
   * Ends a job that the guard has not let in.
   *
   * @param error what the guard threw
   * @returns the result of a job that was done before
   * @throws UnrecoverableError for a refusal; DelayedError for what cannot be decided yet; any other error as it is
   */
  async settle(error: unknown): Promise<{ readonly duplicate: true }> {
    await this.claim?.release();
    const { refusal } = this;
    if (!refusal) throw error;
    if (this.isDuplicate) return { duplicate: true };
    if (refusal.status === 503 || refusal.code === 'token_not_yet_valid') await this.comeAgain();
    throw Object.assign(new UnrecoverableError(`${refusal.code}: ${refusal.message}`), {
      code: refusal.code,
      cause: refusal,
    });
  }

  /** Burns no attempt. @throws DelayedError, which the worker takes as a sign that the job has been moved */
  private async comeAgain(): Promise<never> {
    const third = this.reception.lockMilliseconds / 3;
    const longest = Math.min(third, LONGEST_PAUSE_MILLISECONDS);
    const pause = Math.max(longest, SHORTEST_PAUSE_MILLISECONDS);
    // BullMQ subtracts its own clock, that of the system.
    await this.job.moveToDelayed(new Date().getTime() + pause, this.job.token);
    throw new DelayedError();
  }

  /** While requests are only reported, nothing is dropped. */
  private drop(verification: RequestVerification): void {
    if (this.isReport) return;
    this.isDuplicate = true;
    verification.duplicate(this.transport, this.route);
  }
}
