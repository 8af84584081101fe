import { createHook } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import type { Algorithm, IncomingRequest, ServiceAuth } from 'nestjs-service-auth/core';
import { VerificationLoad } from '../../lib/core/scheduling.js';
import { createKey } from '../support/keys/keys.js';
import {
  codeOf,
  createPeers,
  outgoing,
  type Peers,
  received,
  signed,
  tokenOf,
} from '../support/services/peers.js';

/** Signatures that were made or verified, and those of them that another thread was asked for. */
const counted = { all: 0, elsewhere: 0 };
const signatureIds = new Set<number>();
const signatures = createHook({
  init: (id, type) => {
    if (type !== 'SIGNREQUEST') return;
    signatureIds.add(id);
    counted.all++;
  },
  // Node tells of the way back from another thread only.
  before: (id) => {
    if (signatureIds.has(id)) counted.elsewhere++;
  },
});

/** A request as the other side meets it. */
async function arrived(herald: ServiceAuth): Promise<IncomingRequest> {
  const request = outgoing();
  return received(request, await signed(herald, request));
}

/** The same with one bit of the signature changed. */
function tampered(request: IncomingRequest): IncomingRequest {
  const [header, payload = '', signature = ''] = tokenOf(request).split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes.writeUInt8(bytes.readUInt8() ^ 1);
  const token = [header, payload, bytes.toString('base64url')].join('.');
  return { ...request, rawHeaders: [...request.rawHeaders.slice(0, -1), token] };
}

describe('where a signature is verified', () => {
  beforeAll(() => void signatures.enable());
  afterAll(() => void signatures.disable());

  async function peersOf(algorithm: Algorithm): Promise<Peers> {
    return await createPeers(createKey(algorithm), { algorithm });
  }

  /** What so many requests, all in one turn, ask of other threads. */
  async function elsewhere({ herald, census }: Peers, requests: number): Promise<number> {
    const batch = [];
    for (let at = 0; at < requests; at++) batch.push(await arrived(herald));
    await setImmediate();
    Object.assign(counted, { all: 0, elsewhere: 0 });
    await Promise.all(batch.map(async (request) => await census.verify(request)));
    expect(counted.all).toBe(requests);
    return counted.elsewhere;
  }

  it.each(['ES256', 'EdDSA'] as const)('%s: one at a time at once', async (algorithm) => {
    const peers = await peersOf(algorithm);
    expect(await elsewhere(peers, 1)).toBe(0);
    expect(await elsewhere(peers, 1)).toBe(0);
  });

  it.each(['ES256', 'EdDSA'] as const)(
    '%s: of several in one turn the first at once',
    async (algorithm) => {
      expect(await elsewhere(await peersOf(algorithm), 5)).toBe(4);
    },
  );

  it('RS256: every one at once', async () => {
    expect(await elsewhere(await peersOf('RS256'), 5)).toBe(0);
  });

  it('ES384: none at once', async () => {
    expect(await elsewhere(await peersOf('ES384'), 5)).toBe(5);
  });

  it.each(['ES256', 'EdDSA'] as const)(
    '%s: a bad signature is refused wherever it is verified',
    async (algorithm) => {
      const { herald, census } = await peersOf(algorithm);
      const good = [await arrived(herald), await arrived(herald)];
      const bad = [tampered(await arrived(herald)), tampered(await arrived(herald))];
      await setImmediate();
      const codes = async (requests: IncomingRequest[]): Promise<(string | undefined)[]> =>
        await Promise.all(
          requests.map(async (request) => await codeOf(async () => await census.verify(request))),
        );
      expect(await codes(good)).toEqual(['accepted', 'accepted']);
      await setImmediate();
      expect(await codes(bad)).toEqual(['signature_invalid', 'signature_invalid']);
    },
  );

  it('leaves a turn to others while another thread has any', async () => {
    const load = new VerificationLoad();
    load.begin();
    expect(load.takeTurn()).toBe(false);
    load.end();
    expect(load.takeTurn()).toBe(true);
    expect(load.takeTurn()).toBe(false);
    await setImmediate();
    expect(load.takeTurn()).toBe(true);
  });
});
