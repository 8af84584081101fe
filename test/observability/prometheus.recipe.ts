import { Controller, Get, Header, Inject } from '@nestjs/common';
import {
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

interface Decision {
  readonly transport: string;
  readonly issuer?: string | undefined;
  readonly durationMilliseconds?: number | undefined;
}

export class PrometheusObserver implements ServiceAuthObserver {
  readonly registry = new Registry();
  private readonly requests = new Counter({
    name: 'service_auth_requests_total',
    help: 'Requests, messages and jobs received, by what was decided.',
    labelNames: [
      'service_auth_outcome',
      'error_type',
      'service_auth_transport',
      'service_auth_issuer',
    ],
    registers: [this.registry],
  });
  private readonly verifyDuration = new Histogram({
    name: 'service_auth_verify_duration_seconds',
    help: 'Time to verify one, the arrival of a body included.',
    labelNames: ['service_auth_outcome'],
    buckets: [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1],
    registers: [this.registry],
  });
  private readonly proofs = new Counter({
    name: 'service_auth_proofs_total',
    help: 'Calls accepted for a user, by what became of the proof that the user asked.',
    labelNames: ['service_auth_outcome', 'error_type', 'service_auth_issuer'],
    registers: [this.registry],
  });
  private readonly grantsIssued = new Counter({
    name: 'service_auth_grants_issued_total',
    help: 'Grants made by this service.',
    labelNames: ['service_auth_outcome'],
    registers: [this.registry],
  });
  private readonly leasesLost = new Counter({
    name: 'service_auth_leases_lost_total',
    help: 'Messages handled whose reservation was lost meanwhile.',
    labelNames: ['service_auth_issuer'],
    registers: [this.registry],
  });
  private readonly duplicates = new Counter({
    name: 'service_auth_duplicates_dropped_total',
    help: 'Deliveries dropped since their message was handled before.',
    labelNames: ['service_auth_issuer'],
    registers: [this.registry],
  });
  private readonly calls = new Counter({
    name: 'service_auth_calls_total',
    help: 'Requests, messages and jobs to send, by whether they were signed.',
    labelNames: ['service_auth_outcome', 'error_type', 'service_auth_audience'],
    registers: [this.registry],
  });
  private readonly refreshFailing = new Gauge({
    name: 'service_auth_keys_refresh_failing',
    help: '1 while the keys of an issuer cannot be fetched.',
    labelNames: ['service_auth_issuer'],
    registers: [this.registry],
  });
  private readonly storeFailing = new Gauge({
    name: 'service_auth_replay_store_failing',
    help: '1 during an outage of the replay store.',
    registers: [this.registry],
  });

  observe(event: ServiceAuthEvent): void {
    switch (event.type) {
      case 'request_accepted':
        this.count('accepted', '', event);
        if (event.proof === 'grant') this.countProof('proved', '', event.issuer);
        if (event.proofRefusal === undefined) return;
        return this.countProof('would_be_refused', event.proofRefusal, event.issuer);
      case 'grant_unbound':
        return this.countProof('unbound', event.reason, event.issuer);
      case 'grant_issued':
        return this.grantsIssued.inc({ service_auth_outcome: event.insteadOf ?? 'originated' });
      case 'lease_lost':
        return this.leasesLost.inc({ service_auth_issuer: event.issuer });
      case 'duplicate_dropped':
        return this.duplicates.inc({ service_auth_issuer: event.issuer });
      case 'request_refused':
        return this.count('refused', event.code, event);
      case 'request_would_be_refused':
        return this.count('would_be_refused', event.code, event);
      case 'request_anonymous':
        return this.count('anonymous', '', event);
      case 'request_failed':
        return this.count('failed', event.reason, event);
      case 'request_signed':
        return this.countCall('signed', '', event.audience);
      case 'signing_failed':
        return this.countCall(
          event.isSentUnsigned ? 'unsigned' : 'failed',
          event.code,
          event.audience,
        );
      case 'keys_refreshed':
        return this.refreshFailing.set({ service_auth_issuer: event.issuer }, 0);
      case 'keys_refresh_failed':
        return this.refreshFailing.set({ service_auth_issuer: event.issuer }, 1);
      case 'replay_store_failed':
        return this.storeFailing.set(1);
      case 'replay_store_recovered':
        return this.storeFailing.set(0);
    }
  }

  private count(outcome: string, error: string, event: Decision): void {
    this.requests.inc({
      service_auth_outcome: outcome,
      error_type: error,
      service_auth_transport: event.transport,
      service_auth_issuer: event.issuer ?? 'unknown',
    });
    if (event.durationMilliseconds === undefined) return;
    const seconds = event.durationMilliseconds / 1000;
    this.verifyDuration.observe({ service_auth_outcome: outcome }, seconds);
  }

  private countProof(outcome: string, error: string, issuer: string): void {
    this.proofs.inc({
      service_auth_outcome: outcome,
      error_type: error,
      service_auth_issuer: issuer,
    });
  }

  private countCall(outcome: string, error: string, audience = 'unknown'): void {
    this.calls.inc({
      service_auth_outcome: outcome,
      error_type: error,
      service_auth_audience: audience,
    });
  }
}

@Controller('metrics')
@SkipServiceAuth()
export class MetricsController {
  constructor(@Inject(PrometheusObserver) private readonly observer: PrometheusObserver) {}

  @Get()
  @Header('Content-Type', Registry.PROMETHEUS_CONTENT_TYPE)
  async metrics(): Promise<string> {
    return await this.observer.registry.metrics();
  }
}
