import { setTimeout as sleep } from 'node:timers/promises';
import { ConflictException } from '@nestjs/common';
import type { SentRequest } from '../../story/http-client.js';
import type { Replica } from '../../story/service-processes.js';
import type { Stage } from '../../story/story.js';
import { exchange } from '../exchange.js';
import type { Forger } from '../forger.js';
import { outcomeOf, type SwitchResult } from './outcome.js';

const LOOK_EVERY_MILLISECONDS = 300;
const MOST_LOOKS = 200;

export interface ShownReplica {
  /** Where the second process listens. */
  readonly url: string;
  /** Whether it shares its memory of used tokens with the first process. */
  readonly isShared: boolean;
}

/** A second process of Census, with or without the memory of the first. */
export class ReplicaSwitch {
  private running: (ShownReplica & { readonly replica: Replica }) | undefined;

  constructor(
    private readonly stage: Stage,
    private readonly forger: Forger,
  ) {}

  get shown(): ShownReplica | null {
    if (!this.running) return null;
    const { url, isShared } = this.running;
    return { url, isShared };
  }

  async start(isShared: boolean): Promise<SwitchResult> {
    await this.running?.replica.stop();
    this.running = undefined;
    const variables = isShared ? {} : { REPLAY_MEMORY_URL: '' };
    const replica = await this.stage.services.startReplica('census', variables);
    this.running = { replica, url: replica.url, isShared };
    await this.untilReady(replica.url);
    return await this.sendTwice(replica.url, isShared);
  }

  async stop(): Promise<SwitchResult> {
    await this.running?.replica.stop();
    this.running = undefined;
    return { told: 'The second process has ended.', outcomes: [] };
  }

  private async sendTwice(url: string, isShared: boolean): Promise<SwitchResult> {
    const request = await this.forger.heraldForOperator();
    const first = outcomeOf('To the first process', await exchange(request));
    const same = await exchange(sentTo(request, url));
    const second = isShared
      ? outcomeOf('The same request, to the second process', same)
      : outcomeOf('The same request, to the second process', same, ALONE);
    const isTwice = second.tone === 'good';
    const memory = isShared ? 'share one memory of used tokens' : 'remember used tokens alone';
    return {
      told: `Two processes of Census ${memory}.`,
      outcomes: [first, isTwice ? { ...second, tone: 'warning' } : second],
    };
  }

  /** It fetches the keys of Herald and Edge when it has started. */
  private async untilReady(url: string): Promise<void> {
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      const { answer } = await exchange(sentTo(await this.forger.heraldForOperator(), url));
      if (answer?.status === 200) return;
      await sleep(LOOK_EVERY_MILLISECONDS, undefined, { ref: false });
    }
    throw new ConflictException('The second Census cannot fetch the keys of Herald and Edge.');
  }
}

const ALONE =
  'Accepted a second time: this process has never seen the token. With several processes, configure a shared replayStore, such as Redis.';

function sentTo(request: SentRequest, baseUrl: string): SentRequest {
  const { pathname } = new URL(request.url);
  return { ...request, url: new URL(pathname, baseUrl).href };
}
