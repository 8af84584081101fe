import { type Answer, describe } from './http-client.js';

const INTERVAL_MILLISECONDS = 50;

/** The same request again and again, 20 times a second, whatever becomes of the ones before. */
export class Traffic {
  private readonly underWay = new Set<Promise<void>>();
  private readonly failures: string[] = [];
  private started = 0;
  // Unreferenced: when everything else has been stopped it keeps no process alive.
  private readonly timer = setInterval(() => this.sendOne(), INTERVAL_MILLISECONDS).unref();

  constructor(
    private readonly request: () => Promise<Answer>,
    private readonly expectedStatus: number,
  ) {}

  get sent(): number {
    return this.started;
  }

  /** What each of the others got instead of the expected status. */
  get failed(): readonly string[] {
    return this.failures;
  }

  /** Sends no more, and waits for the answers that are still to come. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.underWay);
  }

  private sendOne(): void {
    this.started++;
    const exchange = this.answerOf().finally(() => this.underWay.delete(exchange));
    this.underWay.add(exchange);
  }

  private async answerOf(): Promise<void> {
    try {
      const answer = await this.request();
      if (answer.status !== this.expectedStatus) this.failures.push(describe(answer));
    } catch (error) {
      this.failures.push(error instanceof Error ? error.message : String(error));
    }
  }
}
