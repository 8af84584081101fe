import { Inject, Injectable, Logger } from '@nestjs/common';
import type { ServiceIdentity } from 'nestjs-service-auth';
import type { MailOrder, MailOutcome } from '../setup/mail-order.js';
import { Mailer } from './mailer.js';
import { RecipientClient } from './recipient.client.js';

const MOST_KNOWN = 1000;

/** Sends each mail once, as long as this process lives. After a crash its Message-ID says that a copy is a copy. */
@Injectable()
export class MailService {
  private readonly logger = new Logger(MailService.name);
  private readonly known = new Map<string, Promise<MailOutcome>>();

  constructor(
    @Inject(RecipientClient) private readonly recipients: RecipientClient,
    @Inject(Mailer) private readonly mailer: Mailer,
  ) {}

  /**
   * @param caller whose user has the mail sent
   * @returns what became of it: of an order that comes again what became of the first
   * @throws Error where it cannot be sent now. It may be tried again
   */
  async send(mail: MailOrder, caller: ServiceIdentity): Promise<MailOutcome> {
    const outcome = this.known.get(mail.id) ?? this.sendFirst(mail, caller);
    this.known.set(mail.id, outcome);
    const [oldest] = this.known.keys();
    if (this.known.size > MOST_KNOWN && oldest !== undefined) this.known.delete(oldest);
    try {
      return await outcome;
    } catch (error) {
      this.known.delete(mail.id);
      throw error;
    }
  }

  private async sendFirst({ id, user }: MailOrder, caller: ServiceIdentity): Promise<MailOutcome> {
    const recipient = await this.recipients.find(user, caller);
    if (!recipient) {
      this.logger.warn(`Did not send mail ${id}: Census gives its address to nobody, or not now.`);
      return 'refused';
    }
    await this.mailer.welcome(id, recipient);
    return 'sent';
  }
}
