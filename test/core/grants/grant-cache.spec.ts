import { GrantCache, type KnownGrant } from '../../../lib/core/grants/grant-cache.js';
import { toVerifiedGrant } from '../../../lib/core/grants/verified-grant.js';
import { isGrantText } from '../../../lib/core/grants/verify-grant.js';
import { readGrantClaims } from '../../../lib/core/grants/grant-claims.js';
import { createKey } from '../../support/keys/keys.js';
import { decodeClaims } from '../../support/tokens/forge.js';
import { makeGrant } from '../../support/tokens/grant.js';

const MIB = 1024 * 1024;
const key = createKey();
const text = makeGrant({
  key,
  originator: 'https://edge.service/',
  trustDomain: 'test',
  subject: 'urn:user:1',
  now: 1_800_000_000,
});
const claims = readGrantClaims(decodeClaims(text), 300);
const grant: KnownGrant = {
  claims,
  proved: toVerifiedGrant(claims),
  keyId: key.keyId,
  key: key.publicKey,
  algorithm: 'ES256',
};

describe('what is known of grants', () => {
  it('GR-44 is at most 10,000 of them, and the oldest goes first', () => {
    const cache = new GrantCache();
    for (let n = 0; n < 10_000; n++) cache.keep(`${n}`, grant, 1000);
    expect(cache.find('0')).toMatchObject(grant);
    cache.keep('10000', grant, 1000);
    expect(cache.find('0')).toBeUndefined();
    expect(cache.find('1')).toMatchObject(grant);
    expect(cache.find('10000')).toMatchObject(grant);
  });

  it('GR-44 is at most 16 MiB of text', () => {
    const cache = new GrantCache();
    for (let n = 0; n < 16; n++) cache.keep(`${n}`, grant, MIB);
    expect(cache.find('0')).toMatchObject(grant);
    cache.keep('16', grant, 1);
    expect(cache.find('0')).toBeUndefined();
    expect(cache.find('1')).toMatchObject(grant);
    cache.keep('17', grant, MIB);
    expect(['1', '2', '16', '17'].map((hash) => cache.find(hash) !== undefined)).toEqual([
      false,
      true,
      true,
      true,
    ]);
  });

  it('counts a grant once that is kept again, and forgets what is dropped', () => {
    const cache = new GrantCache();
    for (let n = 0; n < 40; n++) cache.keep('same', grant, MIB);
    cache.keep('other', grant, 14 * MIB);
    expect(cache.find('same')).toMatchObject(grant);
    cache.drop('same');
    expect(cache.find('same')).toBeUndefined();
    cache.drop('same');
    cache.drop('never known');
    cache.keep('third', grant, 2 * MIB);
    expect(cache.find('same')).toBeUndefined();
    expect(cache.find('other')).toMatchObject(grant);
    expect(cache.find('third')).toMatchObject(grant);
  });

  it('goes in the order of arrival, whatever was dropped in between', () => {
    const cache = new GrantCache();
    const isKnown = (hash: string): boolean => cache.find(hash) !== undefined;
    for (const hash of ['a', 'b', 'c']) cache.keep(hash, grant, 5 * MIB);
    cache.drop('b');
    for (const hash of ['d', 'e']) cache.keep(hash, grant, 5 * MIB);
    expect(['a', 'b', 'c', 'd', 'e'].filter(isKnown)).toEqual(['c', 'd', 'e']);
    cache.drop('c');
    cache.keep('f', grant, 7 * MIB);
    expect(['c', 'd', 'e', 'f'].filter(isKnown)).toEqual(['e', 'f']);
  });

  it.each([
    [4096, true],
    [4097, false],
  ])('is a text of %i characters: %p', (length, isOne) => {
    expect(isGrantText(`a.b.${'c'.repeat(length - 4)}`)).toBe(isOne);
  });

  it('is found out once at a time, and again after a failure', async () => {
    const cache = new GrantCache();
    let runs = 0;
    const failing = async (): Promise<KnownGrant> => {
      runs++;
      return await Promise.reject(new Error('no'));
    };
    const failures = await Promise.allSettled([
      cache.once('a', failing),
      cache.once('a', failing),
      cache.once('b', failing),
    ]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(runs).toBe(2);
    expect(await cache.once('a', async () => await Promise.resolve(grant))).toBe(grant);
    expect(cache.find('a')).toBeUndefined();
  });
});
