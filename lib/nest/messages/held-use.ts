import {
  isLeasing,
  type LeasingReplayStore,
  ServiceAuthUsageError,
  tell,
  type VerifiedMessage,
} from '../../core/index.js';
import { reserveUse } from '../../replay/leased-use.js';
import type { ServiceAuth } from '../../service-auth.js';

/** What has to happen when the handler of a delivery ends. */
export interface DeliveryClaim {
  /** The handler has ended well: records that. */
  commit(): Promise<void>;
  /** The handler has failed: the message may be handled again. */
  release(): Promise<void>;
}

/** How the use of a message is held while its handler runs. */
export interface Holding {
  readonly serviceAuth: ServiceAuth;
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
  { serviceAuth, route, leaseMilliseconds, waitMilliseconds }: Holding,
): Promise<DeliveryClaim | 'busy' | 'seen'> {
  const { now, monotonicNow, observer } = serviceAuth.settings;
  const store = leasingStoreOf(serviceAuth);
  const mayRenewUntilSeconds = expiresAtSeconds + serviceAuth.receiving.clockToleranceSeconds;
  const times = { leaseMilliseconds, mayRenewUntilSeconds, waitMilliseconds };
  const held = await reserveUse(store, use, { ...times, now, monotonicNow });
  if (held === 'busy' || held === 'seen') return held;
  return {
    commit: async () => {
      if ((await held.commit()) === 'lost') tell(observer, { type: 'lease_lost', issuer, route });
    },
    release: async () => await held.release(),
  };
}

function leasingStoreOf({ receiving: { replayStore } }: ServiceAuth): LeasingReplayStore {
  if (isLeasing(replayStore)) return replayStore;
  throw new ServiceAuthUsageError(
    'The replayStore has no reserve(): events and jobs that a broker delivers again need MemoryReplayStore, RedisReplayStore, or a store with the methods of LeasingReplayStore.',
  );
}
