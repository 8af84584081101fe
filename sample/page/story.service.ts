import { Inject, Injectable } from '@nestjs/common';
import type { Answer } from '../story/http-client.js';
import { logIn, type Stage, welcome } from '../story/story.js';
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
    const { mailbox } = this.stage;
    const mailsBefore = mailbox?.received.length ?? 0;
    const { result: answer, hops } = await this.recorder.record(async () => await this.call(as));
    const hasMail = answer?.status === 201;
    const mail = hasMail ? await mailbox?.mailAfter(mailsBefore) : undefined;
    return { steps: toSteps({ hops, answer, hasMail, mail }), status: answer?.status };
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
