/** The member of a job's options that holds its token. BullMQ stores members that it does not know. */
export const JOB_TOKEN = 'serviceAuth';

/** What `opts.serviceAuth` of a job holds once it is queued. */
export interface JobToken {
  readonly JWT: string;
  readonly 'Txn-Token'?: string;
}

/** What `opts.serviceAuth` of a job may say when it is queued. The token takes its place. */
export interface JobAuthOptions {
  /**
   * For how long after its delay the job is good, in seconds: 1 to 604,800 (7 days). Default: that of its queue. The
   * parent of a flow waits for its children, so it may need more.
   */
  readonly lifetimeSeconds?: number;
}

/** What `opts.serviceAuth` holds; undefined where it is missing. */
export function tokenMemberOf(opts: object | undefined): unknown {
  return opts && Reflect.get(opts, JOB_TOKEN);
}
