import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientProxy } from '@nestjs/microservices';
import { onBehalfOf, type ServiceIdentity } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/microservices';
import { lastValueFrom, timeout } from 'rxjs';
import { MAIL_LIFETIME_SECONDS, MAIL_PATTERN, type MailOrder } from '../setup/mail-order.js';
import { MailQueue } from './mail-queue.js';

/** The client of TCP that signs. */
export const COURIER = Symbol('COURIER');

const MOST_AT_ONCE = 5;
const ANSWER_MILLISECONDS = 30_000;
const SHORTEST_PAUSE_MILLISECONDS = 100;
const LONGEST_PAUSE_MILLISECONDS = 2000;

interface WaitingMail {
  readonly mail: MailOrder;
  readonly caller: ServiceIdentity;
  /** On the clock of `performance`. */
  readonly giveUpAt: number;
}

/**
 * Mails wait in the memory of Herald. A mail leaves it when the courier has answered, and the answer is signed: a crash of
 * the courier loses none. A crash of Herald loses those that wait.
 */
@Injectable()
export class MemoryMailQueue extends MailQueue implements OnApplicationShutdown {
  private readonly logger = new Logger(MemoryMailQueue.name);
  private readonly waiting: WaitingMail[] = [];
  private readonly stopping = new AbortController();
  private underWay = 0;

  constructor(@Inject(COURIER) private readonly courier: ClientProxy) {
    super();
  }

  async add(mail: MailOrder, caller: ServiceIdentity): Promise<void> {
    const giveUpAt = performance.now() + MAIL_LIFETIME_SECONDS * 1000;
    this.waiting.push({ mail, caller, giveUpAt });
    await Promise.resolve(this.handOver());
  }

  onApplicationShutdown(): void {
    this.stopping.abort();
    const lost = this.waiting.length + this.underWay;
    if (lost > 0) this.logger.error(`Mails that are lost with the memory of Herald: ${lost}.`);
  }

  private handOver(): void {
    while (this.underWay < MOST_AT_ONCE) {
      const next = this.waiting.shift();
      if (!next) return;
      this.underWay += 1;
      void this.deliver(next);
    }
  }

  /** Tries until the courier has answered, and hands over the next mail then. */
  private async deliver(waiting: WaitingMail): Promise<void> {
    let pause = SHORTEST_PAUSE_MILLISECONDS;
    for (let attempt = 1; !(await this.isOver(waiting, attempt)); attempt += 1) {
      await sleep(pause, undefined, { ref: false, signal: this.stopping.signal }).catch(() => {});
      if (this.stopping.signal.aborted) return;
      pause = Math.min(2 * pause, LONGEST_PAUSE_MILLISECONDS);
    }
    this.underWay -= 1;
    this.handOver();
  }

  /** Hands a mail over once. @returns whether there is nothing more to try */
  private async isOver({ mail, caller, giveUpAt }: WaitingMail, attempt: number): Promise<boolean> {
    const message = serviceMessage(mail, onBehalfOf(caller));
    try {
      const answer = this.courier.send<unknown>(MAIL_PATTERN, message);
      await lastValueFrom(answer.pipe(timeout(ANSWER_MILLISECONDS)));
      return true;
    } catch (error) {
      const isLate = performance.now() > giveUpAt;
      const next = isLate ? 'Gave it up after an hour.' : 'Herald tries until it has, for an hour.';
      const told = `The courier has not sent mail ${mail.id} (${String(error)}). ${next}`;
      if (attempt === 1 || isLate) this.logger.warn(told);
      return isLate;
    }
  }
}
