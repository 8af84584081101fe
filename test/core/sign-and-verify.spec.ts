import fc from 'fast-check';
import {
  type Algorithm,
  ALGORITHMS,
  type IncomingRequest,
  type OutgoingRequest,
} from 'nestjs-service-auth/core';
import { createKey, type TestKey } from '../support/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  HERALD,
  outgoing,
  type Peers,
  received,
  signed,
} from '../support/peers.js';

const RUNS = { numRuns: 200 };
const NO_HEADERS: Record<string, string> = {};
const PROFILES = ['strict', 'original'] as const;
const rsa = createKey('RS256');
const keys = new Map<Algorithm, TestKey>(
  (Object.keys(ALGORITHMS) as Algorithm[]).map((algorithm) => [
    algorithm,
    /^[PR]S/.test(algorithm) ? rsa : createKey(algorithm),
  ]),
);

const path = fc
  .array(
    fc.oneof(
      fc.webSegment(),
      fc.constantFrom('%2F', '%2e%2e', 'a%20b', ';v=1', '@evil', '..%5c', '\u00e9', '%', ''),
    ),
    { maxLength: 4 },
  )
  .map((segments) => segments.join('/'));
const query = fc.oneof(
  fc.constant(''),
  fc.constantFrom('?', '?a', '?a=1&a=2', '?a[]=%5B&b=c+d', '?%', '?//x', '?q=\u20ac'),
  fc.webQueryParameters().map((text) => `?${text}`),
);
const subject = fc.oneof(
  fc.constant(undefined),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  fc.stringMatching(/^urn:[a-z]{2,8}:[A-Za-z0-9()+,.:=@;$_!*'%/?#-]{1,30}$/),
  fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 20 }).map((text) => {
    const safe = text.replace(/[\p{Cc}\p{Cf}\p{Z}\p{Cs}@]/gu, '_');
    return `${CENSUS}user/${safe}/`;
  }),
);

const request: fc.Arbitrary<OutgoingRequest> = fc
  .record({
    method: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
    path,
    query,
    body: fc.uint8Array({ maxLength: 300 }),
    type: fc.constantFrom(undefined, 'application/json', 'text/plain; charset="x"', 'a/b'),
    subject,
  })
  .map((parts) => ({
    method: parts.method,
    url: `${CENSUS}${parts.path}${parts.query}`,
    headers: parts.type === undefined ? NO_HEADERS : { 'content-TYPE': parts.type },
    body: parts.body,
    subject: parts.subject,
  }));

describe.each(PROFILES)('in the %s profile', (profile) => {
  describe.each([...keys])('with %s', (algorithm, key) => {
    let peers: Peers;
    beforeAll(async () => {
      peers = await createPeers(key, { profile, algorithm });
    });

    it('verifies what it signed, and proves what was said', async () => {
      const runs = /^[PR]S/.test(algorithm) ? { numRuns: 40 } : RUNS;
      await fc.assert(
        fc.asyncProperty(request, async (made) => {
          const named = {
            ...made,
            subject: made.subject ?? (profile === 'original' ? CENSUS : undefined),
          };
          const token = await signed(peers.herald, named);
          expect(token.split('.')).toHaveLength(3);
          const identity = await peers.census.verify(received(named, token));
          expect(identity).toMatchObject({
            issuer: HERALD,
            audience: CENSUS,
            subject: named.subject,
            keyId: key.keyId,
            profile,
          });
          expect(Object.isFrozen(identity) && Object.isFrozen(identity.claims)).toBe(true);
        }),
        runs,
      );
    });
  });
});

