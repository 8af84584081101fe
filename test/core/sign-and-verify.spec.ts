import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  outgoing,
  type Peers,
  received,
  signed,
} from '../support/services/peers.js';

describe('what is changed after signing', () => {
  const key = createKey();
  const good = outgoing();
  let peers: Peers;
  beforeAll(async () => {
    peers = await createPeers(key);
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
