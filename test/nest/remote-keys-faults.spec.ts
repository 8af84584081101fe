import type { TrustedIssuerOptions } from 'nestjs-service-auth';
import {
  expectKeysUnavailable,
  type FetchingCensus,
  served,
  startFetchingCensus,
  STATIC,
  staticKey,
} from '../support/services/fetching-census.js';
import {
  hang,
  hold,
  jwkOf,
  type KeyServer,
  type Respond,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { closeAfterEach, HERALD } from '../support/services/receiver.js';
import { selfSign } from '../support/keys/self-signed.js';
import { ADAPTERS } from '../support/services/service.js';

const COOL_DOWN_SECONDS = 30;
const refused = { status: 401, code: 'key_unknown' };
const key = createKey();
const nextKey = createKey();
const strangerKey = createKey();
const keep = closeAfterEach();

const startServer = async (respond: Respond = serveKeys([jwkOf(key)])): Promise<KeyServer> =>
  keep(await startKeyServer(respond));

describe.each(ADAPTERS)('on %s', (adapter) => {
  const startWith = async (issuers: readonly TrustedIssuerOptions[]): Promise<FetchingCensus> =>
    keep(await startFetchingCensus(adapter, issuers));
  const startFor = async (server: KeyServer): Promise<FetchingCensus> =>
    await startWith([{ issuer: HERALD, jwksUri: server.url }]);

  it('KL-03 a flood of unknown key ids while the key server is down costs one try a while', async () => {
    const server = await startServer();
    const { ask, clock, events } = await startFor(server);
    expect(await ask({ key })).toMatchObject(served);
    await server.down();
    clock.advance(COOL_DOWN_SECONDS);
    for (const tries of [1, 2, 3]) {
      for (let sent = 0; sent < 200; sent += 50) {
        const flood = Array.from({ length: 50 }, (_, at) =>
          ask({ key: strangerKey, header: { kid: `kid-${sent + at}` } }),
        );
        for (const answer of await Promise.all(flood)) expectKeysUnavailable(answer);
        expect(await ask({ key })).toMatchObject(served);
      }
      expect(events.of('keys_refresh_failed')).toHaveLength(tries);
      clock.advance(36);
    }
    await server.resume();
    expect(await ask({ key: strangerKey })).toMatchObject({ status: 401, code: 'key_unknown' });
  });

  it('KL-19 a flood of wrong signatures under a known key id fetches nothing', async () => {
    const server = await startServer();
    const { ask, clock } = await startFor(server);
    expect(await ask({ key })).toMatchObject(served);
    clock.advance(COOL_DOWN_SECONDS);
    const forged = { key: strangerKey, header: { kid: key.keyId } };
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(forged)));
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 401, code: 'signature_invalid' });
    }
    expect(await ask({ key })).toMatchObject(served);
    expect(server.hits).toBe(1);
  });

  it('JF-04 no request waits for a refresh, however slow it is', async () => {
    const server = await startServer();
    const { ask, clock, events } = await startFor(server);
    expect(await ask({ key })).toMatchObject(served);
    const held = hold();
    server.respond = held;
    clock.advance(545); // past 90 % of max-age
    const arrival = server.nextRequest();
    expect(await ask({ key })).toMatchObject(served);
    await arrival;
    // Nothing lets the reply go before every one of these has its answer.
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask({ key })));
    for (const answer of answers) expect(answer).toMatchObject(served);
    expect(server.hits).toBe(2);
    const refreshed = events.next('keys_refreshed');
    held.release(serveKeys([jwkOf(nextKey)]));
    await refreshed;
    expect(await ask({ key: nextKey })).toMatchObject(served);
    expect(await ask({ key })).toMatchObject({ status: 401, code: 'key_unknown' });
  });

  it('JF-11 a key server nobody vouches for is a failed fetch, with a log that has no secrets', async () => {
    const tls = { key: strangerKey.privatePem, cert: selfSign(strangerKey) };
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)]), tls));
    const { ask, health, tokenFor } = await startFor(server);
    expectKeysUnavailable(await ask({ key }));
    const [herald] = health.unavailable();
    expect(herald).toMatchObject({
      issuer: HERALD,
      lastError: 'the key server cannot be reached (DEPTH_ZERO_SELF_SIGNED_CERT)',
    });
    expect(JSON.stringify(herald)).not.toContain(tokenFor({ key }).split('.')[0]);
    expect(server.hits).toBe(0);
    expect(await ask({ key: staticKey, issuer: STATIC })).toMatchObject(served);
  });

  it('JF-11 a host that does not exist is a failed fetch', async () => {
    const jwksUri = 'https://keys.invalid/jwks.json';
    const { ask, health } = await startWith([{ issuer: HERALD, jwksUri }]);
    expectKeysUnavailable(await ask({ key }));
    expect(health.unavailable()[0]?.lastError).toMatch(/cannot be reached \(E[A-Z_]+\)|in time/);
    expect(await ask({ key: staticKey, issuer: STATIC })).toMatchObject(served);
  }, 15_000);

  it('JF-14 new material under a known key id is taken up at the next refresh, without a storm', async () => {
    const kid = 'the-key';
    const header = { kid };
    const server = await startServer(serveKeys([jwkOf(key, { kid })]));
    const { ask, clock, events } = await startFor(server);
    expect(await ask({ key, header })).toMatchObject(served);
    server.respond = serveKeys([jwkOf(nextKey, { kid })]);
    clock.advance(COOL_DOWN_SECONDS);
    const early = await Promise.all(
      Array.from({ length: 50 }, () => ask({ key: nextKey, header })),
    );
    for (const answer of early) {
      expect(answer).toMatchObject({ status: 401, code: 'signature_invalid' });
    }
    expect(server.hits).toBe(1);
    clock.advance(515);
    const refreshed = events.next('keys_refreshed');
    expect(await ask({ key, header })).toMatchObject(served);
    await refreshed;
    expect(await ask({ key: nextKey, header })).toMatchObject(served);
    expect(await ask({ key, header })).toMatchObject({ status: 401, code: 'signature_invalid' });
    expect(server.hits).toBe(2);
  });

  it.each<[string, Record<string, string>, object]>([
    ['JF-21 a 304 with another tag brings the new set', { etag: '"two"' }, refused],
    ['JF-22 a 304 with the same tag is believed for an hour', { etag: '"one"' }, served],
    ['JF-24 a 304 without a tag renews the known set', {}, served],
  ])('%s', async (_name, headers, expected) => {
    const server = await startServer(serveKeys([jwkOf(key)], { etag: '"one"' }));
    const { ask, clock, events } = await startFor(server);
    expect(await ask({ key })).toMatchObject(served);
    server.respond = (request, response) => {
      const isConditional = request.headers['if-none-match'] !== undefined;
      const respond = isConditional ? serveText(304, '', headers) : serveKeys([jwkOf(nextKey)]);
      respond(request, response);
    };
    const refresh = async (): Promise<void> => {
      clock.advance(545);
      const refreshed = events.next('keys_refreshed');
      await ask({ key });
      await refreshed;
    };
    await refresh();
    expect(await ask({ key })).toMatchObject(expected);
    for (let passed = 545; passed < 3600; passed += 545) await refresh();
    expect(await ask({ key })).toMatchObject(refused);
    expect(await ask({ key: nextKey })).toMatchObject(served);
  });

  it('JF-23 a tag that cannot be sent back is never sent', async () => {
    const server = await startServer(serveKeys([jwkOf(key)], { etag: `"${'x'.repeat(257)}"` }));
    const { ask, clock, events } = await startFor(server);
    expect(await ask({ key })).toMatchObject(served);
    clock.advance(545);
    const refreshed = events.next('keys_refreshed');
    expect(await ask({ key })).toMatchObject(served);
    await refreshed;
    expect(server.requests.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('JF-17 one dead key server of 50 stops nobody else', async () => {
    const dead = 7;
    const issuers = await Promise.all(
      Array.from({ length: 50 }, async (_, at) => ({
        issuer: `https://s${at}.service/`,
        jwksUri: (await startServer(at === dead ? hang : undefined)).url,
      })),
    );
    const { ask, health } = await startWith(issuers);
    const others = issuers.filter((_, at) => at !== dead);
    // The dead one hangs for as long as this takes: whoever waited for it would answer 503.
    const answers = await Promise.all(others.map(({ issuer }) => ask({ key, issuer })));
    for (const answer of answers) expect(answer).toMatchObject(served);
    expect(health.unavailable().map(({ issuer }) => issuer)).toEqual([`https://s${dead}.service/`]);
  });

  it('JF-19 a late reply of an old fetch does not take the place of a newer one', async () => {
    const held = hold();
    const server = await startServer(held);
    const { ask, clock, events } = await startFor(server);
    await events.next('keys_refresh_failed'); // given up after three seconds
    server.respond = serveKeys([jwkOf(nextKey)]);
    clock.advance(2);
    expect(await ask({ key: nextKey })).toMatchObject(served);
    held.release(serveKeys([jwkOf(key)]));
    expect(await ask({ key })).toMatchObject({ status: 401, code: 'key_unknown' });
    expect(await ask({ key: nextKey })).toMatchObject(served);
  }, 15_000);
});
