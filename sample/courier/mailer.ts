import { Inject, Injectable } from '@nestjs/common';
import { createTransport } from 'nodemailer';
import { SetupError } from '../setup/environment.js';
import type { Recipient } from './recipient.client.js';

export const SMTP_URL = Symbol('SMTP_URL');

/** Sends e-mail by SMTP. */
@Injectable()
export class Mailer {
  private readonly transport: ReturnType<typeof createTransport>;

  constructor(@Inject(SMTP_URL) smtpUrl: string | null) {
    if (!smtpUrl) throw new SetupError('SMTP_URL is not set: write smtp://host:port.');
    this.transport = createTransport(smtpUrl);
  }

  /**
   * @param id the same one each time that this mail is written
   * @throws Error when the mail server does not take the message
   */
  async welcome(id: string, { uri, name, email }: Recipient): Promise<void> {
    await this.transport.sendMail({
      messageId: `<${id}@herald.service>`,
      from: { name: 'Herald', address: 'herald@herald.service' },
      to: { name, address: email },
      subject: `Welcome, ${name}`,
      text: `Hello ${name},\n\nwelcome! This is your page:\n${uri}\n`,
    });
  }
}
