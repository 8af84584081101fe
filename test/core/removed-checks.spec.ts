import {
  createServiceAuth,
  type ServiceAuth,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
  type TokenUse,
} from 'nestjs-service-auth/core';
import {
  type AttemptParts,
  encodeWithStrayBit,
  sendAs,
  signSegments,
  tokenFor,
  toCall,
  withHeaderText,
  withParts,
  withPayload,
} from '../support/attacks/attempt.js';
import {
  BASELINE,
  CENSUS,
  CLERK,
  NOW_SECONDS,
  ORIGINAL,
  POSTED,
  strangerKey,
  trustedIssuers,
} from '../support/services/census.js';
import { codeOf } from '../support/services/peers.js';
import { digest, encode, md5, sha256 } from '../support/tokens/forge.js';

const UNKNOWN = 'https://unknown.service/';
const TOLERANCE = 7;
const CHUNKED_TWICE: AttemptParts = {
  ...POSTED,
  headers: { 'Transfer-Encoding': ['chunked', 'chunked'] },
};

const hdrOf = (length: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length }, (_, at) => [`h${at}`, 'x']));
const twice = (token: string, between: string): string => token + between + token;

/** What only one check tells from its neighbours: each is refused with the code and the detail of that check. */
const REFUSED: [title: string, code: string, detail: string | undefined, change: AttemptParts][] = [
  [
    'SG-09 a foreign alg comes before an unknown issuer',
    'algorithm_refused',
    'alg is not one of the protocol',
    { issuer: UNKNOWN, header: { alg: 'ES257' } },
  ],
  ['AI-07 an unknown issuer', 'issuer_unknown', undefined, { issuer: UNKNOWN }],
  [
    'SG-06 an algorithm of another key',
    'algorithm_refused',
    'alg is not the algorithm of the key',
    { header: { alg: 'ES384' } },
  ],
  [
    'TS-03 two headers',
    'token_repeated',
    'several JWT headers',
    { send: sendAs((token) => [token, token]) },
  ],
  ...([',', ' , ', '\t,\t'] as const).map((between): (typeof REFUSED)[number] => [
    `TS-05 two tokens joined by ${JSON.stringify(between)}`,
    'token_repeated',
    'several tokens in one header',
    { send: sendAs((token) => twice(token, between)) },
  ]),
  [
    'TS-05 three tokens',
    'token_repeated',
    'several tokens in one header',
    { send: sendAs((token) => twice(token, `,${token},`)) },
  ],
  ...[
    (token: string) => `Bearer ${twice(token, ',')}`,
    (token: string) => `${twice(token, ',')} x`,
  ].map((send): (typeof REFUSED)[number] => [
    `TS-07 two tokens and more than that: ${send('a')}`,
    'token_malformed',
    'not three base64url segments',
    { send: sendAs(send) },
  ]),
  [
    'TS-16 a stray bit',
    'token_malformed',
    'base64url not canonical',
    { send: sendAs((token) => `${token}x`) },
  ],
  [
    'TS-16 a header with a stray bit',
    'token_malformed',
    'base64url not canonical',
    {
      build: (header, claims, key) =>
        signSegments(encodeWithStrayBit(header), encode(JSON.stringify(claims)), key),
    },
  ],
  [
    'TS-26 no JSON',
    'token_malformed',
    'not JSON in UTF-8',
    { build: withPayload((json) => json.slice(1)) },
  ],
  [
    'TS-25 a list',
    'token_malformed',
    'not a JSON object',
    { build: withHeaderText((json) => `[${json}]`) },
  ],
  [
    'TS-30 a member twice',
    'claim_invalid',
    'duplicate member',
    { build: withPayload((json) => json.replace('{', '{"canary":1,')) },
  ],
  [
    'CL-17 a forbidden member',
    'claim_invalid',
    'member with a forbidden name',
    { build: withPayload((json) => json.replace('{', '{"__proto__":1,')) },
  ],
  [
    'TS-31 nested 17 deep',
    'claim_invalid',
    'nested deeper than 16',
    { claims: { deep: JSON.parse('['.repeat(16) + ']'.repeat(16)) as unknown } },
  ],
  [
    'TS-28 a lone surrogate',
    'token_malformed',
    'a string with a lone surrogate',
    { build: withPayload((json) => json.replace('{', '{"x":"\\ud800",')) },
  ],
  [
    'TS-28 a lone surrogate in a name',
    'token_malformed',
    'a string with a lone surrogate',
    { build: withPayload((json) => json.replace('{', '{"\\ud800":"x",')) },
  ],
  ['HP-01 alg', 'header_invalid', 'alg is not a string', { header: { alg: 5 } }],
  ['HP-03 crit', 'header_invalid', 'crit is refused', { header: { crit: [] } }],
  ['HP-13 kid', 'header_invalid', 'kid is not acceptable', { header: { kid: 5 } }],
  ['HP-12 no kid', 'key_unknown', 'no kid', { header: { kid: undefined } }],
  ['HP-23 typ', 'header_invalid', 'typ is not a string', { header: { typ: 5 } }],
  ['HP-21 another typ', 'header_invalid', 'typ is not svc+jwt', { header: { typ: 'at+jwt' } }],
  [
    'HP-07 a stranger in the header',
    'header_invalid',
    'a member the profile does not allow',
    { header: { jwk: {} } },
  ],
  ['CL-01 no iss', 'claim_missing', 'iss', { claims: { iss: undefined } }],
  ['CL-03 no exp', 'claim_missing', 'exp', { claims: { exp: undefined } }],
  ['CL-07 no bdy', 'claim_missing', 'bdy', { ...POSTED, claims: { bdy: undefined } }],
  ['CL-08 iss', 'claim_invalid', 'iss is not a string', { claims: { iss: 5 } }],
  ['AI-01 aud', 'claim_invalid', 'aud is empty', { claims: { aud: '' } }],
  ['RP-07 jti', 'claim_invalid', 'jti has the wrong form', { claims: { jti: 'short' } }],
  ['RB-19 req', 'claim_invalid', 'req has the wrong form', { claims: { req: 'GET' } }],
  [
    'RB-19 a long req',
    'claim_invalid',
    'req is too long',
    { claims: { req: `GET /${'a'.repeat(4092)}` } },
  ],
  ['TM-04 exp', 'claim_invalid', 'exp is not a finite number', { claims: { exp: '1' } }],
  ['BB-11 bdy', 'claim_invalid', 'bdy is not a digest', { ...POSTED, claims: { bdy: 'x' } }],
  [
    'BB-13 MD5',
    'claim_invalid',
    'bdy is md5, which the profile does not accept',
    { ...POSTED, claims: { bdy: md5(POSTED.body) } },
  ],
  ['CL-12 hdr', 'claim_invalid', 'hdr is not an object', { claims: { hdr: [] } }],
  ['CL-12 33 headers', 'claim_invalid', 'hdr has too many members', { claims: { hdr: hdrOf(33) } }],
  [
    'CL-12 a name',
    'claim_invalid',
    'hdr has a name that is no lower-case header',
    { claims: { hdr: { A: '' } } },
  ],
  [
    'CL-12 a value',
    'claim_invalid',
    'hdr has a value that is not a string',
    { claims: { hdr: { a: 5 } } },
  ],
  [
    'BB-18 another type',
    'header_mismatch',
    'content-type differs',
    { ...POSTED, claims: { hdr: { 'content-type': 'text/plain' } } },
  ],
  [
    'RB-62 a header that nobody but the token names',
    'header_mismatch',
    'another header in hdr differs',
    { claims: { hdr: { 'canary-of-a-name': 'x' } } },
  ],
  [
    'BB-18 a type that is not bound',
    'header_mismatch',
    'content-type is not bound',
    { ...POSTED, claims: { hdr: undefined } },
  ],
  [
    'CH-05 a coding that is not bound',
    'header_mismatch',
    'content-encoding is not bound',
    { ...POSTED, headers: { 'content-encoding': 'gzip' } },
  ],
  [
    'CH-06 a range that is not bound',
    'header_mismatch',
    'content-range is not bound',
    { ...POSTED, headers: { 'content-range': 'bytes 0-1/2' } },
  ],
  [
    'CH-08 a transfer coding',
    'body_unverifiable',
    'the body: a transfer coding besides chunked',
    { ...POSTED, headers: { 'transfer-encoding': 'gzip, chunked' } },
  ],
  [
    'CH-08 chunked in two lines',
    'body_unverifiable',
    'the body: a transfer coding besides chunked',
    CHUNKED_TWICE,
  ],
  [
    'TM-01 exp',
    'token_expired',
    '30.0 s ago by this clock',
    { claims: { iat: NOW_SECONDS - 90, exp: NOW_SECONDS - 30 } },
  ],
  [
    'TM-02 exp at the last moment',
    'token_expired',
    `${TOLERANCE}.0 s ago by this clock`,
    { claims: { iat: NOW_SECONDS - 67, exp: NOW_SECONDS - TOLERANCE } },
  ],
  [
    'TM-12 an original token of long ago that says it ends much later',
    'token_expired',
    'issued longer ago than a token may live',
    {
      ...ORIGINAL,
      claims: { ...ORIGINAL.claims, iat: NOW_SECONDS - 100_000, exp: NOW_SECONDS + 60 },
    },
  ],
  [
    'TM-11 iat',
    'token_not_yet_valid',
    'iat is 30.0 s ahead of this clock',
    { claims: { iat: NOW_SECONDS + 30 } },
  ],
  [
    'TM-14 nbf',
    'token_not_yet_valid',
    'nbf is 30.0 s ahead of this clock',
    { claims: { nbf: NOW_SECONDS + 30 } },
  ],
  [
    'TM-08 exp at iat',
    'claim_invalid',
    'exp is not after iat',
    { claims: { iat: NOW_SECONDS, exp: NOW_SECONDS } },
  ],
  ['TM-08 nbf', 'claim_invalid', 'exp is before nbf', { claims: { nbf: NOW_SECONDS + 100 } }],
  [
    'TM-12 iat long ago',
    'token_expired',
    'issued longer ago than a token may live',
    { claims: { iat: NOW_SECONDS - 400 } },
  ],
  ...(
    [
      ['CL-13', 'u'.repeat(1025), 'longer than 1024 characters'],
      ['CL-14', 'urn:a\u0000', 'with a control or space character'],
      ['CL-15', '/user:12/', 'not an absolute URI'],
      ['CL-15', 'data:x', 'with a scheme that is refused'],
      ['CL-15', 'https://a@b/', 'with credentials'],
      ['CL-15', 'http:census.service/12/', 'not an absolute URI'],
      ['CL-15', 'https://census.service:99999/user/12/', 'not an absolute URI'],
      ['CL-15', 'https://[census.service/user/12/', 'not an absolute URI'],
      ['CL-15', 'https:census?https://census.service/12/', 'not an absolute URI'],
    ] as const
  ).map(([id, subject, flaw]): (typeof REFUSED)[number] => [
    `${id} sub ${JSON.stringify(subject.slice(0, 40))}`,
    'claim_invalid',
    `sub is ${flaw}`,
    { subject },
  ]),
  [
    'CL-22 one dot under the prefix',
    'subject_not_allowed',
    undefined,
    { issuer: CLERK, subject: `${CENSUS}user/./1/` },
  ],
  [
    'CL-22 a letter escaped four times',
    'subject_not_allowed',
    undefined,
    { issuer: CLERK, subject: `${CENSUS}user/%25252541/1/` },
  ],
  [
    'SG-21 another key',
    'signature_invalid',
    `the known key "${BASELINE.key.keyId}" did not sign it`,
    { key: { ...strangerKey, keyId: BASELINE.key.keyId } },
  ],
];

