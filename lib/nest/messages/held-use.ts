import type { LeasingReplayStore, TokenUse } from '../../core/index.js';
import type { LeasedUse } from '../../replay/leased-use.js';
import type { DeliveryClaim } from './message-delivery.js';

/** What the reservation of a delivery was made with. */
interface Reserved {
  readonly store: LeasingReplayStore;
  readonly use: TokenUse;
  /** In milliseconds since the epoch. */
  readonly now: () => number;
  /** To be called where another delivery may have run the handler meanwhile. */
  readonly lost: () => void;
}

/** A reservation that ends once. */
export class HeldUse implements DeliveryClaim {
  private releasing: Promise<void> | undefined;
  private committing: Promise<void> | undefined;

  constructor(
    private readonly held: LeasedUse,
    private readonly reserved: Reserved,
  ) {}

  async commit(): Promise<void> {
    await (this.committing ??= this.releasing ? this.record() : this.writeDone());
  }

  async release(): Promise<void> {
    await (this.releasing ??= this.held.release());
  }

  private async writeDone(): Promise<void> {
    if ((await this.held.commit()) === 'lost') this.reserved.lost();
  }

  /** The handler failed, and the message was acknowledged nevertheless: nobody delivers it again. */
  private async record(): Promise<void> {
    const { store, use, now } = this.reserved;
    await this.releasing;
    try {
      await store.recordUse({ ...use, nowSeconds: now() / 1000 });
    } catch {
      // The store reports its failures itself.
    }
  }
}

/** Of several services whose guards stand before one handler, each has a reservation. */
export function together(one: DeliveryClaim | undefined, other: DeliveryClaim): DeliveryClaim {
  if (!one) return other;
  return {
    commit: async () => void (await Promise.all([one.commit(), other.commit()])),
    release: async () => void (await Promise.all([one.release(), other.release()])),
  };
}
