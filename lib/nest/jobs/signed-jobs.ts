import { grantToSend } from '../../clients/signed-call.js';
import {
  jobRoute,
  MAX_DELAY_SECONDS,
  type MessageTarget,
  ServiceSigningError,
  writeMessageText,
} from '../../core/index.js';
import { type ClientSigner, readAddressed } from '../messages/message-subject.js';
import { ServiceMessage } from '../messages/service-message.js';
import { JOB_TOKEN, type JobToken, tokenMemberOf } from './job-token.js';

/** For which service the jobs of a queue are signed, and for how long. */
export interface JobQueueSettings extends MessageTarget {
  /** Undefined: `jobLifetimeSeconds` of the service. */
  readonly lifetimeSeconds: number | undefined;
}

/** A job as the application queues it. */
export interface JobDraft {
  readonly prefix: string;
  readonly queue: string;
  readonly name: string;
  readonly data: unknown;
  readonly opts: object | undefined;
  /** The options that the queue gives jobs which do not say otherwise. */
  readonly defaults: object | undefined;
}

/** Data and options as they are given to BullMQ. */
export interface SignedJob {
  readonly data: unknown;
  readonly opts: object;
}

/** Signs the jobs of one queue. */
export class SignedJobs {
  constructor(
    private readonly settings: JobQueueSettings,
    private readonly signer: ClientSigner,
  ) {}

  /**
   * Signs a job: its data as it is when this is called.
   *
   * @throws ServiceSigningError with a code of `SIGNING_FAILURES`
   */
  async sign(draft: JobDraft): Promise<SignedJob> {
    const { settings } = this;
    const { serviceAuth } = this.signer;
    try {
      const addressed = readAddressed(draft.data, this.signer);
      const text = writeMessageText(orEmpty(addressed.data));
      const caller = addressed.subject();
      const message = {
        verb: 'JOB',
        route: jobRoute(draft.prefix, draft.queue, draft.name),
        text,
        subject: caller.subject,
        grant: await grantToSend(caller, settings, serviceAuth)?.text(),
        delaySeconds: delayOf(draft),
        lifetimeSeconds: lifetimeOf(draft) ?? settings.lifetimeSeconds,
      } as const;
      const { token, data } = await serviceAuth.signMessage(message, settings);
      return { data, opts: { ...draft.opts, [JOB_TOKEN]: tokenOf(token, message.grant) } };
    } catch (error) {
      const { audience } = settings;
      const target = { audience, signing: 'required', transport: 'jobs' } as const;
      serviceAuth.noteSigningFailure(error, target);
      throw error;
    }
  }

  /**
   * The template of a scheduler, which has no token: BullMQ copies it into each job.
   *
   * @throws ServiceSigningError `message_unsignable` where a user is named, or known here. `subject_undecided` where one is
   *   lost: the jobs would run for the service itself
   */
  template({ data, opts }: Pick<JobDraft, 'data' | 'opts'>): SignedJob {
    const addressed = readAddressed(data, this.signer);
    const here = this.signer.callContext.fix();
    const isOutside = !(data instanceof ServiceMessage) && here.isOutside;
    const caller = isOutside ? undefined : addressed.subject();
    if (caller?.subject !== undefined) {
      throw new ServiceSigningError('message_unsignable', {
        detail:
          'a scheduler copies one template into all its jobs, so they have no user: call it in runActingAsItself(), with data that names none',
      });
    }
    return { data: addressed.data, opts: withoutToken(opts) };
  }
}

/** What BullMQ stores instead of no data. */
function orEmpty(data: unknown): unknown {
  return data === undefined ? {} : data;
}

function tokenOf(token: string, grant: string | undefined): JobToken {
  return grant === undefined ? { JWT: token } : { JWT: token, 'Txn-Token': grant };
}

function withoutToken(opts: object = {}): object {
  return Object.fromEntries(Object.entries(opts).filter(([name]) => name !== JOB_TOKEN));
}

/** Rounded down, so that no job is early when its delay is over. */
function delayOf({ opts, defaults }: JobDraft): number {
  const delay: unknown = Reflect.get({ ...defaults, ...opts }, 'delay');
  return delay === undefined ? 0 : Math.floor(Number(delay) / 1000);
}

/** @throws ServiceSigningError `message_unsignable` */
function lifetimeOf({ opts }: JobDraft): number | undefined {
  const member = tokenMemberOf(opts);
  const seconds: unknown = Reflect.get(Object(member) as object, 'lifetimeSeconds');
  if (seconds === undefined) return undefined;
  const isWhole = typeof seconds === 'number' && Number.isInteger(seconds);
  if (isWhole && seconds >= 1 && seconds <= MAX_DELAY_SECONDS) return seconds;
  throw new ServiceSigningError('message_unsignable', {
    detail: `opts.serviceAuth.lifetimeSeconds is no whole number from 1 to ${MAX_DELAY_SECONDS}`,
  });
}
