import { SERVICE_URIS } from '../../setup/services.js';
import type { Stage } from '../../story/story.js';
import { exchange } from '../exchange.js';
import type { Forger } from '../forger.js';
import { outcomeOf, type SwitchResult } from './outcome.js';

/** Census asks again after 1, 2, 4 and more seconds, and at last every 30 to 36. A busy machine takes longer. */
const FETCH_PATIENCE_MILLISECONDS = 120_000;

/** Herald's keys: served, or out of reach. */
export class KeyServerSwitch {
  private isOff = false;

  constructor(
    private readonly stage: Stage,
    private readonly forger: Forger,
  ) {
    // A new process of Herald serves its keys.
    stage.services.onChange(({ name, replica, state }) => {
      if (name === 'herald' && replica === 1 && state !== 'up') this.isOff = false;
    });
  }

  get position(): 'on' | 'off' {
    return this.isOff ? 'off' : 'on';
  }

  async turnOff(): Promise<SwitchResult> {
    this.turn(true);
    const reason =
      'Census remembers the keys, and goes on with them: a day by default (maxStaleSeconds). A key server that is down stops nobody.';
    return await this.result('Nobody can fetch Herald’s keys any more.', reason);
  }

  /** A restart takes the known keys away. */
  async restartCensus(): Promise<SwitchResult> {
    await this.stage.services.restart('census');
    if (!this.isOff) await this.untilCensusKnows();
    return await this.result('Census has started again, and has forgotten all keys.');
  }

  async turnOn(): Promise<SwitchResult> {
    this.turn(false);
    await this.untilCensusKnows();
    return await this.result('Herald’s keys can be fetched again, and Census has them.');
  }

  private turn(isOff: boolean): void {
    this.isOff = isOff;
    this.stage.services.tell('herald', { kind: 'key-server', isOff });
  }

  private async untilCensusKnows(): Promise<void> {
    await this.stage.services.untilKeys(
      'census',
      (keys) => (keys[SERVICE_URIS.herald] ?? []).length > 0,
      FETCH_PATIENCE_MILLISECONDS,
    );
  }

  private async result(told: string, reason?: string): Promise<SwitchResult> {
    const sent = await exchange(await this.forger.heraldForOperator());
    return { told, outcomes: [outcomeOf('The next call of Herald to Census', sent, reason)] };
  }
}
