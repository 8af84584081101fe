import type { JsonWebKey } from 'node:crypto';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { RotatingServices, WAVES } from '../support/services/rotating-services.js';
import { type Adapter, ADAPTERS } from '../support/services/service.js';

const MAX_AGE = 60;
const LIFETIME = 60;
const TOLERANCE = 5;

const one = createKey();
const two = createKey();
const privateJwk = (key: TestKey): JsonWebKey => key.privateKey.export({ format: 'jwk' });
const publicJwk = (key: TestKey): JsonWebKey => key.publicKey.export({ format: 'jwk' });

async function withServices(
  adapter: Adapter,
  maxAgeSeconds: number,
  use: (services: RotatingServices) => Promise<void>,
): Promise<void> {
  const services = await RotatingServices.start(
    adapter,
    maxAgeSeconds,
    JSON.stringify({ current: privateJwk(one) }),
  );
  try {
    await use(services);
  } finally {
    await services.close();
  }
}

describe.each(ADAPTERS)('a rotation on %s', (adapter) => {
  it('that follows the procedure fails no request, and ends with the old key refused', async () => {
    // How long to wait before each step: docs/keys.md.
    const steps: { wait: number; ring: Record<string, JsonWebKey> }[] = [
      { wait: 5, ring: { current: privateJwk(one), next: publicJwk(two) } },
      { wait: MAX_AGE, ring: { previous: publicJwk(one), current: privateJwk(two) } },
      { wait: LIFETIME + TOLERANCE + MAX_AGE, ring: { current: privateJwk(two) } },
    ];
    const known: (readonly string[])[] = [];
    const probes: Promise<{ at: number; outcome: string }>[] = [];
    await withServices(adapter, MAX_AGE, async (services) => {
      let sinceStep = 0;
      const outcomes = await services.load({ seconds: 275, perSecond: 45 }, async () => {
        const at = services.seconds;
        const probe = services.callWith(one, `/user/old-${at}`);
        probes.push(probe.then((outcome) => ({ at, outcome })));
        if (at - sinceStep < (steps[0]?.wait ?? Infinity)) return;
        known.push(services.keysCensusKnows);
        await services.rotateTo(steps.shift()?.ring ?? {});
        sinceStep = services.seconds;
      });

      expect(steps).toEqual([]);
      // Before the next key signs, and before the old one goes, Census knows both.
      expect(known).toEqual([[one.keyId], [one.keyId, two.keyId], [one.keyId, two.keyId]]);
      expect(services.keysCensusKnows).toEqual([two.keyId]);
      expect([...outcomes.keys()].toSorted()).toEqual(
        [`200 ${one.keyId}`, `200 ${two.keyId}`].toSorted(),
      );
      expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBeGreaterThan(10_000);

      const removedAt = sinceStep;
      const answered = await Promise.all(probes);
      const outcomesWhile = (when: (at: number) => boolean): string[] => [
        ...new Set(answered.filter(({ at }) => when(at)).map(({ outcome }) => outcome)),
      ];
      expect(outcomesWhile((at) => at < removedAt - WAVES)).toEqual([`200 ${one.keyId}`]);
      expect(outcomesWhile((at) => at > removedAt + MAX_AGE)).toEqual(['401 key_unknown']);
      expect(services.censusEvents.of('keys_refresh_failed')).toEqual([]);
      // A fetch for every 42 to 54 seconds, and for the old key, once it is unknown, every 30.
      expect(services.censusEvents.of('keys_refreshed').length).toBeLessThanOrEqual(12);
    });
  }, 240_000);

  it('that comes without warning makes requests wait for one fetch, and fails none', async () => {
    await withServices(adapter, 10 * MAX_AGE, async (services) => {
      // Fewer in flight than may wait for a fetch: of more, some would be told to come back.
      const outcomes = await services.load({ seconds: 36, perSecond: 15 }, async () => {
        // Later than the cool-down of 30 seconds, and before the set is fetched anyway.
        if (services.seconds !== 32) return;
        await services.rotateTo({ previous: publicJwk(one), current: privateJwk(two) });
      });
      expect([...outcomes.keys()].toSorted()).toEqual(
        [`200 ${one.keyId}`, `200 ${two.keyId}`].toSorted(),
      );
      expect(services.censusEvents.of('keys_refreshed')).toHaveLength(2);
    });
  }, 240_000);
});
