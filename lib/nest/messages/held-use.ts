import {
  isLeasing,
  type LeasingReplayStore,
  type MessageTransport,
  ServiceAuthUsageError,
  tell,
  type TokenUse,
  type VerifiedMessage,
} from '../../core/index.js';
import { type LeasedUse, reserveUse } from '../../replay/leased-use.js';
import type { ServiceAuth } from '../../service-auth.js';
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

/** If the guards of several services protect one handler, each service has a reservation. */
export function together(one: DeliveryClaim | undefined, other: DeliveryClaim): DeliveryClaim {
  if (!one) return other;
  return {
    commit: async () => void (await Promise.all([one.commit(), other.commit()])),
    release: async () => void (await Promise.all([one.release(), other.release()])),
  };
}

/** How the use of a message is held while its handler runs. */
export interface Holding {
  readonly serviceAuth: ServiceAuth;
  readonly transport: MessageTransport;
  /** The pattern or the queue of the handler, for events. */
  readonly route: string;
  readonly leaseMilliseconds: number;
  /** For how long another delivery that holds the use is waited for. */
  readonly waitMilliseconds: number;
}

/**
 * Reserves the use of a verified message for the handler that is about to run. Its end emits `lease_lost` where the
 * reservation was no longer its own.
 *
 * @returns `busy`: another delivery holds the use. `seen`: the message was handled before
 * @throws ServiceAuthUsageError for a replay store that reserves nothing
 * @throws ServiceAuthUnavailableError `replay_store_unavailable`
 */
export async function holdUse(
  { use, identity: { issuer, expiresAtSeconds = 0 } }: Pick<VerifiedMessage, 'use' | 'identity'>,
  { serviceAuth, transport, route, leaseMilliseconds, waitMilliseconds }: Holding,
): Promise<HeldUse | 'busy' | 'seen'> {
  const { now, monotonicNow, observer } = serviceAuth.settings;
  const store = leasingStoreOf(serviceAuth);
  const mayRenewUntilSeconds = expiresAtSeconds + serviceAuth.receiving.clockToleranceSeconds;
  const times = { leaseMilliseconds, mayRenewUntilSeconds, waitMilliseconds };
  const held = await reserveUse(store, use, { ...times, now, monotonicNow });
  if (held === 'busy' || held === 'seen') return held;
  const lost = (): void => tell(observer, { type: 'lease_lost', transport, issuer, route });
  return new HeldUse(held, { store, use, now, lost });
}

function leasingStoreOf({ receiving: { replayStore } }: ServiceAuth): LeasingReplayStore {
  if (isLeasing(replayStore)) return replayStore;
  throw new ServiceAuthUsageError(
    'The replayStore has no reserve(): events and jobs that a broker delivers again need MemoryReplayStore, RedisReplayStore, or a store with the methods of LeasingReplayStore.',
  );
}
