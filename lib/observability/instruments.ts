import type { Meter } from '@opentelemetry/api';

/** Seconds: a signature takes a fraction of a millisecond, a body may take minutes to arrive. */
const SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10,
];

/** Every instrument, under the name and with the unit that the documentation lists. */
export type Instruments = ReturnType<typeof createInstruments>;

/**
 * Creates the instruments of a meter. Their units are annotations or seconds: with `1`, the exporter for Prometheus
 * would name a gauge a ratio.
 */
export function createInstruments(meter: Meter) {
  const make = makersAt(meter);
  return { ...requestInstruments(make), ...keyInstruments(make), ...storeInstruments(make) };
}

function makersAt(meter: Meter) {
  return {
    counter: (name: string, unit: string, description: string) =>
      meter.createCounter(`service_auth.${name}`, { unit, description }),
    gauge: (name: string, unit: string, description: string) =>
      meter.createGauge(`service_auth.${name}`, { unit, description }),
    duration: (name: string, description: string) =>
      meter.createHistogram(`service_auth.${name}.duration`, {
        unit: 's',
        description,
        advice: { explicitBucketBoundaries: SECONDS },
      }),
  };
}

type Makers = ReturnType<typeof makersAt>;

function requestInstruments({ counter, duration }: Makers) {
  return {
    requests: counter(
      'requests',
      '{request}',
      'Requests, messages and jobs received, by what was decided.',
    ),
    verifyDuration: duration(
      'verify',
      'Time to verify a request, message or job, the arrival of a body included.',
    ),
    proofs: counter(
      'proofs',
      '{request}',
      'Requests, messages and jobs accepted for a user, by what became of the proof that the user asked.',
    ),
    grantsIssued: counter('grants_issued', '{grant}', 'Grants made by this service.'),
    leasesLost: counter(
      'leases_lost',
      '{lease}',
      'Messages and jobs handled whose reservation was lost meanwhile.',
    ),
    duplicates: counter(
      'duplicates_dropped',
      '{delivery}',
      'Deliveries dropped since their message or job was handled before.',
    ),
    calls: counter(
      'calls',
      '{call}',
      'Requests, messages and jobs to send, by whether they were signed.',
    ),
    signDuration: duration('sign', 'Time to sign a request, message or job.'),
  };
}

function keyInstruments({ counter, gauge }: Makers) {
  return {
    refreshes: counter('keys.refreshes', '{refresh}', 'Fetches of the keys of an issuer.'),
    refreshFailing: gauge(
      'keys.refresh_failing',
      '{issuer}',
      '1 while the keys of an issuer cannot be fetched, 0 otherwise.',
    ),
    keysDropped: counter('keys.dropped', '{key}', 'Keys of an issuer that are not used.'),
    signingKeyChanges: counter(
      'signing_keys.changes',
      '{change}',
      'Changes of the key that signs, or of those that are published.',
    ),
    signingKeyFailures: counter(
      'signing_keys.failures',
      '{failure}',
      'Reads of the signing key that found no usable key.',
    ),
  };
}

function storeInstruments({ counter, gauge }: Makers) {
  return {
    storeOutages: counter('replay_store.outages', '{outage}', 'Outages of the replay store.'),
    storeFailing: gauge(
      'replay_store.failing',
      '{store}',
      '1 during an outage of the replay store, 0 after it.',
    ),
    storeWarnings: counter(
      'replay_store.warnings',
      '{warning}',
      'Reasons why the replay store may forget a token too early.',
    ),
    unchecked: counter(
      'replay_store.unchecked',
      '{token}',
      'Tokens accepted during an outage that may have been used before.',
    ),
  };
}
