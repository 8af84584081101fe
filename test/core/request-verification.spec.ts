import {
  ServiceAuthUnavailableError,
  type ServiceAuthEvent,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { RequestVerification } from '../../lib/core/request-verification.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  HERALD,
  outgoing,
  type Peers,
  type PeersOptions,
  received,
  signed,
} from '../support/services/peers.js';

const key = createKey();

let events: ServiceAuthEvent[] = [];
const observer = { observe: (event: ServiceAuthEvent) => void events.push(event) };
const types = (): string[] => events.map(({ type }) => type);

let peers: Peers;
async function start(options: PeersOptions = {}): Promise<Peers> {
  peers = await createPeers(key, { ...options, census: { observer, ...options.census } });
  return peers;
}
beforeEach(() => void (events = []));
afterEach(() => {
  peers.herald.close();
  peers.census.close();
});

describe('the verification of one request', () => {
  const refusal = (): ServiceTokenRefusedError => new ServiceTokenRefusedError('subject_missing');

  it.each([
    ['accepted', ['accepted', 'accepted'], 'request_accepted'],
    ['accepted, then failed', ['accepted', 'failed'], 'request_accepted'],
    ['failed', ['failed', 'failed'], 'request_refused'],
    ['failed, then accepted', ['failed', 'accepted'], 'request_refused'],
  ] as const)('emits one event where it is %s', async (_title, calls, type) => {
    const { herald, census } = await start();
    const request = outgoing();
    const verification = census.beginVerification();
    const identity = await verification.prove(received(request, await signed(herald, request)));
    expect(types()).toEqual([]);
    for (const call of calls) {
      if (call === 'accepted') verification.accepted(identity);
      else verification.failed(refusal());
    }
    expect(types()).toEqual([type]);
  });

  it('emits none without its progress, whoever observes', async () => {
    const { herald, census } = await start();
    const { receiving: settings } = census;
    const verifier = { settings, now: census.settings.now };
    const request = outgoing();
    const verification = new RequestVerification(verifier, observer);
    verification.accepted(
      await verification.prove(received(request, await signed(herald, request))),
    );
    new RequestVerification(verifier, observer).failed(refusal());
    expect(types()).toEqual([]);
  });

  it('names the service in a refusal, also in a later one and where it is frozen', async () => {
    const { census } = await start();
    const verification = census.beginVerification();
    const [first, second, frozen] = [refusal(), refusal(), Object.freeze(refusal())];
    for (const error of [first, second, frozen]) verification.failed(error);
    expect([first, second, frozen].map(({ realm }) => realm)).toEqual([CENSUS, CENSUS, undefined]);
  });

  it.each([new Error('of the application'), new ServiceAuthUnavailableError('key_unavailable')])(
    'names it in no other error: %p',
    async (error) => {
      const { census } = await start();
      census.beginVerification().failed(error);
      expect(error).not.toHaveProperty('realm');
    },
  );

  it.each([
    ['a good token', (token: string) => token, true],
    ['another signature', (token: string) => `${token.slice(0, -86)}${'A'.repeat(86)}`, false],
    ['no token', () => '', false],
  ])('knows whether the issuer is verified: %s', async (_title, change, expected) => {
    const { herald, census } = await start();
    const request = outgoing();
    const verification = census.beginVerification();
    expect(verification.isIssuerVerified).toBe(false);
    const sent = received(request, change(await signed(herald, request)));
    await verification.prove(sent).catch(() => undefined);
    expect(verification.isIssuerVerified).toBe(expected);
  });

  it('does not know it where no observer is configured', async () => {
    const { herald, census } = await start({ census: { observer: undefined } });
    const request = outgoing();
    const verification = census.beginVerification();
    await verification.prove(received(request, await signed(herald, request)));
    expect(verification.isIssuerVerified).toBe(false);
  });

  it('begins in no service without trustedIssuers', async () => {
    const { herald, census } = await start();
    expect(() => herald.beginVerification()).toThrow(/no `trustedIssuers`/);
    expect(census.beginVerification()).toBeInstanceOf(RequestVerification);
  });
});

describe('RO-02 with enforcement "report"', () => {
  const verdicts = async (options: PeersOptions = {}): Promise<string[]> => {
    const { herald, census } = await start(options);
    const request = outgoing();
    const sent = received(request, await signed(herald, request));
    const codes: string[] = [];
    for (const enforcement of ['report', 'enforce', 'report', 'enforce'] as const) {
      codes.push(await codeOf(() => census.verify(sent, undefined, { enforcement })));
    }
    return codes;
  };

  it('a first use burns nothing for whoever enforces, and is reported from the second on', async () => {
    expect(await verdicts()).toEqual(['accepted', 'accepted', 'token_replayed', 'token_replayed']);
  });

  it('a token without an id of the original profile has no use', async () => {
    expect(await verdicts({ profile: 'original' })).toEqual(Array(4).fill('accepted'));
  });

  it('no use of a token has the id of another', async () => {
    const ids: [string, string][] = [];
    const replayStore = {
      recordUse: ({ issuer, tokenId }: { issuer: string; tokenId: string }) => {
        ids.push([issuer, tokenId]);
        return 'first' as const;
      },
    };
    expect(await verdicts({ census: { replayStore } })).toEqual(Array(4).fill('accepted'));
    const [[, reported] = [], [, enforced] = []] = ids;
    expect(reported).toBe(`report ${enforced}`);
    expect(ids.map(([issuer]) => issuer)).toEqual(Array(4).fill(HERALD));
    expect(new Set(ids.map(([, id]) => id)).size).toBe(2);
  });
});
