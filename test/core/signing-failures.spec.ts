import {
  createServiceAuth,
  type OutgoingRequest,
  type ServiceAuthOptions,
  ServiceSigningError,
  SIGNING_FAILURES,
  type SigningFailureCode,
} from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, HERALD, now, outgoing, USER } from '../support/services/peers.js';

const key = createKey();
const NO_BODY = new Uint8Array();
const VETERAN = 'https://veteran.service/';
const MAX_TOKEN_LENGTH = 8192;
const CANARY = 'canary-value-of-a-header';

/** Failures of the clients, which know what is not yet bytes and for whom a call is made. */
const PROVOKED_ELSEWHERE: readonly SigningFailureCode[] = [
  'subject_undecided',
  'body_unsupported',
  'body_too_large',
  // Making a grant signs no request: test/core/grants/issue-grant.spec.ts.
  'originate_refused',
  // No request: test/core/messages/message-text.spec.ts.
  'message_unsignable',
];

interface Row {
  readonly title: string;
  readonly code: SigningFailureCode;
  readonly bad: Partial<OutgoingRequest>;
  readonly twin: Partial<OutgoingRequest>;
  readonly options?: Partial<ServiceAuthOptions>;
}

const refusedUrls = (code: SigningFailureCode, urls: readonly string[], twin = CENSUS): Row[] =>
  urls.map((url) => ({ title: url, code, bad: { url }, twin: { url: twin } }));

const subjectRow = (subject: string, twin = USER): Row => ({
  title: `the subject ${JSON.stringify(subject).slice(0, 60)}`,
  code: 'subject_invalid',
  bad: { subject },
  twin: { subject: twin },
});

const headerRow = (value: string | string[], twin: string): Row => ({
  title: `a Content-Type ${JSON.stringify(value)}`,
  code: 'header_unsignable',
  bad: { headers: { 'content-type': value } },
  twin: { headers: { 'content-type': twin } },
});

const longestPath = `/${'p'.repeat(4096 - 'POST /'.length)}`;

const TRUSTING = { trustDomain: 'https://test.example.org/' };
const GRANT = 'header.claims.signature';

const grantRows: readonly Row[] = [
  {
    title: 'a grant for a target that takes none',
    code: 'grant_unusable',
    bad: { grant: GRANT },
    twin: {},
  },
  {
    title: 'a grant of nobody',
    code: 'grant_unusable',
    options: TRUSTING,
    bad: { grant: GRANT, subject: undefined },
    twin: { grant: GRANT },
  },
  {
    title: 'no grant for a user, to a target that requires one',
    code: 'grant_unusable',
    options: { ...TRUSTING, targets: [{ baseUrl: CENSUS, grants: 'required' }] },
    bad: {},
    twin: { subject: undefined },
  },
  ...[
    '',
    'a.b',
    'a.b.c.d',
    'a.b.c ',
    ' a.b.c',
    'a.b.c,a.b.c',
    'a.b.c\r\nX: 1',
    'a.b.=',
    CANARY,
  ].map((grant): Row => ({
    title: `a grant ${JSON.stringify(grant)}`,
    code: 'grant_unusable',
    options: TRUSTING,
    bad: { grant },
    twin: { grant: GRANT },
  })),
  {
    title: 'a grant of 4097 characters',
    code: 'grant_unusable',
    options: TRUSTING,
    bad: { grant: `a.b.${'c'.repeat(4093)}` },
    twin: { grant: `a.b.${'c'.repeat(4092)}` },
  },
];

const ROWS: readonly Row[] = [
  {
    title: 'a method that is a word of messages',
    code: 'method_unsignable',
    bad: { method: 'emit' },
    twin: { method: 'EMITS' },
  },
  ...grantRows,
  ...refusedUrls('target_unknown', [
    'https://orders.service/',
    'http://census.service/',
    'https://census.service:8443/',
    'https://census.service.evil.example/',
    'https://evil-census.service/',
    'https://census.service./',
    'https://sub.census.service/',
    'https://xn--cnsus-9ra.service/',
    'https:orders.service',
    'https://evil.example/https://census.service/',
    'https://evil.example?https://census.service/',
    'https://evil.example#https://census.service/',
    'https://evil.example\\.census.service/',
  ]),
  ...refusedUrls('target_invalid', [
    '/user/',
    '//census.service/',
    '//evil.example/',
    '/\\evil.example/',
    '',
    'census.service',
    'ftp://census.service/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'ws://census.service/',
    'https://',
    'https://user@census.service/',
    'https://user:pass@census.service/',
    'https://:pass@census.service/',
    'https://census.service@evil.example/',
    'https://census.service%2f@evil.example/',
  ]),
  subjectRow(''),
  subjectRow(' '),
  subjectRow('21'),
  subjectRow('/user/21/'),
  subjectRow('javascript:alert(1)'),
  subjectRow('https://user:pass@census.service/'),
  subjectRow(`${USER}\r\nSet-Cookie: a=b`),
  subjectRow(`${USER}\u202e`),
  subjectRow(CENSUS.padEnd(1025, 'u'), CENSUS.padEnd(1024, 'u')),
  {
    title: 'no subject for a target of the original profile',
    code: 'subject_required',
    bad: { url: VETERAN, subject: undefined },
    twin: { url: VETERAN },
  },
  headerRow(['a/b', 'c/d'], 'a/b'),
  headerRow(['a/b', 'a/b'], 'a/b'),
  headerRow('a/b\r\nX-Other: 1', 'a/b'),
  headerRow('a/b\0', 'a/b'),
  headerRow(' a/b', 'a/b'),
  headerRow('a/b ', 'a/b'),
  headerRow('a/b;c=\u20ac', 'a/b;c=\u00e9'),
  {
    title: 'a Content-Type under two spellings of its name',
    code: 'header_unsignable',
    bad: { headers: { 'content-type': 'a/b', 'Content-Type': 'a/b' } },
    twin: { headers: { 'Content-Type': 'a/b' } },
  },
  {
    title: 'a signed header that has two values',
    code: 'header_unsignable',
    options: { signedHeaders: ['x-order'] },
    bad: { headers: { 'x-order': ['1', CANARY] }, body: NO_BODY },
    twin: { headers: { 'x-other': ['1', '2'], 'x-order': '1' }, body: NO_BODY },
  },
  {
    title: 'a request line of 4097 characters',
    code: 'request_too_long',
    bad: { url: `https://census.service${longestPath}p` },
    twin: { url: `https://census.service${longestPath}` },
  },
  {
    title: 'a signed header that makes the token too large',
    code: 'token_too_large',
    options: { signedHeaders: ['x-large'] },
    bad: { headers: { 'x-large': 'x'.repeat(6000) } },
    twin: { headers: { 'x-large': 'x'.repeat(5000) } },
  },
];

