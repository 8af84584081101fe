import {
  findDestination,
  GRANT_HEADER,
  headerValues,
  type IncomingRequest,
  readUnverifiedGrant,
  type ReplayStore,
  type ServiceAuthOptions,
  ServiceAuthUsageError,
  type ServiceIdentity,
} from '../core/index.js';
import { MemoryReplayStore } from '../replay/memory-replay-store.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import type { ServicesUnderTest } from './services-under-test.js';
import type { TestClock } from './test-clock.js';
import { trustDomainOf, widestPrefix } from './test-grant.js';
import { TRUST_DOMAIN } from './test-options.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** The called service decides how old a grant may be. */
const ANY_GRANT = { proof: { maxAgeSeconds: Number.POSITIVE_INFINITY } };

/** Verifies requests of the services under test, as the called services would. */
export class SentRequestVerifier {
  private readonly replayStores = new Map<string, ReplayStore>();

  constructor(
    private readonly services: ServicesUnderTest,
    private readonly keys: ThrowAwayKeys,
    private readonly clock: TestClock,
  ) {}

  /**
   * Verifies a request as the service `audience`, which trusts every service under test. Each service that the test
   * knows may be the originator of a sent grant.
   *
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUsageError if no service under test signs
   */
  async verify(audience: string, request: IncomingRequest): Promise<ServiceIdentity> {
    const [grant] = headerValues(request.rawHeaders, GRANT_HEADER);
    const receiver = await createServiceAuth({
      issuer: audience,
      trustedIssuers: this.senders().map((service) => this.trust(service, audience)),
      replayStore: this.replayStoreOf(audience),
      now: this.clock.now,
      ...(grant === undefined ? {} : this.believing(grant)),
    });
    try {
      return await receiver.verify(request, grant === undefined ? {} : ANY_GRANT);
    } finally {
      receiver.close();
    }
  }

  /**
   * The name of the service of a URL, in the settings of the application under test.
   *
   * @throws ServiceAuthUsageError if the URL belongs to no target
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
    const subjectProof = { mode: 'off', maxAgeSeconds: 604_800 } as const;
    return { issuer: settings.issuer, publicKey, profile: target?.profile, subjectProof };
  }

  /** The originators: services whose keys the test has, in the trust domain of the services under test. */
  private believing(
    grant: string,
  ): Pick<ServiceAuthOptions, 'trustDomain' | 'originators' | 'maxGrantLifetimeSeconds'> {
    const subjects = [widestPrefix(readUnverifiedGrant(grant)?.subject ?? '')];
    const domains = this.services.all().map(trustDomainOf);
    const [trustDomain = TRUST_DOMAIN] = domains.filter((domain) => domain !== TRUST_DOMAIN);
    const originators = this.keys.issuers().map((issuer) => {
      const { publicKey } = this.keys.keyOf(issuer);
      return { issuer, publicKey, subjects };
    });
    return { trustDomain, originators, maxGrantLifetimeSeconds: 604_800 };
  }

  private replayStoreOf(audience: string): ReplayStore {
    const known = this.replayStores.get(audience);
    if (known) return known;
    const store = new MemoryReplayStore();
    this.replayStores.set(audience, store);
    return store;
  }
}