/** What a check that went too far would refuse. */
const ACCEPTED: [title: string, change: AttemptParts][] = [
  ['CL-20 a list with the same string three times', { claims: { tags: ['a', 'a', 'a'] } }],
  ['CL-20 a list with the names that members must not have', { claims: { a: ['b', '__proto__'] } }],
  [
    'TS-30 a name that was used within another member',
    { claims: { first: { name: { name: 1 } }, name: 1, second: [{ name: 1 }, { name: 2 }] } },
  ],
  ['TS-31 17 lists side by side', { claims: { wide: Array.from({ length: 17 }, () => [{}]) } }],
  ['CL-12 32 headers', { claims: { hdr: hdrOf(32) }, headers: hdrOf(32) }],
  ['TS-31 nested 16 deep', { claims: { deep: JSON.parse('['.repeat(15) + ']'.repeat(15)) } }],
  ['CL-15 a URN with the name of a scheme in it', { subject: 'urn:census:data:1' }],
  ['CL-15 a URN with https: in it', { subject: 'urn:census:https:12' }],
  ['CL-15 a URN with :// and @ in it', { subject: 'urn:census:x://a@b' }],
  ['CL-22 a segment that ends in a dot', { issuer: CLERK, subject: `${CENSUS}user/a./1/` }],
  ...[
    '1;v=2',
    '1;..',
    'a%20b',
    '%C3%A9/%E9',
    '\u00e9\uff0ea',
    'a..;x/1',
    '100%25',
    '1?from=a/b..',
    '%2525',
    'a\\b',
    '.a/b./1',
    '%252541/1',
    '%u1/1',
  ].map((end): (typeof ACCEPTED)[number] => [
    `CL-22 ${end} under the prefix`,
    { issuer: CLERK, subject: `${CENSUS}user/${end}` },
  ]),
  ['CL-22 a segment that begins with a dot', { issuer: CLERK, subject: `${CENSUS}user/.a/1/` }],
  [
    'AI-16 an original token of long ago that names no end and no id',
    { ...ORIGINAL, claims: { ...ORIGINAL.claims, iat: NOW_SECONDS - 100_000 } },
  ],
];

