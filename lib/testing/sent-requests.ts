import {
  findDestination,
  type IncomingRequest,
  type ReplayStore,
  ServiceAuthUsageError,
  type ServiceIdentity,
} from '../core/index.js';
import { MemoryReplayStore } from '../replay/memory-replay-store.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import type { ServicesUnderTest } from './services-under-test.js';
import type { TestClock } from './test-clock.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** Verifies what the services under test send, as those they call would. */
export class SentRequestVerifier {
  private readonly replayStores = new Map<string, ReplayStore>();

  constructor(
    private readonly services: ServicesUnderTest,
    private readonly keys: ThrowAwayKeys,
    private readonly clock: TestClock,
  ) {}

  /**
   * Verifies a request as the service `audience`, which trusts every service under test.
   *
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUsageError where no service under test signs
   */
  async verify(audience: string, request: IncomingRequest): Promise<ServiceIdentity> {
    const receiver = await createServiceAuth({
      issuer: audience,
      trustedIssuers: this.senders().map((service) => this.trust(service, audience)),
      replayStore: this.replayStoreOf(audience),
      now: this.clock.now,
    });
    try {
      return await receiver.verify(request);
    } finally {
      receiver.close();
    }
  }

  /**
   * The name of the service that a URL belongs to in the settings of the application under test.
   *
   * @throws ServiceAuthUsageError where it belongs to none
   */
  audienceOf(url: string | URL): string {
    for (const { sending } of this.senders()) {
      const known = findDestination(url, { ...sending, unknownTargets: 'send-unsigned' });
      if (known) return known.target.audience;
    }
    throw new ServiceAuthUsageError('The URL belongs to no target of the application under test.');
  }

  private senders(): readonly ServiceAuth[] {
    const senders = this.services.all().filter(({ settings }) => settings.sending !== undefined);
    if (senders.length > 0) return senders;
    throw new ServiceAuthUsageError(
      'No application under test signs: it has no signingKey and no targets, or was not made yet.',
    );
  }

  private trust({ settings, sending }: ServiceAuth, audience: string) {
    const target = sending.targets.find((each) => each.audience === audience);
    const { publicKey } = this.keys.keyOf(settings.issuer);
    return { issuer: settings.issuer, publicKey, profile: target?.profile };
  }

  private replayStoreOf(audience: string): ReplayStore {
    const known = this.replayStores.get(audience);
    if (known) return known;
    const store = new MemoryReplayStore();
    this.replayStores.set(audience, store);
    return store;
  }
}
