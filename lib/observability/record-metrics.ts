import type { Attributes } from '@opentelemetry/api';
import type { CallTransport, RequestAccepted, ServiceAuthEvent } from '../core/index.js';
import { type BoundedLabels, OTHER } from './bounded-labels.js';
import type { Instruments } from './instruments.js';

/** The label of untrusted callers: a name that a caller claims is never a label. */
const UNKNOWN = 'unknown';

/** The instruments of one meter, and the limits of their labels for issuers and audiences. */
export interface Metrics extends Instruments {
  readonly issuers: BoundedLabels;
  readonly audiences: BoundedLabels;
}

/** Counts an event. Every label has a bounded number of values. */
export function recordMetrics(event: ServiceAuthEvent, to: Metrics): void {
  switch (event.type) {
    case 'request_accepted':
      recordProof(event, to);
      return recordRequest(event, outcome('accepted'), to);
    case 'request_refused':
      return recordRequest(event, outcome('refused', event.code), to);
    case 'request_would_be_refused':
      return recordRequest(event, outcome('would_be_refused', event.code), to);
    case 'request_failed':
      return recordRequest(event, outcome('failed', event.reason), to);
    case 'request_anonymous':
      return recordRequest(event, outcome('anonymous'), to);
    case 'request_signed': {
      const audience = audienceOf(event.audience, to);
      to.calls.add(1, { ...outcome('signed'), ...audience });
      return to.signDuration.record(event.durationMilliseconds / 1000, audience);
    }
    case 'signing_failed':
      return to.calls.add(1, {
        ...outcome(event.isSentUnsigned ? 'unsigned' : 'failed', event.code),
        ...audienceOf(event.audience, to),
      });
    default:
      return recordSurroundings(event, to);
  }
}

/** Records nothing if no proof was required. */
function recordProof({ issuer, proof, proofRefusal }: RequestAccepted, to: Metrics): void {
  if (proof === 'grant') to.proofs.add(1, { ...outcome('proved'), ...issuerOf(issuer, to) });
  if (proofRefusal === undefined) return;
  to.proofs.add(1, { ...outcome('would_be_refused', proofRefusal), ...issuerOf(issuer, to) });
}

type DecisionType = `request_${string}` | 'signing_failed';

function recordSurroundings(
  event: Exclude<ServiceAuthEvent, { type: DecisionType }>,
  to: Metrics,
): void {
  switch (event.type) {
    case 'keys_refreshed':
      return recordRefresh(event.issuer, true, to);
    case 'keys_refresh_failed':
      return recordRefresh(event.issuer, false, to);
    case 'grant_unbound':
      return to.proofs.add(1, {
        ...outcome('unbound', event.reason),
        ...issuerOf(event.issuer, to),
      });
    case 'grant_issued':
      return to.grantsIssued.add(1, outcome(event.insteadOf ?? 'originated'));
    case 'lease_lost':
      return to.leasesLost.add(1, issuerOf(event.issuer, to));
    case 'duplicate_dropped':
      return to.duplicates.add(1, issuerOf(event.issuer, to));
    case 'key_dropped':
      return to.keysDropped.add(1, issuerOf(event.issuer, to));
    case 'issuer_look_up_failed':
    case 'issuer_look_up_recovered':
      return; // the requests are counted with `key_unavailable`
    case 'original_issuer_found':
      return; // nothing to count: emitted once for each issuer
    case 'signing_keys_changed':
      return to.signingKeyChanges.add(1);
    case 'signing_keys_unusable':
      return to.signingKeyFailures.add(1);
    case 'replay_store_failed':
      to.storeOutages.add(1);
      return to.storeFailing.record(1);
    case 'replay_store_recovered':
      return to.storeFailing.record(0);
    case 'token_accepted_unchecked':
      return to.unchecked.add(1, issuerOf(event.issuer, to));
    case 'replay_store_unsafe':
      return to.storeWarnings.add(1);
  }
}

interface Decision {
  readonly transport: CallTransport;
  readonly issuer?: string | undefined;
  readonly durationMilliseconds?: number | undefined;
}

function recordRequest(event: Decision, attributes: Attributes, to: Metrics): void {
  const transport = { 'service_auth.transport': event.transport };
  to.requests.add(1, { ...attributes, ...transport, ...issuerOf(event.issuer, to) });
  if (event.durationMilliseconds === undefined) return;
  to.verifyDuration.record(event.durationMilliseconds / 1000, attributes);
}

function recordRefresh(issuer: string, succeeded: boolean, to: Metrics): void {
  const attributes = issuerOf(issuer, to);
  to.refreshes.add(1, { ...outcome(succeeded ? 'refreshed' : 'failed'), ...attributes });
  // Under a shared name, the gauge would show only the issuer that came last.
  if (attributes['service_auth.issuer'] === OTHER) return;
  to.refreshFailing.record(succeeded ? 0 : 1, attributes);
}

function outcome(word: string, errorType?: string): Attributes {
  const attributes = { 'service_auth.outcome': word };
  return errorType === undefined ? attributes : { ...attributes, 'error.type': errorType };
}

function issuerOf(issuer: string | undefined, { issuers }: Metrics) {
  return { 'service_auth.issuer': issuer === undefined ? UNKNOWN : issuers.labelOf(issuer) };
}

function audienceOf(audience: string | undefined, { audiences }: Metrics) {
  const label = audience === undefined ? UNKNOWN : audiences.labelOf(audience);
  return { 'service_auth.audience': label };
}
