import { Inject, Injectable } from '@nestjs/common';
import type { KeySourceHealth } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** The state of the keys of one issuer, and the name of the issuer. */
export interface IssuerKeyHealth extends KeySourceHealth {
  readonly issuer: string;
}

/** Reports on the keys of every trusted issuer, for health checks. Causes no fetch. */
@Injectable()
export class KeyHealth {
  /** @internal */
  constructor(@Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth) {}

  /** One report for each issuer known at the moment. */
  report(): readonly IssuerKeyHealth[] {
    return [...this.serviceAuth.keyHealth()].map(([issuer, health]) => ({ issuer, ...health }));
  }

  /** The issuers whose requests are answered 503 because they have no usable key. */
  unavailable(): readonly IssuerKeyHealth[] {
    return this.report().filter(({ status }) => status === 'unavailable');
  }
}