describe('what is changed after signing', () => {
  const key = createKey();
  const good = outgoing();
  let peers: Peers;
  beforeAll(async () => {
    peers = await createPeers(key);
  });

  /** Verifies the unchanged twin too: it must pass once, after the change was refused. */
  async function expectOnlyTheTwinToPass(
    change: (arrived: IncomingRequest, token: string) => IncomingRequest,
  ): Promise<void> {
    const token = await signed(peers.herald, good);
    const arrived = received(good, token);
    expect(await codeOf(async () => await peers.census.verify(change(arrived, token)))).not.toBe(
      'accepted',
    );
    expect(await codeOf(async () => await peers.census.verify(arrived))).toBe('accepted');
  }

  const withToken = (arrived: IncomingRequest, token: string): IncomingRequest => ({
    ...arrived,
    rawHeaders: [...arrived.rawHeaders.slice(0, -1), token],
  });

  const flip = (bytes: Uint8Array, at: number, bit: number): Buffer => {
    const flipped = Buffer.from(bytes);
    const index = at % flipped.length;
    flipped[index] = (flipped[index] ?? 0) ^ (1 << bit);
    return flipped;
  };
  const position = fc.tuple(fc.nat(5000), fc.integer({ min: 0, max: 7 }));

  it('SG-10 refuses a token with any bit of its text flipped', async () => {
    await fc.assert(
      fc.asyncProperty(position, async ([at, bit]) => {
        await expectOnlyTheTwinToPass((arrived, token) =>
          withToken(arrived, flip(Buffer.from(token, 'latin1'), at, bit).toString('latin1')),
        );
      }),
      RUNS,
    );
  });

  it('SG-10 refuses a token with any bit of a decoded segment flipped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(0, 1, 2), position, async (segment, [at, bit]) => {
        await expectOnlyTheTwinToPass((arrived, token) => {
          const segments = token.split('.');
          const bytes = Buffer.from(segments[segment] ?? '', 'base64url');
          segments[segment] = flip(bytes, at, bit).toString('base64url');
          return withToken(arrived, segments.join('.'));
        });
      }),
      RUNS,
    );
  });

  it('BB-01 refuses a body with any bit flipped', async () => {
    await fc.assert(
      fc.asyncProperty(position, async ([at, bit]) => {
        await expectOnlyTheTwinToPass((arrived) => ({
          ...arrived,
          body: flip(good.body, at, bit),
        }));
      }),
      RUNS,
    );
  });

  it('BB-01 refuses any other body', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (body) => {
        fc.pre(!Buffer.from(body).equals(good.body));
        await expectOnlyTheTwinToPass((arrived) => ({ ...arrived, body }));
      }),
      RUNS,
    );
  });

  it.each(['method', 'target'] as const)('RB-01, RB-05 refuses any other %s', async (part) => {
    const similar = fc.oneof(
      position.map(
        ([at, bit]) =>
          (value: string) =>
            flip(Buffer.from(value), at, bit).toString('latin1'),
      ),
      fc.string({ maxLength: 3 }).map((text) => (value: string) => value + text),
      fc.string({ maxLength: 3 }).map((text) => (value: string) => text + value),
      fc.nat(20).map((length) => (value: string) => value.slice(0, length)),
      fc.constantFrom(
        (value: string) => value.toLowerCase(),
        (value: string) => value.toUpperCase(),
        (value: string) => encodeURI(value),
        (value: string) => encodeURIComponent(value),
        (value: string) => `http://census.service${value}`,
        (value: string) => value.replace('/', '//'),
        (value: string) => `${value} HTTP/1.1`,
      ),
    );
    await fc.assert(
      fc.asyncProperty(similar, async (change) => {
        const token = await signed(peers.herald, good);
        const arrived = received(good, token);
        const changed = change(arrived[part]);
        fc.pre(changed !== arrived[part]);
        expect(
          await codeOf(async () => await peers.census.verify({ ...arrived, [part]: changed })),
        ).toBe('request_mismatch');
        expect(await codeOf(async () => await peers.census.verify(arrived))).toBe('accepted');
      }),
      RUNS,
    );
  });

  it('RB-05 cannot be fooled by moving the space between method and target', async () => {
    const moved = outgoing({ method: 'GET', url: `${CENSUS}a%20b`, body: new Uint8Array() });
    const token = await signed(peers.herald, moved);
    const arrived = received(moved, token);
    for (const [method, target] of [
      ['GET /a', 'b'],
      ['GET', ' /a%20b'],
      ['GET ', '/a%20b'],
      ['', 'GET /a%20b'],
    ] as const) {
      const verify = async () => await peers.census.verify({ ...arrived, method, target });
      expect(await codeOf(verify)).toBe('request_mismatch');
    }
  });

  it.each<[string, (rawHeaders: string[]) => string[], string]>([
    ['another value', (raw) => raw.with(3, 'text/plain'), 'header_mismatch'],
    ['another case', (raw) => raw.with(3, 'Application/JSON'), 'header_mismatch'],
    ['no such header', (raw) => raw.toSpliced(2, 2), 'header_mismatch'],
    [
      'the header twice',
      (raw) => raw.toSpliced(2, 0, 'content-type', 'application/json'),
      'header_mismatch',
    ],
    ['two tokens', (raw) => [...raw, 'jwt', 'x.y.z'], 'token_repeated'],
    ['its name in another case', (raw) => raw.with(2, 'CONTENT-TYPE'), 'accepted'],
    ['other headers', (raw) => [...raw, 'X-Other', '1', 'Forwarded', 'host=x'], 'accepted'],
  ])('hdr against a request with %s', async (_title, change, code) => {
    const arrived = received(good, await signed(peers.herald, good));
    const rawHeaders = change([...arrived.rawHeaders]);
    expect(await codeOf(async () => await peers.census.verify({ ...arrived, rawHeaders }))).toBe(
      code,
    );
  });
});