describe('the checks of the verifier, each told from its neighbours', () => {
  const uses: TokenUse[] = [];
  let milliseconds = NOW_SECONDS * 1000;
  let answer: () => unknown;
  let census: ServiceAuth;
  beforeAll(async () => {
    census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers,
      clockToleranceSeconds: TOLERANCE,
      now: () => milliseconds,
      replayStore: {
        recordUse: (use) => {
          uses.push(use);
          return answer() as 'first';
        },
      },
    });
  });
  beforeEach(() => {
    milliseconds = NOW_SECONDS * 1000;
    answer = () => 'first';
  });
  afterAll(() => census.close());

  async function verify(
    parts: AttemptParts,
    afterBody = () => {},
    settle?: () => Promise<void>,
  ): Promise<[string, unknown]> {
    const attempt = withParts(BASELINE, parts);
    const request = toCall(attempt, tokenFor(attempt, NOW_SECONDS));
    const bytes = Buffer.from(request.body ?? '');
    const body = {
      hasContent: bytes.length > 0,
      settle,
      digest: async (algorithm: string) => {
        afterBody();
        return await Promise.resolve(digest(algorithm, bytes));
      },
    };
    const rawHeaders = Object.entries(request.headers ?? {}).flatMap(([name, value]) =>
      [value].flat().flatMap((each) => [name, String(each)]),
    );
    const { method = 'GET', target } = request;
    try {
      await census.verify({ method, target, rawHeaders, body });
      return ['accepted', undefined];
    } catch (error) {
      if (error instanceof ServiceTokenRefusedError) return [error.code, error.detail];
      if (error instanceof ServiceAuthUnavailableError) return [error.code, error.detail];
      throw error;
    }
  }

  it.each(REFUSED)('%s: %s (%s)', async (_title, code, detail, change) => {
    expect(await verify(change)).toEqual([code, detail]);
  });

  it.each(ACCEPTED)('accepts %s', async (_title, change) => {
    expect(await verify(change)).toEqual(['accepted', undefined]);
  });

  it.each([
    [TOLERANCE - 1, 'accepted', 1],
    [TOLERANCE, 'token_expired', 0],
  ])(
    'TM-01 a token that expired %s seconds ago: %s, and its body is read %s times',
    async (seconds, verdict, times) => {
      let reads = 0;
      const claims = { iat: NOW_SECONDS - 60, exp: NOW_SECONDS - seconds };
      const [code] = await verify({ ...POSTED, claims }, () => reads++);
      expect([code, reads]).toEqual([verdict, times]);
    },
  );

  it.each([
    [66, 'accepted'],
    [67, 'token_expired'],
  ])('TM-17 a token of 60 seconds and a body of %s: %s', async (seconds, verdict) => {
    const [code] = await verify(POSTED, () => (milliseconds += seconds * 1000));
    expect(code).toBe(verdict);
  });

  it('RP-08 has a use remembered until no tolerance lets its token in', async () => {
    const remembered = async (claims: object, parts: AttemptParts = {}): Promise<unknown> => {
      uses.length = 0;
      expect(await verify({ ...parts, claims: { ...parts.claims, ...claims } })).toEqual([
        'accepted',
        undefined,
      ]);
      return uses.map(({ forgetAtSeconds }) => forgetAtSeconds - NOW_SECONDS);
    };
    const jti = 'an-id-of-an-original-token';
    expect(await remembered({ exp: NOW_SECONDS + 20 })).toEqual([20 + TOLERANCE]);
    expect(await remembered({ jti, iat: NOW_SECONDS - 100 }, ORIGINAL)).toEqual([3500 + TOLERANCE]);
    expect(await remembered({ jti }, ORIGINAL)).toEqual([3600 + TOLERANCE]);
    expect(await remembered({}, ORIGINAL)).toEqual([]);
  });

  it.each([
    [66, 'accepted'],
    [67, 'token_expired'],
  ])(
    'TM-17 a token of 60 seconds, and %s until it is known that nothing follows: %s',
    async (seconds, verdict) => {
      const settle = async (): Promise<void> => {
        milliseconds += seconds * 1000;
        await Promise.resolve();
      };
      expect((await verify({}, undefined, settle))[0]).toBe(verdict);
    },
  );

  it.each([
    ['accepted', {}],
    ['request_mismatch', { claims: { req: 'GET /another/' } }],
  ])('RB-05 once it is known that nothing follows: %s', async (verdict, change) => {
    const settle = async (): Promise<void> => await Promise.resolve();
    expect((await verify(change, undefined, settle))[0]).toBe(verdict);
  });

  const noVerdict = 'the store answered neither "first" nor "seen"';
  const full = new ServiceAuthUnavailableError('replay_store_unavailable', { detail: 'full' });
  const fail = (error: unknown) => (): never => {
    throw error;
  };
  it.each<[string, () => unknown, string, string | undefined]>([
    ['RP-01 says seen', () => 'seen', 'token_replayed', undefined],
    ['RP-17 says nothing', () => undefined, 'replay_store_unavailable', noVerdict],
    ['RP-17 says OK', () => 'OK', 'replay_store_unavailable', noVerdict],
    ['RP-17 throws', fail(new Error('canary')), 'replay_store_unavailable', undefined],
    ['RP-12 throws what it is short of', fail(full), 'replay_store_unavailable', 'full'],
  ])('a store that %s', async (_title, said, code, detail) => {
    answer = said;
    expect(await verify({})).toEqual([code, detail]);
  });

  it('RP-17 a store that throws is told of with what it threw', async () => {
    const cause = new Error('canary');
    answer = fail(cause);
    const attempt = withParts(BASELINE, {});
    const { method = 'GET', target } = toCall(attempt, '');
    const rawHeaders = ['JWT', tokenFor(attempt, NOW_SECONDS)];
    const request = { method, target, rawHeaders, body: new Uint8Array() };
    await expect(census.verify(request)).rejects.toMatchObject({ cause });
    answer = () => 'first';
    await expect(census.verify(request)).resolves.toMatchObject({ issuer: attempt.issuer });
  });

  it('TS-03 a header that is a name without a value is no token, and makes two of one', async () => {
    const attempt = withParts(BASELINE, {});
    const { method = 'GET', target } = toCall(attempt, '');
    const token = tokenFor(attempt, NOW_SECONDS);
    const verdictOn = async (...rawHeaders: string[]): Promise<string> =>
      await codeOf(() => census.verify({ method, target, rawHeaders, body: new Uint8Array() }));
    expect(await verdictOn('jwt', '')).toBe('token_missing');
    expect(await verdictOn('jwt', token, 'jwt', '')).toBe('token_repeated');
    expect(await verdictOn('jwt', token, 'x-other', '')).toBe('accepted');
  });

  it('claims cannot be changed by whom they are given to, however deep', async () => {
    const attempt = withParts(BASELINE, { claims: { roles: [{ name: 'reader' }], none: null } });
    const { method = 'GET', target } = toCall(attempt, '');
    const rawHeaders = ['JWT', tokenFor(attempt, NOW_SECONDS)];
    const identity = await census.verify({ method, target, rawHeaders, body: new Uint8Array() });
    const roles = identity.claims['roles'] as object[];
    expect(roles).toEqual([{ name: 'reader' }]);
    for (const each of [identity, identity.claims, roles, roles[0]]) {
      expect(Object.isFrozen(each)).toBe(true);
    }
  });

  it('BB-01 asks for the digest that bdy names', async () => {
    const wrong = { ...POSTED, claims: { bdy: sha256('other') } };
    expect(await verify(wrong)).toEqual(['body_mismatch', 'other bytes arrived']);
    expect(await verify(POSTED)).toEqual(['accepted', undefined]);
  });
});
