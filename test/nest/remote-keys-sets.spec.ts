import { createHmac } from 'node:crypto';
import type { TrustedIssuerOptions } from 'nestjs-service-auth';
import type { Algorithm } from 'nestjs-service-auth/core';
import {
  type FetchingCensus,
  served,
  startFetchingCensus,
  STATIC,
  staticKey,
  USER,
} from '../support/services/fetching-census.js';
import { encode, strictParts } from '../support/tokens/forge.js';
import type { Answer } from '../support/http/http.js';
import {
  jwkOf,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { CENSUS, closeAfterEach, HERALD } from '../support/services/receiver.js';
import { ADAPTERS } from '../support/services/service.js';

const ANOTHER = 'https://another.service/';
const key = createKey();
const goodKey = createKey();
const strangerKey = createKey();
const rsaKey = createKey('RS256');
const keep = closeAfterEach();

const refused = (code: string) => ({ status: 401, code });

const publish = async (respond: Respond): Promise<string> =>
  keep(await startKeyServer(respond)).url;

describe.each(ADAPTERS)('on %s', (adapter) => {
  const startWith = async (
    issuers: readonly TrustedIssuerOptions[],
    options: Parameters<typeof startFetchingCensus>[2] = {},
  ): Promise<FetchingCensus> => keep(await startFetchingCensus(adapter, issuers, options));

  /** A service whose caller publishes these keys. */
  const startFor = async (
    keys: readonly unknown[],
    issuer: Partial<TrustedIssuerOptions> = {},
  ): Promise<FetchingCensus> =>
    await startWith([{ issuer: HERALD, jwksUri: await publish(serveKeys(keys)), ...issuer }]);

  /** What operators read of keys that are not used: no observer takes the place of the log. */
  async function warningsOf(keys: readonly unknown[]): Promise<string[]> {
    const jwksUri = await publish(serveKeys(keys));
    const issuers = [{ issuer: HERALD, jwksUri }];
    const { logs } = await startWith(issuers, { observer: undefined, requireKeysAtStart: true });
    return logs.texts('warn');
  }

  describe('one issuer and another', () => {
    const [ourKey, theirKey] = [createKey(), createKey()];
    const kid = 'the-key';
    const fetched = async (one: TestKey): Promise<Partial<TrustedIssuerOptions>> => ({
      jwksUri: await publish(serveKeys([jwkOf(one, { kid })])),
    });
    const configured = async (one: TestKey): Promise<Partial<TrustedIssuerOptions>> =>
      await Promise.resolve({ keys: [{ publicKey: one.publicPem, keyId: kid }] });

    it.each([
      ['both fetched', fetched, fetched],
      ['one fetched, one configured', fetched, configured],
      ['both configured', configured, configured],
    ])('KL-04 one key id, two keys, %s: no cross-use', async (_name, ours, theirs) => {
      const { ask } = await startWith([
        { issuer: HERALD, ...(await ours(ourKey)) },
        { issuer: ANOTHER, ...(await theirs(theirKey)) },
      ]);
      const answer = async (one: TestKey, issuer: string): Promise<Answer> =>
        await ask({ key: one, issuer, header: { kid } });
      expect(await answer(ourKey, HERALD)).toMatchObject(served);
      expect(await answer(theirKey, ANOTHER)).toMatchObject(served);
      expect(await answer(ourKey, ANOTHER)).toMatchObject(refused('signature_invalid'));
      expect(await answer(theirKey, HERALD)).toMatchObject(refused('signature_invalid'));
    });

    it('KL-05 names that are the same when written in one are still two', async () => {
      const pairs = [
        { issuer: 'https://a.service/b', kid: 'c', one: createKey() },
        { issuer: 'https://a.service/', kid: 'bc', one: createKey() },
        { issuer: 'https://a.service/b;c', kid: 'd', one: createKey() },
        { issuer: 'https://a.service/b', kid: 'c;d', one: createKey() },
      ];
      const issuers = [...new Set(pairs.map(({ issuer }) => issuer))].map((issuer) => ({
        issuer,
        keys: pairs
          .filter((pair) => pair.issuer === issuer)
          .map((pair) => ({ publicKey: pair.one.publicPem, keyId: pair.kid })),
      }));
      const { ask } = await startWith(issuers);
      for (const { one } of pairs) {
        for (const pair of pairs) {
          const answer = await ask({ key: one, issuer: pair.issuer, header: { kid: pair.kid } });
          expect(answer).toMatchObject(pair.one === one ? served : refused('signature_invalid'));
        }
      }
      const crossed = { key, issuer: 'https://a.service/', header: { kid: 'c' } };
      expect(await ask(crossed)).toMatchObject(refused('key_unknown'));
    });
  });

  describe('a set with a key that cannot be used', () => {
    it('KL-06 two keys with one id are both dropped, never tried in turn, and logged', async () => {
      const kid = 'twice';
      const set = [jwkOf(key, { kid }), jwkOf(strangerKey, { kid }), jwkOf(goodKey)];
      const { ask } = await startFor(set);
      for (const one of [key, strangerKey]) {
        expect(await ask({ key: one, header: { kid } })).toMatchObject(refused('key_unknown'));
      }
      expect(await ask({ key: goodKey })).toMatchObject(served);
      expect(await warningsOf(set)).toEqual([
        expect.stringContaining('two have the key id "twice"; neither is used'),
      ]);
      const once = await startFor([jwkOf(key, { kid }), jwkOf(goodKey)]);
      expect(await once.ask({ key, header: { kid } })).toMatchObject(served);
    });

    it('KL-07 a symmetric key beside a good one is ignored, and so is what it signed', async () => {
      const secret = Buffer.from('a secret of thirty-two characters');
      const oct = { kty: 'oct', k: secret.toString('base64url'), kid: 'oct', alg: 'HS256' };
      const { ask, askWith } = await startFor([oct, jwkOf(goodKey)]);
      expect(await ask({ key: goodKey })).toMatchObject(served);
      for (const alg of ['HS256', 'HS384', 'HS512']) {
        const header = { alg, kid: 'oct' };
        const parts = { key: goodKey, issuer: HERALD, audience: CENSUS, target: '/user', header };
        const { header: head, claims } = strictParts({ ...parts, subject: USER });
        const input = `${encode(JSON.stringify(head))}.${encode(JSON.stringify(claims))}`;
        const mac = createHmac(`sha${alg.slice(2)}`, secret)
          .update(input)
          .digest('base64url');
        expect(await askWith(`${input}.${mac}`)).toMatchObject(refused('algorithm_refused'));
      }
    });

    it('KL-08 a private key that is published is refused, and the log says so without it', async () => {
      const privateJwk = { ...key.privateKey.export({ format: 'jwk' }), kid: key.keyId };
      const set = [privateJwk, jwkOf(goodKey)];
      const { ask } = await startFor(set);
      expect(await ask({ key })).toMatchObject(refused('key_unknown'));
      expect(await ask({ key: goodKey })).toMatchObject(served);
      const warnings = await warningsOf(set);
      expect(warnings).toEqual([expect.stringContaining('this one is private')]);
      expect(warnings.join()).not.toContain(privateJwk.d);
      const published = await startFor([jwkOf(key), jwkOf(goodKey)]);
      expect(await published.ask({ key })).toMatchObject(served);
    });

    it.each<[string, unknown]>([
      ['null', null],
      ['a string', 'key'],
      ['an empty object', {}],
      ['a key without coordinates', { kty: 'EC', crv: 'P-256', kid: key.keyId }],
      ['a key type nobody knows', { ...jwkOf(key), kty: 'AKP' }],
      ['a key of another curve', { ...jwkOf(key), crv: 'P-384' }],
    ])('KL-15 %s among good ones leaves these at work', async (_name, malformed) => {
      const { ask } = await startFor([jwkOf(goodKey), malformed, jwkOf(staticKey)]);
      expect(await ask({ key: goodKey })).toMatchObject(served);
      expect(await ask({ key: staticKey })).toMatchObject(served);
      expect(await ask({ key })).toMatchObject(refused('key_unknown'));
    });
  });

  describe('KL-17 the algorithm', () => {
    const signedWith = (algorithm: Algorithm): TestKey => ({ ...rsaKey, algorithm });
    const plain = jwkOf(rsaKey, { alg: undefined });
    it.each<[string, readonly Algorithm[] | undefined, Algorithm, Algorithm]>([
      ['is what its issuer lists', ['PS384'], 'PS384', 'RS256'],
      ['is the one that fits it where nobody says', undefined, 'RS256', 'PS256'],
    ])('of a key without alg %s, never what a token says', async (_n, algorithms, right, wrong) => {
      const { ask } = await startFor([plain], algorithms && { algorithms });
      expect(await ask({ key: signedWith(right) })).toMatchObject(served);
      expect(await ask({ key: signedWith(wrong) })).toMatchObject(refused('algorithm_refused'));
    });
  });

  it.each<[string, Record<string, string>]>([
    ['JF-08 KL-20 text/html', { 'content-type': 'text/html' }],
    ['JF-08 KL-20 text/plain', { 'content-type': 'text/plain; charset=latin1' }],
    ['JF-08 KL-20 no content type', {}],
  ])('%s with a good set in it is taken', async (_name, headers) => {
    const jwksUri = await publish(serveText(200, JSON.stringify({ keys: [jwkOf(key)] }), headers));
    const { ask } = await startWith([{ issuer: HERALD, jwksUri }]);
    expect(await ask({ key })).toMatchObject(served);
    expect(await ask({ key: strangerKey })).toMatchObject(refused('key_unknown'));
  });

  it('KL-20 text/html that is no JSON is a failed fetch', async () => {
    const html = serveText(200, '<html>login</html>', { 'content-type': 'text/html' });
    const { ask, health } = await startWith([{ issuer: HERALD, jwksUri: await publish(html) }]);
    expect(await ask({ key })).toMatchObject({ status: 503, code: 'key_unavailable' });
    expect(health.unavailable()).toMatchObject([{ lastError: 'the reply is not JSON in UTF-8' }]);
    expect(await ask({ key: staticKey, issuer: STATIC })).toMatchObject(served);
  });
});
