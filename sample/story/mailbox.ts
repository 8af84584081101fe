import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import { Gate, type Held } from './gate.js';

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** What is before the @ of its Message-ID: the id of a notification. */
  readonly id: string;
  /** The message as it arrived, headers and all. */
  readonly message: string;
}

/**
 * A moment in the life of a mail. `begun`: sender and recipient are known, and the text is not. `taken`: the mail has
 * arrived, and its courier does not know that yet.
 */
export type MailMoment = 'begun' | 'taken';

/** A mail server of our own on a free port of the loopback interface: it takes every message and delivers none. */
export interface Mailbox {
  readonly url: string;
  /** Each mail once: a second one with its Message-ID is a copy. */
  readonly received: readonly ReceivedMail[];
  readonly copies: readonly ReceivedMail[];
  /** Waits for a mail beyond the first `count`. @throws when none comes */
  mailAfter(count: number): Promise<ReceivedMail>;
  /** Waits for a mail with this id. @throws when it does not come */
  mailWithId(id: string): Promise<ReceivedMail>;
  /** Waits until a mail with this id has arrived so many times. @throws when it does not */
  untilArrived(id: string, times: number): Promise<void>;
  /** Calls the listener with each mail that arrives from now on, copies too. */
  onMail(listener: (mail: ReceivedMail) => void): void;
  /** Stops the next mail at a moment. */
  hold(moment: MailMoment): Held;
  close(): Promise<void>;
}

/** Generous: a courier that was killed comes back, and a busy machine is no failure. */
const PATIENCE_MILLISECONDS = 60_000;
const MESSAGE_ID = /^Message-ID: <([^@>]*)@/im;

/** @param port default: any free one */
export async function startMailbox(port = 0): Promise<Mailbox> {
  const received: ReceivedMail[] = [];
  const copies: ReceivedMail[] = [];
  const events = new EventEmitter().setMaxListeners(0); // One for each mail that is waited for.
  const gates = { begun: new Gate(), taken: new Gate() };
  const keep = (mail: ReceivedMail): void => {
    const isCopy = received.some(({ id }) => id !== '' && id === mail.id);
    (isCopy ? copies : received).push(mail);
    events.emit('mail', mail);
  };
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    closeTimeout: 1,
    onRcptTo: (_address, _session, done) => void gates.begun.pass(done),
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('error', done);
      stream.once('end', () => {
        keep(toMail(session, Buffer.concat(chunks).toString()));
        void gates.taken.pass(done);
      });
    },
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  server.on('error', () => {}); // Of a client that went away; its message did not arrive.
  const address = server.server.address() as AddressInfo;
  const until = async (find: () => ReceivedMail | undefined): Promise<ReceivedMail> => {
    const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
    for (;;) {
      const mail = find();
      if (mail) return mail;
      await once(events, 'mail', { signal });
    }
  };
  return {
    url: `smtp://127.0.0.1:${address.port}`,
    received,
    copies,
    mailAfter: async (count) => await until(() => received[count]),
    mailWithId: async (id) => await until(() => received.find((mail) => mail.id === id)),
    untilArrived: async (id, times) => {
      await until(() => [...received, ...copies].filter((mail) => mail.id === id)[times - 1]);
    },
    onMail: (listener) => void events.on('mail', listener),
    hold: (moment) => gates[moment].hold(),
    close: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

function toMail({ envelope }: SMTPServerSession, message: string): ReceivedMail {
  const { mailFrom, rcptTo } = envelope;
  return {
    from: mailFrom ? mailFrom.address : '',
    to: rcptTo.map(({ address }) => address),
    id: MESSAGE_ID.exec(message)?.[1] ?? '',
    message,
  };
}
