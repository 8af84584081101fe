import { isUserUri } from './services.js';

/** The queue of BullMQ, and the name of its jobs. */
export const MAIL_QUEUE = 'mail';
export const MAIL_JOB = 'welcome';

/** The pattern of the message, where mails are handed over by TCP. */
export const MAIL_PATTERN = 'mail.send';

/** A mail may wait for an hour. After that the grant of its user is over, and Census gives no address. */
export const MAIL_LIFETIME_SECONDS = 3600;

const ID = /^[0-9a-f-]{36}$/;

/** What Herald queues and the courier sends. It has no address: the courier asks Census for that. */
export interface MailOrder {
  /** That of the notification. The mail has it in its Message-ID, so a mail server sees that a copy is a copy. */
  readonly id: string;
  /** The URI of the census user to write to. */
  readonly user: string;
}

/** What became of a mail. `refused`: Census does not give the address to this user, or there is no such user. */
export type MailOutcome = 'sent' | 'refused';

/** @throws TypeError for something that is no order */
export function readMailOrder(data: unknown): MailOrder {
  const { id, user } = Object(data) as Record<string, unknown>;
  if (typeof id === 'string' && ID.test(id) && isUserUri(user)) return { id, user };
  throw new TypeError('This is no order of a mail.');
}
