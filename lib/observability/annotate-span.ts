import type { Attributes, Span } from '@opentelemetry/api';
import type {
  RequestAccepted,
  RequestRefused,
  RequestWouldBeRefused,
  ServiceAuthEvent,
} from '../core/index.js';

/**
 * Records a decision on the span of the request being served. A received request has one decision, in attributes.
 * Outgoing requests may be many, so each is an event of the span.
 *
 * The code that answers the request sets the status of the span.
 */
export function annotateSpan(event: ServiceAuthEvent, span: Span): void {
  switch (event.type) {
    case 'request_accepted':
      span.setAttributes(acceptanceOf(event));
      return;
    case 'request_refused':
    case 'request_would_be_refused':
      annotateRefusal(event, span);
      return;
    case 'request_failed':
      span.setAttributes({
        'service_auth.outcome': 'failed',
        'service_auth.code': event.reason,
      });
      return;
    case 'request_anonymous':
      span.setAttribute('service_auth.outcome', 'anonymous');
      return;
    case 'grant_unbound':
      span.addEvent('service_auth.grant_unbound', { 'service_auth.reason': event.reason });
      return;
    case 'grant_issued':
      span.addEvent('service_auth.grant_issued', {
        'service_auth.transaction': event.transaction,
        ...ifKnown('service_auth.instead_of', event.insteadOf),
      });
      return;
    case 'lease_lost':
    case 'duplicate_dropped':
      span.addEvent(`service_auth.${event.type}`, { 'service_auth.issuer': event.issuer });
      return;
    case 'request_signed':
      span.addEvent('service_auth.request_signed', { 'service_auth.audience': event.audience });
      return;
    case 'signing_failed':
      span.addEvent('service_auth.signing_failed', {
        'service_auth.code': event.code,
        'service_auth.sent_unsigned': event.isSentUnsigned,
        ...ifKnown('service_auth.audience', event.audience),
      });
      return;
    default:
    // Events of keys and stores belong to no request.
  }
}

function acceptanceOf(event: RequestAccepted): Attributes {
  return {
    'service_auth.outcome': 'accepted',
    'service_auth.issuer': event.issuer,
    'service_auth.profile': event.profile,
    'service_auth.algorithm': event.algorithm,
    'service_auth.key.id': event.keyId,
    'service_auth.has_subject': event.hasSubject,
    'service_auth.proof': event.proof,
    ...ifKnown('service_auth.originator', event.originator),
    ...ifKnown('service_auth.transaction', event.transaction),
    ...ifKnown('service_auth.proof.code', event.proofRefusal),
  };
}

function annotateRefusal(event: RequestRefused | RequestWouldBeRefused, span: Span): void {
  const outcome = event.type === 'request_refused' ? 'refused' : 'would_be_refused';
  const refused = {
    'service_auth.code': event.code,
    'service_auth.issuer.trust': event.issuerTrust,
    ...ifKnown('service_auth.issuer', event.issuer),
  };
  span.setAttributes({ 'service_auth.outcome': outcome, ...refused });
  span.addEvent(`service_auth.${event.type}`, {
    ...refused,
    ...ifKnown('service_auth.detail', event.detail),
  });
}

function ifKnown(name: string, value: string | undefined): Attributes {
  return value === undefined ? {} : { [name]: value };
}
