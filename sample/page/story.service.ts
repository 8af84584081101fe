import { Inject, Injectable } from '@nestjs/common';
import type { Answer } from '../story/http-client.js';
import type { ReceivedMail } from '../story/mailbox.js';
import { idOf, logIn, type Stage, welcome } from '../story/story.js';
import { isConnectionLost } from './exchange.js';
import { HopRecorder } from './hop-recorder.js';
import { STAGE } from './stage.token.js';
import { type Step, toSteps } from './steps.js';
import { Turnstile } from './turnstile.js';

export interface StoryResult {
  readonly steps: readonly Step[];
  /** What Edge answers to the browser; undefined: Edge is stopped. */
  readonly status: number | undefined;
}

/** Plays the story of the terminal again, and returns what the services report as the arrows of a diagram. */
@Injectable()
export class StoryService {
  private readonly recorder: HopRecorder;

  constructor(
    @Inject(STAGE) private readonly stage: Stage,
    @Inject(Turnstile) private readonly turnstile: Turnstile,
  ) {
    this.recorder = new HopRecorder(stage);
  }

  /** @param as the URI of the user who logs in, and has user 42 welcomed */
  async play(as: string): Promise<StoryResult> {
    return await this.turnstile.pass(async () => await this.playAlone(as));
  }

  private async playAlone(as: string): Promise<StoryResult> {
    const { result, hops } = await this.recorder.record(async () => {
      const answer = await this.call(as);
      return { answer, mail: await this.mailOf(answer) };
    });
    const { answer, mail } = result;
    const hasMail = answer?.status === 201;
    return { steps: toSteps({ hops, answer, hasMail, mail }), status: answer?.status };
  }

  /** Waits for the mail of a call, unless the courier is down. */
  private async mailOf(answer: Answer | undefined): Promise<ReceivedMail | undefined> {
    if (answer?.status !== 201 || !this.isCourierThere()) return undefined;
    return await this.stage.mailbox?.mailWithId(idOf(answer));
  }

  private isCourierThere(): boolean {
    const courier = this.stage.services.statuses().find(({ name }) => name === 'courier');
    return courier?.state === 'up' || courier?.state === 'starting';
  }

  private async call(as: string): Promise<Answer | undefined> {
    const { environment } = this.stage;
    try {
      return await welcome(environment, await logIn(environment, as));
    } catch (error) {
      if (isConnectionLost(error)) return undefined;
      throw error;
    }
  }
}