async function failureOf(
  request: OutgoingRequest,
  options: Partial<ServiceAuthOptions> = {},
): Promise<ServiceSigningError | undefined> {
  const service = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: key.privateKey },
    targets: [{ baseUrl: CENSUS }, { baseUrl: VETERAN, profile: 'original' }],
    now,
    ...options,
  });
  try {
    const token = await service.sign(request);
    expect(token).toEqual(expect.any(String));
    return undefined;
  } catch (error) {
    if (error instanceof ServiceSigningError) return error;
    throw error;
  }
}

describe('sign() refuses', () => {
  it.each(ROWS)('$title: $code', async ({ code, bad, twin, options }) => {
    const failure = await failureOf(outgoing(bad), options);
    expect(failure).toMatchObject({ name: 'ServiceSigningError', code });
    expect(failure?.message).toContain(SIGNING_FAILURES[code].message);
    expect(failure?.message).not.toMatch(/canary|pass@|Set-Cookie/);
    expect(await failureOf(outgoing(twin), options)).toBeUndefined();
  });

  it.each<[string, Partial<OutgoingRequest>]>([
    ['header_unsignable', { headers: { 'content-type': ['a/b', 'c/d'] } }],
    ['subject_invalid', { subject: 'census' }],
    ['target_unknown', { url: 'https://orders.service/secret?canary' }],
  ])('%s and says what it is about', async (code, bad) => {
    const about = { header_unsignable: 'content-type', subject_invalid: 'not an absolute URI' };
    const detail = { ...about, target_unknown: 'https://orders.service' }[code];
    expect(await failureOf(outgoing(bad))).toMatchObject({ code, detail });
  });

  it('a token of 8193 characters, and none of 8192', async () => {
    const lengths: (number | string)[] = [];
    // Base64url has no text of one character more than a multiple of four, so not every key id meets the limit.
    for (const keyId of ['a', 'ab', 'abc']) {
      const service = await createServiceAuth({
        issuer: HERALD,
        signingKey: { privateKey: key.privateKey, keyId },
        targets: [{ baseUrl: CENSUS }],
        signedHeaders: ['x-large'],
        now,
      });
      const lengthFor = async (size: number): Promise<number | string> => {
        const request = outgoing({ headers: { 'x-large': 'x'.repeat(size) }, body: NO_BODY });
        try {
          return (await service.sign(request))?.length ?? 'unsigned';
        } catch (error) {
          return error instanceof ServiceSigningError ? error.code : String(error);
        }
      };
      const left = MAX_TOKEN_LENGTH - Number(await lengthFor(5000));
      const about = 5000 + Math.floor((left * 3) / 4);
      for (let size = about - 4; size < about + 4; size++) lengths.push(await lengthFor(size));
    }
    expect(lengths).toContain(MAX_TOKEN_LENGTH);
    expect(lengths).toContain('token_too_large');
    expect(lengths.filter((each) => Number(each) > MAX_TOKEN_LENGTH)).toEqual([]);
  });

  it('everything in a service without a signing key: sending_disabled', async () => {
    const receivingOnly = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: key.publicKey }],
    });
    await expect(receivingOnly.sign(outgoing())).rejects.toMatchObject({
      code: 'sending_disabled',
    });
    expect(() => receivingOnly.targetOf(CENSUS)).toThrow(SIGNING_FAILURES.sending_disabled.message);
    expect(await failureOf(outgoing())).toBeUndefined();
  });

  it('in a service that was closed', async () => {
    const service = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: key.privateKey },
      targets: [{ baseUrl: CENSUS }],
      now,
    });
    expect(await service.sign(outgoing())).toMatch(/^eyJ/);
    service.close();
    await expect(service.sign(outgoing())).rejects.toMatchObject({
      name: 'ServiceSigningError',
      code: 'service_closed',
      message: SIGNING_FAILURES.service_closed.message,
    });
  });

  it('with every code that a signer can answer', () => {
    const provoked = new Set<string>(ROWS.map(({ code }) => code))
      .add('sending_disabled')
      .add('service_closed');
    const all = Object.keys(SIGNING_FAILURES) as SigningFailureCode[];
    expect(all.filter((code) => !provoked.has(code) && !PROVOKED_ELSEWHERE.includes(code))).toEqual(
      [],
    );
  });

  it('what the clock cannot date', async () => {
    for (const nonsense of [Number.NaN, Number.POSITIVE_INFINITY, undefined, 'now']) {
      const undated = failureOf(outgoing(), { now: () => nonsense as number });
      await expect(undated).rejects.toThrow(/`now`/);
    }
  });
});
