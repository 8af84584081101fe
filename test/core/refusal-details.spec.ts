import { createServiceAuth, type ServiceAuthOptions } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { digest, strictToken, type StrictTokenParts } from '../support/tokens/forge.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const key = createKey();

interface Sent {
  readonly token?: Partial<StrictTokenParts> & { readonly claims?: object };
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly options?: Partial<ServiceAuthOptions>;
}

/** What the event says of a request: its code, and the detail. */
async function detailOf({ token, method, target, headers, body, options }: Sent) {
  const events = new ObservedEvents();
  const service = await createServiceAuth({
    issuer: CENSUS,
    audience: 'https://people.service/',
    trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
    observer: events,
    ...options,
  });
  const bytes = Buffer.from(body ?? '');
  const request = { method: method ?? 'GET', target: target ?? '/users/1?full=1', body: bytes };
  const signed = { key, issuer: HERALD, audience: CENSUS, target: '/users/1?full=1', ...token };
  const rawHeaders = ['JWT', strictToken({ body, ...signed }), ...(headers ?? [])];
  await service.verify({ ...request, rawHeaders }).catch(() => undefined);
  service.close();
  const [event] = events.decisions;
  if (event?.type !== 'request_refused') return [event?.type, undefined];
  return [event.code, event.detail];
}

it('says nothing of a request that is accepted', async () => {
  expect(await detailOf({})).toEqual(['request_accepted', undefined]);
});

describe('audience_mismatch says for whom the token was made', () => {
  const HERE = `this service answers to ${CENSUS}, https://people.service/`;
  it.each([
    ['another service', 'https://orders.service/', `made for https://orders.service/; ${HERE}`],
    [
      'no final slash',
      'https://census.service',
      `made for https://census.service; ${HERE}, which differs in its final slash`,
    ],
    [
      'another scheme',
      'http://census.service/',
      `made for http://census.service/; ${HERE}, which differs in its scheme`,
    ],
    [
      'another case',
      'https://Census.service/',
      `made for https://Census.service/; ${HERE}, which differs in upper and lower case`,
    ],
    [
      'a port',
      'https://people.service:443/',
      `made for https://people.service:443/; ${HERE}, which differs in its port`,
    ],
    ['what is no URI', 'census \u2028', `made for a name that is no service URI; ${HERE}`],
  ])('with %s', async (_title, audience, detail) => {
    expect(await detailOf({ token: { audience } })).toEqual(['audience_mismatch', detail]);
  });
});

describe('request_mismatch says what differs', () => {
  const ROWS: [title: string, sent: Sent, detail: string, values: string][] = [
    ['the method', { method: 'HEAD' }, 'the method differs', 'signed "GET", received "HEAD"'],
    [
      'a prefix that a gateway stripped',
      { token: { target: '/api/users/1' }, target: '/users/1' },
      'the received path is the end of the signed one: publicPathPrefix?',
      'signed "/api/users/1", received "/users/1"',
    ],
    [
      'a prefix that is put before it in vain',
      { options: { publicPathPrefix: '/api' } },
      'the signed path is the end of the received one: is publicPathPrefix right?',
      'signed "/users/1", received "/api/users/1"',
    ],
    [
      'a final slash',
      { target: '/users/1/?full=1' },
      'the path differs in its final slash',
      'signed "/users/1", received "/users/1/"',
    ],
    [
      'the path',
      { target: '/users/22?full=1' },
      'the path differs: 8 characters signed, 9 received, the first difference at character 8',
      'signed "/users/1", received "/users/22"',
    ],
    ['no query', { target: '/users/1' }, 'the query is missing', 'signed "?full=1", received ""'],
    [
      'a query',
      { token: { target: '/users/1' } },
      'a query was added',
      'signed "", received "?full=1"',
    ],
    [
      'the order of the query',
      { token: { target: '/users?a=1&b=2' }, target: '/users?b=2&a=1' },
      'the query has the same parameters in another order',
      'signed "?a=1&b=2", received "?b=2&a=1"',
    ],
    [
      'the query',
      { target: '/users/1?full=0' },
      'the query differs: 7 characters signed, 7 received, the first difference at character 7',
      'signed "?full=1", received "?full=0"',
    ],
    [
      'a long path',
      { target: `/${'a'.repeat(300)}?full=1` },
      'the path differs: 8 characters signed, 301 received, the first difference at character 2',
      `signed "/users/1", received "/${'a'.repeat(199)}" and 101 more characters`,
    ],
  ];
  it.each(ROWS)('%s, and both values only on demand', async (_title, sent, detail, values) => {
    expect(await detailOf(sent)).toEqual(['request_mismatch', detail]);
    const full = { ...sent, options: { ...sent.options, refusalDetails: 'full' } } as const;
    expect(await detailOf(full)).toEqual(['request_mismatch', `${detail}; ${values}`]);
  });
});

