import { Controller, Get, Inject, Injectable } from '@nestjs/common';
import { HealthCheck, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { KeyHealth, SkipServiceAuth } from 'nestjs-service-auth';

@Injectable()
export class KeysIndicator {
  constructor(
    @Inject(KeyHealth) private readonly keys: KeyHealth,
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
  ) {}

  check() {
    const indicator = this.indicators.check('keys');
    const issuers = this.keys.report();
    const isAny = (status: string) => issuers.some((issuer) => issuer.status === status);
    if (isAny('unavailable')) return indicator.down({ issuers });
    return isAny('stale') ? indicator.degraded({ issuers }) : indicator.up({ issuers });
  }
}

@Controller('health/keys')
@SkipServiceAuth()
export class KeysHealthController {
  constructor(
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(KeysIndicator) private readonly keys: KeysIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.keys.check()]);
  }
}
