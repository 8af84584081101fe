// A receiver set up otherwise: behind a gateway that strips a prefix, with wider clocks and a header that must be bound.
import { POSTED, RECEIVER } from './receiver.mjs';
import { NOW, VectorFile } from './vector-file.mjs';

export const gateway = new VectorFile(
  'A receiver behind a gateway that strips /census, whose clocks may differ by 60 seconds, whose callers bind X-Order.',
  {
    ...RECEIVER,
    clockToleranceSeconds: 60,
    maxTokenLifetimeSeconds: 60,
    publicPathPrefix: '/census',
    requiredHeaders: ['x-order'],
  },
  { madeFor: { target: '/census/user/42/?full=1' } },
);

const get = gateway.accept('get', 'a GET, signed with the prefix the gateway strips');
get.refuse('no-prefix', 'signed without the prefix', 'request_mismatch', { madeFor: {} });
get.refuse('other-prefix', 'signed with another prefix', 'request_mismatch', {
  madeFor: { target: '/herald/user/42/?full=1' },
});
gateway.accept('post', 'a POST with a JSON body', {
  ...POSTED,
  madeFor: { target: '/census/user/?dry=1' },
});

const order = /** @type {[string, string][]} */ ([['X-Order', '7']]);
const bound = gateway.accept('order', 'the required header is bound', {
  headers: order,
  claims: { hdr: { 'x-order': '7' } },
});
bound.refuse('order-unbound', 'the required header is there, and not bound', 'header_mismatch', {
  claims: { hdr: undefined },
});
bound.refuse('order-differs', 'the required header differs', 'header_mismatch', {
  headers: [['X-Order', '8']],
});

const skewed = (/** @type {number} */ seconds) =>
  seconds < 0
    ? { iat: NOW + seconds - 60, exp: NOW + seconds }
    : { iat: NOW + seconds, exp: NOW + seconds + 60 };
for (const seconds of [-59, 59, 60]) {
  gateway.accept(`skew${seconds}`, `clocks ${seconds} seconds apart`, {
    claims: skewed(seconds),
    catalogue: ['TM-16'],
  });
}
for (const seconds of [-61, -60, 61]) {
  const code = seconds < 0 ? 'token_expired' : 'token_not_yet_valid';
  get.refuse(`skew${seconds}`, `clocks ${seconds} seconds apart`, code, {
    claims: skewed(seconds),
    catalogue: ['TM-16'],
  });
}
get.refuse('lifetime-61', 'a lifetime of 61 seconds', 'lifetime_too_long', {
  claims: { exp: NOW + 61 },
  catalogue: ['TM-07'],
});
