import { ConflictException } from '@nestjs/common';
import { describe } from '../../story/http-client.js';
import type { Mailbox, MailMoment } from '../../story/mailbox.js';
import { idOf, logIn, type Stage, welcome } from '../../story/story.js';
import type { Turnstile } from '../turnstile.js';
import type { Outcome, SwitchResult } from './outcome.js';

/** What the visitor reads of the moment in which the courier is killed. */
const MOMENTS: Readonly<Record<MailMoment, string>> = {
  begun: 'The mail server knew the recipient, and no text yet.',
  taken: 'The mail server had taken the mail, and the courier had told nobody.',
};

const QUEUES = {
  memory: 'Herald keeps it in its memory until the courier gives a signed answer.',
  redis: 'It waits in BullMQ until the courier has completed the job.',
} as const;

/** The courier, killed while it writes a mail. */
export class MailSwitch {
  constructor(
    private readonly stage: Stage,
    private readonly turnstile: Turnstile,
  ) {}

  /** @throws ConflictException without a mail server of our own, and while the courier is down */
  async kill(moment: MailMoment): Promise<SwitchResult> {
    const { mailbox } = this.stage;
    if (!mailbox) throw new ConflictException('SMTP_URL is set: only our own mail server waits.');
    this.pid();
    return await this.turnstile.pass(async () => await this.play(mailbox, moment));
  }

  private async play(mailbox: Mailbox, moment: MailMoment): Promise<SwitchResult> {
    const held = mailbox.hold(moment);
    try {
      const { environment } = this.stage;
      const order = await welcome(environment, await logIn(environment));
      if (order.status !== 201) throw new ConflictException(`Edge answered ${describe(order)}.`);
      await held.reached;
      const killed = this.pid();
      await this.stage.services.kill('courier');
      held.release();
      await this.stage.services.untilState('courier', 'up');
      const back = this.pid();
      const copies = await arrival(mailbox, idOf(order), moment);
      return {
        told: `Process ${killed} was killed. The courier came back as process ${back}.`,
        outcomes: [this.queued(), killedAt(moment), arrived(copies)],
      };
    } finally {
      held.release();
    }
  }

  private queued(): Outcome {
    const { kind } = this.stage.environment.mailQueue;
    const reason = `Herald has queued the mail, and answered. ${QUEUES[kind]}`;
    return { title: 'The order', verdict: '201', tone: 'good', reason };
  }

  /** @throws ConflictException while no process runs */
  private pid(): number {
    const { pid } = this.stage.services.statuses().find(({ name }) => name === 'courier') ?? {};
    if (pid === undefined) throw new ConflictException('The courier is stopped: start it.');
    return pid;
  }
}

/** Waits for the mail. @returns how many copies of it have arrived besides */
async function arrival(mailbox: Mailbox, id: string, moment: MailMoment): Promise<number> {
  await mailbox.untilArrived(id, moment === 'taken' ? 2 : 1);
  return mailbox.copies.filter((mail) => mail.id === id).length;
}

function killedAt(moment: MailMoment): Outcome {
  return { title: 'The courier', verdict: 'killed', tone: 'bad', reason: MOMENTS[moment] };
}

function arrived(copies: number): Outcome {
  const title = 'The mail';
  if (copies === 0) {
    const reason = 'The next courier took it from the queue, and wrote it. None is lost.';
    return { title, verdict: 'arrived once', tone: 'good', reason };
  }
  return {
    title,
    verdict: `arrived ${copies + 1} times`,
    tone: 'warning',
    reason:
      'The first courier died between the effect and the acknowledgement, so the next one did it again. No queue can tell. The Message-ID is the same, so the mail server keeps one.',
  };
}