describe('body_mismatch says what arrived', () => {
  const claims = { bdy: digest('sha256', 'signed') };
  it.each([
    ['bytes', { body: 'others' }, '6 bytes arrived'],
    ['one byte', { body: 'x' }, '1 byte arrived'],
    ['none', { body: '' }, 'no byte arrived'],
    [
      'coded bytes',
      { body: 'x', headers: ['Content-Encoding', 'GZIP'], hdr: { 'content-encoding': 'GZIP' } },
      '1 byte arrived; the content coding is gzip',
    ],
    [
      'bytes in a coding nobody knows',
      { body: 'x', headers: ['Content-Encoding', 'canary'], hdr: { 'content-encoding': 'canary' } },
      '1 byte arrived; the content coding is an unusual one',
    ],
  ])('%s', async (_title, { hdr, ...sent }: Sent & { hdr?: object }, detail) => {
    const token = { claims: { ...claims, ...(hdr && { hdr }) } };
    expect(await detailOf({ ...sent, token })).toEqual(['body_mismatch', detail]);
  });
});

describe('issuer_unknown names the configured issuer that is nearly the same', () => {
  it.each([
    ['without its final slash', 'https://herald.service', 'its final slash'],
    ['with another scheme', 'http://herald.service/', 'its scheme'],
    ['with a port', 'https://herald.service:8443/', 'its port'],
    ['in capitals', 'https://HERALD.service/', 'upper and lower case'],
    ['with several of these', 'http://HERALD.service', 'its spelling'],
  ])('%s', async (_title, issuer, difference) => {
    expect(await detailOf({ token: { issuer } })).toEqual([
      'issuer_unknown',
      `differs from ${HERALD} in ${difference}`,
    ]);
  });

  it.each(['https://canary.service/', `https://herald.service${'/'.repeat(2000)}`, 'canary'])(
    'and nothing of any other: %#',
    async (issuer) => {
      expect(await detailOf({ token: { issuer } })).toEqual(['issuer_unknown', undefined]);
    },
  );

  it('nor anything where issuers are looked up', async () => {
    const find = () => undefined;
    const token = { issuer: 'https://herald.service' };
    expect(await detailOf({ token, options: { trustedIssuers: { find } } })).toEqual([
      'issuer_unknown',
      undefined,
    ]);
  });
});

it('key_unknown says which keys are known, five at most', async () => {
  const keys = Array.from({ length: 7 }, (_, at) => ({
    publicKey: createKey().publicPem,
    keyId: `key-${at}`,
  }));
  const trustedIssuers = [{ issuer: HERALD, keys }];
  expect(await detailOf({ options: { trustedIssuers } })).toEqual([
    'key_unknown',
    'the keys configured here are "key-0", "key-1", "key-2", "key-3", "key-4" and 2 more',
  ]);
});

it('lifetime_too_long says how long a token lives, and may live', async () => {
  const nowSeconds = Math.floor(Date.now() / 1000);
  const claims = { iat: nowSeconds, exp: nowSeconds + 3600 };
  expect(await detailOf({ token: { claims } })).toEqual([
    'lifetime_too_long',
    '3600 s, where at most 300 s are accepted',
  ]);
});
