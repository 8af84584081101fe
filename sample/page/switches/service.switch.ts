import { EventEmitter, once } from 'node:events';
import { ConflictException } from '@nestjs/common';
import type { ServiceName } from '../../setup/services.js';
import type { ServiceStatus } from '../../story/service-process.js';
import { OPERATOR, type Stage } from '../../story/story.js';
import { titleOf } from '../hop-recorder.js';
import type { StoryService } from '../story.service.js';
import { outcomeOfStory, type Outcome, type SwitchResult } from './outcome.js';

const PATIENCE_MILLISECONDS = 60_000;

/** The process of each service: stopped, killed, started. */
export class ServiceSwitch {
  private readonly changes = new EventEmitter();

  constructor(
    private readonly stage: Stage,
    private readonly stories: StoryService,
  ) {
    stage.services.onChange((status) => this.changes.emit('change', status));
  }

  async stop(name: ServiceName): Promise<SwitchResult> {
    await this.stage.services.stop(name);
    return {
      told: `${titleOf(name)} is stopped.`,
      outcomes: [await this.story('The next call')],
    };
  }

  async start(name: ServiceName): Promise<SwitchResult> {
    await this.stage.services.start(name);
    await this.untilKeys(name);
    return {
      told: `${titleOf(name)} listens again, and knows the keys of its callers.`,
      outcomes: [await this.story('The next call')],
    };
  }

  async kill(name: ServiceName): Promise<SwitchResult> {
    const pid = this.status(name)?.pid;
    if (pid === undefined) throw new ConflictException(`${titleOf(name)} is stopped: start it.`);
    const gone = this.until(name, ({ state }) => state !== 'up');
    process.kill(pid, 'SIGKILL');
    await gone;
    const meanwhile = await this.story('A call at the same moment');
    await this.until(name, ({ state }) => state === 'up' || state === 'failed');
    if (this.status(name)?.state !== 'up') {
      throw new ConflictException(
        `${titleOf(name)} was killed too often, and stays down: start it.`,
      );
    }
    await this.untilKeys(name);
    return {
      told: `Process ${pid} was killed. ${titleOf(name)} came back as process ${this.status(name)?.pid}.`,
      outcomes: [meanwhile, await this.story('A call after that')],
    };
  }

  private status(name: ServiceName): ServiceStatus | undefined {
    return this.stage.services.statuses().find((one) => one.name === name && one.replica === 1);
  }

  private async until(name: ServiceName, isSo: (status: ServiceStatus) => boolean): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
    for (;;) {
      const status = this.status(name);
      if (status && isSo(status)) return;
      await once(this.changes, 'change', { signal });
    }
  }

  /** A service that has just started fetches the keys of its callers, if these run. */
  private async untilKeys(name: ServiceName): Promise<void> {
    const isUp = (other: ServiceName): boolean => this.status(other)?.state === 'up';
    if (!(['edge', 'another', 'herald', 'courier'] as const).every(isUp)) return;
    await this.stage.services.untilKeys(
      name,
      (keys) => Object.values(keys).every((keyIds) => keyIds.length > 0),
      PATIENCE_MILLISECONDS,
    );
  }

  private async story(title: string): Promise<Outcome> {
    return outcomeOfStory(title, await this.stories.play(OPERATOR));
  }
}
