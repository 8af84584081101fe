import { Inject, Injectable } from '@nestjs/common';
import type { KeySourceHealth } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** How the keys of one issuer stand, and whose they are. */
export interface IssuerKeyHealth extends KeySourceHealth {
  readonly issuer: string;
}

/** Reports on the keys of every trusted issuer, for health checks. Asking costs no fetch. */
@Injectable()
export class KeyHealth {
  /** @internal */
  constructor(@Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth) {}

  /** One report for each issuer known at the moment. */
  report(): readonly IssuerKeyHealth[] {
    return [...this.serviceAuth.keyHealth()].map(([issuer, health]) => ({ issuer, ...health }));
  }

  /** The issuers whose requests are answered 503 because no key of theirs may be used. */
  unavailable(): readonly IssuerKeyHealth[] {
    return this.report().filter(({ status }) => status === 'unavailable');
  }
}
