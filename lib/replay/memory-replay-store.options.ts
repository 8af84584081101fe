import { OptionReader } from '../core/index.js';

/** What a `MemoryReplayStore` is made with. */
export interface MemoryReplayStoreOptions {
  /** The most live uses that are remembered; beyond it requests are refused with 503. Default 1,000,000. */
  maxEntries?: number;
  /**
   * How much of that one issuer may take. `half-of-free`: as many places as it leaves free, so that it is refused
   * before the others are. `all`: every place, for a service with one caller. Default `half-of-free`.
   */
  issuerShare?: 'half-of-free' | 'all';
  /**
   * What the store does with tokens that were issued before the store was made, and may have been used before a
   * restart. `refuse` counts them as used, and those that do not say when they were issued. Default `accept`.
   */
  issuedBeforeStart?: 'accept' | 'refuse';
  /** A clock that never steps, in milliseconds. Default `performance.now`. */
  monotonicNow?: () => number;
}

const OPTION_NAMES = [
  'maxEntries',
  'issuerShare',
  'issuedBeforeStart',
  'monotonicNow',
] as const satisfies (keyof MemoryReplayStoreOptions)[];

export interface MemoryReplayStoreSettings {
  readonly maxEntries: number;
  readonly sharesFairly: boolean;
  readonly refusesIssuedBeforeStart: boolean;
  readonly monotonicNow: () => number;
}

/** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
export function readMemoryReplayStoreOptions(
  options: MemoryReplayStoreOptions,
): MemoryReplayStoreSettings {
  const reader = new OptionReader(options, OPTION_NAMES);
  const maxEntries = reader.integer('maxEntries', { from: 1, fallback: 1_000_000 });
  const share = reader.word('issuerShare', ['half-of-free', 'all'], 'half-of-free');
  const before = reader.word('issuedBeforeStart', ['accept', 'refuse'], 'accept');
  const monotonicNow = reader.monotonicClock('monotonicNow');
  reader.problems.assertNone();
  return Object.freeze({
    maxEntries,
    sharesFairly: share === 'half-of-free',
    refusesIssuedBeforeStart: before === 'refuse',
    monotonicNow,
  });
}
