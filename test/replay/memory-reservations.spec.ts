import { MemoryReplayStore, ServiceAuthUnavailableError } from 'nestjs-service-auth/core';
import { isLeasing } from '../../lib/core/index.js';
import { Clocks } from '../support/clocks/clocks.js';
import { describeLeasingStore, leaseOf } from '../support/replay/leasing-store-contract.js';
import { tokenUse } from '../support/replay/token-use.js';

describeLeasingStore('MemoryReplayStore', () => {
  const clocks = new Clocks();
  return {
    store: new MemoryReplayStore({ monotonicNow: clocks.monotonicNow }),
    nowSeconds: () => clocks.wallSeconds,
    pass: (seconds) => clocks.pass(seconds),
    step: (seconds) => clocks.step(seconds),
    marginSeconds: 0,
    hasServer: false,
  };
});

describe('reservations in a MemoryReplayStore', () => {
  const clocks = new Clocks();
  const storeOf = (maxEntries: number, issuerShare: 'all' | 'half-of-free' = 'all') =>
    new MemoryReplayStore({ maxEntries, issuerShare, monotonicNow: clocks.monotonicNow });
  const use = (issuer = 'https://herald.service/') =>
    tokenUse({ issuer, nowSeconds: clocks.wallSeconds, forgetAtSeconds: clocks.wallSeconds + 900 });

  it('RF-12 take a place each, which their commit keeps', () => {
    const store = storeOf(2);
    const [one, other] = [use(), use()];
    expect(store.reserve(one, leaseOf('a'))).toBe('first');
    expect(store.reserve(other, leaseOf('b'))).toBe('first');
    expect(store.size).toBe(2);
    expect(() => store.reserve(use(), leaseOf('c'))).toThrow(ServiceAuthUnavailableError);
    expect(() => store.recordUse(use())).toThrow(ServiceAuthUnavailableError);
    expect(store.commit(one, 'a')).toBe(true);
    expect(store.size).toBe(2);
    store.release(other, 'b');
    expect(store.size).toBe(1);
    expect(store.reserve(use(), leaseOf('c'))).toBe('first');
  });

  it('RF-12 of a lost lease find no room in a full store, and are committed when there is some', () => {
    const store = storeOf(1);
    const [lost, other] = [use(), use()];
    store.reserve(lost, leaseOf('a', 1));
    clocks.pass(2);
    expect(store.reserve(other, leaseOf('b'))).toBe('first');
    expect(() => store.commit(lost, 'a')).toThrow(ServiceAuthUnavailableError);
    store.release(other, 'b');
    expect(store.commit(lost, 'a')).toBe(false);
    expect(store.reserve(lost, leaseOf('b'))).toBe('seen');
  });

  it('RP-20 count as a part of the share of their issuer', () => {
    const store = storeOf(4, 'half-of-free');
    const reserve = () => store.reserve(use(), leaseOf('a'));
    expect([reserve(), reserve()]).toEqual(['first', 'first']);
    expect(reserve).toThrow(ServiceAuthUnavailableError);
    expect(store.reserve(use('https://scribe.service/'), leaseOf('a'))).toBe('first');
  });

  it('that nobody ends leave no memory behind', () => {
    const store = storeOf(1000);
    for (let each = 0; each < 100; each++) store.reserve(use(), leaseOf(`${each}`, 1));
    expect(store.size).toBe(100);
    clocks.pass(2);
    store.recordUse(use());
    expect(store.size).toBe(1);
  });

  it('RP-13 of what was issued before the start cannot be decided where that is refused', () => {
    const store = new MemoryReplayStore({
      issuedBeforeStart: 'refuse',
      monotonicNow: clocks.monotonicNow,
    });
    const before = { ...use(), issuedAtSeconds: clocks.wallSeconds - 10 };
    expect(store.recordUse(before)).toBe('seen');
    expect(() => store.reserve(before, leaseOf('a'))).toThrow(
      expect.objectContaining({ detail: 'it was issued before the memory store was made' }),
    );
    clocks.pass(10);
    const after = { ...use(), issuedAtSeconds: clocks.wallSeconds };
    expect(store.reserve(after, leaseOf('a'))).toBe('first');
  });
});

describe('isLeasing', () => {
  const leasing = new MemoryReplayStore();
  const methods = ['reserve', 'renew', 'commit', 'release'] as const;

  it('is true of a store with all four methods', () => {
    expect(isLeasing(leasing)).toBe(true);
    expect(isLeasing({ recordUse: () => 'first' })).toBe(false);
  });

  it.each(methods)('is false of a store without %s', (name) => {
    const store = {
      recordUse: () => 'first' as const,
      ...Object.fromEntries(methods.map((method) => [method, () => true])),
    };
    expect(isLeasing(store)).toBe(true);
    expect(isLeasing({ ...store, [name]: undefined })).toBe(false);
  });
});
