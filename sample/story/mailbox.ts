import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** The message as it arrived, headers and all. */
  readonly message: string;
}

/** A mail server of our own on a free port of the loopback interface: it takes every message and delivers none. */
export interface Mailbox {
  readonly url: string;
  readonly received: readonly ReceivedMail[];
  /** Waits for a mail beyond the first `count`. @throws when none comes */
  mailAfter(count: number): Promise<ReceivedMail>;
  close(): Promise<void>;
}

const PATIENCE_MILLISECONDS = 10_000;

export async function startMailbox(): Promise<Mailbox> {
  const received: ReceivedMail[] = [];
  const events = new EventEmitter();
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    closeTimeout: 1,
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('error', done);
      stream.once('end', () => {
        received.push(toMail(session, Buffer.concat(chunks).toString()));
        events.emit('mail');
        done();
      });
    },
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  server.on('error', () => {}); // Of a client that went away; its message did not arrive.
  const { port } = server.server.address() as AddressInfo;
  return {
    url: `smtp://127.0.0.1:${port}`,
    received,
    mailAfter: async (count) => {
      const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
      for (;;) {
        const mail = received[count];
        if (mail) return mail;
        await once(events, 'mail', { signal });
      }
    },
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
    message,
  };
}