describe('what a token may be used for', () => {
  const key = createKey();

  it('AI-13 a token for a peer is none for this service', async () => {
    const both = await createPeers(key, {
      herald: { trustedIssuers: [{ issuer: CENSUS, publicKey: key.publicKey }] },
    });
    const token = await signed(both.herald, outgoing());
    const arrived = received(outgoing(), token);
    expect(await codeOf(async () => await both.herald.verify(arrived))).toBe('issuer_unknown');
    expect(await codeOf(async () => await both.census.verify(arrived))).toBe('accepted');
  });

  it('a strict issuer cannot send the original format, nor the other way round', async () => {
    const strict = await createPeers(key);
    const original = await createPeers(key, { profile: 'original' });
    const tokens = {
      strict: await signed(strict.herald, outgoing()),
      original: await signed(original.herald, outgoing()),
    };
    const verdict = async (peers: Peers, token: string): Promise<string> =>
      await codeOf(async () => await peers.census.verify(received(outgoing(), token)));
    expect(await verdict(strict, tokens.original)).toBe('header_invalid');
    expect(await verdict(original, tokens.strict)).toBe('header_invalid');
    expect(await verdict(strict, tokens.strict)).toBe('accepted');
    expect(await verdict(original, tokens.original)).toBe('accepted');
  });

  it('TF-23 takes nothing from a polluted Object.prototype', async () => {
    const peers = await createPeers(key);
    const request = outgoing();
    const good = received(request, await signed(peers.herald, request));
    const original = await createPeers(key, { profile: 'original' });
    const incomplete = received(request, await signed(original.herald, request));
    const polluted = {
      jwt: 'x.y.z',
      kid: key.keyId,
      typ: 'svc+jwt',
      req: 'POST /user/?dry=1',
      hdr: {},
      iat: 1_800_000_000,
      exp: 1_800_000_060,
      jti: 'polluted-polluted',
      'content-type': 'text/plain',
      subjects: ['urn:'],
    };
    Object.assign(Object.prototype, polluted);
    try {
      expect(await codeOf(async () => await peers.census.verify(incomplete))).toBe(
        'header_invalid',
      );
      expect(await codeOf(async () => await peers.census.verify(good))).toBe('accepted');
    } finally {
      for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name);
    }
  });
});
