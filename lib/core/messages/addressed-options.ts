import type { OptionReader } from '../option-reader.js';
import type { SendingSettings } from '../settings.js';
import { MAX_DELAY_SECONDS } from './message.js';
import type { MessageTarget } from './sign-message.js';

/** The options of one entry of `ServiceMessagesModule.forClients()`. */
export const MESSAGE_CLIENT_OPTIONS = [
  'client',
  'audience',
  'answers',
  'grants',
  'publicKey',
  'keys',
  'jwksUri',
  'algorithms',
] as const;

/** The options of one entry of `ServiceJobsModule.forQueues()`. */
export const JOB_QUEUE_OPTIONS = ['queue', 'audience', 'grants', 'lifetimeSeconds'] as const;

/** The options of `ServiceMessagesModule.forRoot()`. */
export const RECEPTION_OPTIONS = ['delivery', 'leaseSeconds'] as const;

/** The service that a client of a broker calls, and how. Its keys are read separately. */
export interface ClientTarget extends Omit<MessageTarget, 'audience'> {
  /** Undefined if it is wrong. */
  readonly audience: string | undefined;
  readonly answers: 'signed' | 'unsigned' | 'none';
}

/** The service that does the jobs of a queue, and how long its jobs live. */
export interface QueueTarget extends MessageTarget {
  readonly lifetimeSeconds: number;
}

/** Reads one entry of `forClients()`, and reports its problems. */
export function readClientTarget(
  reader: OptionReader,
  { trustDomain }: Pick<SendingSettings, 'trustDomain'>,
): ClientTarget {
  return {
    audience: reader.uri('audience'),
    answers: reader.word('answers', ['signed', 'unsigned', 'none'], 'signed'),
    grants: readGrants(reader, trustDomain),
  };
}

/** Reads one entry of `forQueues()`, and reports its problems. @param issuer does the jobs if no other service is named */
export function readQueueTarget(
  reader: OptionReader,
  {
    issuer,
    trustDomain,
    jobLifetimeSeconds,
  }: { readonly issuer: string } & Pick<SendingSettings, 'trustDomain' | 'jobLifetimeSeconds'>,
): QueueTarget {
  const isGiven = reader.raw('audience') !== undefined;
  return {
    audience: (isGiven ? reader.uri('audience') : undefined) ?? issuer,
    grants: readGrants(reader, trustDomain),
    lifetimeSeconds: reader.integer('lifetimeSeconds', {
      from: 1,
      to: MAX_DELAY_SECONDS,
      fallback: jobLifetimeSeconds,
    }),
  };
}

/** Reads the options of `forRoot()`, and reports their problems. */
export function readReception(reader: OptionReader) {
  return {
    delivery: reader.word('delivery', ['at-least-once', 'at-most-once'], 'at-least-once'),
    leaseSeconds: reader.integer('leaseSeconds', { from: 1, to: 3600, fallback: 30 }),
  };
}

function readGrants(
  reader: OptionReader,
  trustDomain: string | undefined,
): MessageTarget['grants'] {
  const fallback = trustDomain === undefined ? 'never' : 'send';
  return reader.word('grants', ['send', 'required', 'never'], fallback);
}
