import { createServiceAuth, type RequestBody } from 'nestjs-service-auth/core';
import { decodeClaims, decodeHeader, digest, md5, sha256 } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  createPeers,
  HERALD,
  NOW_SECONDS,
  now,
  outgoing,
  type Peers,
  signed,
  USER,
} from '../support/services/peers.js';

const key = createKey();
const BODY = Buffer.from('{"name":"x"}');
const NO_BODY = new Uint8Array();

describe('a strict token', () => {
  let peers: Peers;
  beforeAll(async () => {
    peers = await createPeers(key);
  });

  it('has exactly the claims and the header of the protocol', async () => {
    const token = await signed(peers.herald, outgoing());
    expect(decodeHeader(token)).toEqual({ alg: 'ES256', kid: key.keyId, typ: 'svc+jwt' });
    expect(decodeClaims(token)).toEqual({
      iss: HERALD,
      aud: CENSUS,
      sub: USER,
      iat: NOW_SECONDS,
      exp: NOW_SECONDS + 60,
      jti: expect.any(String) as string,
      req: 'POST /user/?dry=1',
      hdr: { 'content-type': 'application/json' },
      bdy: sha256(BODY),
    });
  });

  it('names no user, no body and no header where there is none', async () => {
    const request = outgoing({ method: 'GET', body: NO_BODY, subject: undefined });
    expect(Object.keys(decodeClaims(await signed(peers.herald, request))).toSorted()).toEqual([
      'aud',
      'exp',
      'iat',
      'iss',
      'jti',
      'req',
    ]);
  });

  it.each([
    ['a body without a Content-Type', outgoing({ headers: {} }), undefined],
    ['a Content-Type without a body', outgoing({ body: NO_BODY }), undefined],
    [
      'a name in another case',
      outgoing({ headers: { 'CONTENT-type': 'A/B;c="D"' } }),
      { 'content-type': 'A/B;c="D"' },
    ],
    ['an empty value', outgoing({ headers: { 'content-type': '' } }), { 'content-type': '' }],
    [
      'other headers',
      outgoing({ headers: { 'content-type': 'a/b', 'x-order': '7', authorization: 'secret' } }),
      { 'content-type': 'a/b' },
    ],
  ])('binds of %s what the protocol says', async (_title, request, hdr) => {
    expect(decodeClaims(await signed(peers.herald, request))['hdr']).toEqual(hdr);
  });

  it.each([
    ['https://census.service/user/?dry=1', 'POST /user/?dry=1'],
    ['https://census.service', 'POST /'],
    ['https://census.service/a#fragment', 'POST /a'],
    ['https://census.service/%C3%A9?q=%20+', 'POST /%C3%A9?q=%20+'],
    ['https://census.service/é?q=€', 'POST /%C3%A9?q=%E2%82%AC'],
    ['https://CENSUS.service:443/A/../b', 'POST /b'],
    ['https://census.service/a//b/', 'POST /a//b/'],
  ])('is made for the request line of %s', async (url, req) => {
    expect(decodeClaims(await signed(peers.herald, outgoing({ url })))['req']).toBe(req);
    const parsed = outgoing({ url: new URL(url) });
    expect(decodeClaims(await signed(peers.herald, parsed))['req']).toBe(req);
  });

  it('hashes the bytes of a view, not of the buffer under it', async () => {
    const whole = new Uint8Array([1, 2, 3, 4, 5, 6]);
    const token = await signed(peers.herald, outgoing({ body: whole.subarray(2, 4) }));
    expect(decodeClaims(token)['bdy']).toBe(sha256(new Uint8Array([3, 4])));
  });

  it('OS-18 has a jti of its own, of at least 128 random bits', async () => {
    const ids = new Set<unknown>();
    const tokens = Array.from({ length: 300 }, async () => await signed(peers.herald, outgoing()));
    for (const token of await Promise.all(tokens)) ids.add(decodeClaims(token)['jti']);
    expect(ids.size).toBe(300);
    const bytes = [...ids].map((id) => Buffer.from(String(id), 'base64url'));
    expect(Math.min(...bytes.map(({ length }) => length))).toBeGreaterThanOrEqual(16);
    // Every byte varies: nothing in it is a counter, a time or a constant.
    for (let at = 0; at < 16; at++) {
      expect(new Set(bytes.map((value) => value[at])).size).toBeGreaterThan(100);
    }
  });

  it('lives as long as the options say, from the moment it is signed', async () => {
    let milliseconds = NOW_SECONDS * 1000 + 999;
    const { herald } = await createPeers(key, {
      herald: { tokenLifetimeSeconds: 300, now: () => milliseconds },
    });
    const times = async () => {
      const { iat, exp } = decodeClaims(await signed(herald, outgoing()));
      return { iat, exp };
    };
    expect(await times()).toEqual({ iat: NOW_SECONDS, exp: NOW_SECONDS + 300 });
    milliseconds += 1;
    expect(await times()).toEqual({ iat: NOW_SECONDS + 1, exp: NOW_SECONDS + 301 });
  });

  it('binds more headers where the options say so, whatever the case', async () => {
    const { herald } = await createPeers(key, {
      herald: { signedHeaders: ['X-Order', 'x-order'] },
    });
    const headers = { 'content-type': 'a/b', 'x-ORDER': '7' };
    const bound = async (request = outgoing({ headers })) =>
      decodeClaims(await signed(herald, request))['hdr'];
    expect(await bound()).toEqual({ 'content-type': 'a/b', 'x-order': '7' });
    expect(await bound(outgoing({ headers, body: NO_BODY }))).toEqual({ 'x-order': '7' });
    expect(await bound(outgoing())).toEqual({ 'content-type': 'application/json' });
  });

  it.each([
    ['the host of the URL', {}, 'census.service:8443'],
    ['the Host that the caller names', { HOST: 'public.example' }, 'public.example'],
  ])('binds %s where the options say so', async (_title, headers, host) => {
    const { herald } = await createPeers(key, {
      herald: { signedHeaders: ['host'], targets: [{ baseUrl: 'https://census.service:8443/' }] },
    });
    const request = outgoing({ url: 'https://census.service:8443/user', headers, body: NO_BODY });
    expect(decodeClaims(await signed(herald, request))['hdr']).toEqual({ host });
  });

  it.each([
    [BODY, sha256(BODY)],
    [NO_BODY, undefined],
  ])('waits until a body knows whether it has content', async (bytes, bdy) => {
    let hasContent = bytes.length === 0;
    const body: RequestBody = {
      get hasContent() {
        return hasContent;
      },
      settle: async () => {
        await Promise.resolve();
        hasContent = bytes.length > 0;
      },
      digest: (algorithm) => digest(algorithm, bytes),
    };
    expect(decodeClaims(await signed(peers.herald, outgoing({ body })))['bdy']).toBe(bdy);
  });

  it('carries the key id and the algorithm of the options', async () => {
    const rsa = createKey('RS256');
    const herald = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: rsa.privatePem, algorithm: 'PS384', keyId: '2026-04' },
      targets: [{ baseUrl: CENSUS }],
      now,
    });
    const header = decodeHeader(await signed(herald, outgoing()));
    expect(header).toEqual({ alg: 'PS384', kid: '2026-04', typ: 'svc+jwt' });
  });

  it('is for the audience of the target, not for its URL', async () => {
    const { herald } = await createPeers(key, {
      herald: { targets: [{ baseUrl: 'http://127.0.0.1:8080/census', audience: CENSUS }] },
    });
    const token = await signed(herald, outgoing({ url: 'http://127.0.0.1:8080/census/user' }));
    expect(decodeClaims(token)).toMatchObject({ aud: CENSUS, req: 'POST /census/user' });
  });
});

describe('an original token', () => {
  let peers: Peers;
  beforeAll(async () => {
    peers = await createPeers(key, { profile: 'original' });
  });

  it('is exactly of the published form', async () => {
    const token = await signed(peers.herald, outgoing());
    expect(decodeHeader(token)).toEqual({ alg: 'ES256', typ: 'JWT' });
    expect(decodeClaims(token)).toEqual({ iss: HERALD, aud: CENSUS, sub: USER, bdy: md5(BODY) });
  });

  it('has no bdy where there is no body', async () => {
    const token = await signed(peers.herald, outgoing({ body: NO_BODY }));
    expect(decodeClaims(token)).toEqual({ iss: HERALD, aud: CENSUS, sub: USER });
  });
});

it('the digests of the tests are those of the standards', () => {
  expect(md5('')).toBe('d41d8cd98f00b204e9800998ecf8427e');
  expect(sha256('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(digest('sha512', 'abc').slice(0, 16)).toBe('ddaf35a193617aba');
});
