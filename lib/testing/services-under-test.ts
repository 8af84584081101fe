import { ServiceAuthUsageError } from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';

/** The services that the tests have started, by their URI. A new one replaces an older one with the same URI. */
export class ServicesUnderTest {
  private readonly byIssuer = new Map<string, ServiceAuth>();

  add(service: ServiceAuth): void {
    this.byIssuer.set(service.settings.issuer, service);
  }

  all(): readonly ServiceAuth[] {
    return [...this.byIssuer.values()];
  }

  /**
   * The service that answers to `audience`, or the only one that receives requests.
   *
   * @throws ServiceAuthUsageError if there is none, or if one of several must be named
   */
  receiving(audience: string | undefined): ServiceAuth {
    const services = this.all();
    if (services.length === 0) {
      throw new ServiceAuthUsageError(
        'No application under test was made yet: compile its testing module first.',
      );
    }
    const named = services.filter(({ settings: { receiving } }) =>
      audience === undefined ? receiving !== undefined : receiving?.audiences.has(audience),
    );
    const [service, ...others] = named.length === 0 && audience === undefined ? services : named;
    if (service && others.length === 0) return service;
    const names = services.map(({ settings }) => settings.issuer).join(', ');
    throw new ServiceAuthUsageError(
      `Say with calling(audience) which service is called. Under test are: ${names}`,
    );
  }
}

/** @throws ServiceAuthUsageError if the issuers are looked up, and none was looked up yet */
export function firstTrustedIssuer(service: ServiceAuth): string {
  for (const { issuer } of service.receiving.trustedIssuers.known()) return issuer;
  throw new ServiceAuthUsageError(
    "The trusted issuers are looked up when they call: name one with caller('https://herald.service/').",
  );
}
