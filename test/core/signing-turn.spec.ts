import { createHook } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import { jest } from '@jest/globals';
import type { Algorithm } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import {
  codeOf,
  createPeers,
  outgoing,
  type Peers,
  received,
  signed,
} from '../support/services/peers.js';

/** What happened, in its order. */
let log: string[] = [];
const signatures = createHook({
  init: (_id, type) => {
    if (type === 'SIGNREQUEST') log.push('signed');
  },
});

describe('the signatures of one turn', () => {
  beforeAll(() => void signatures.enable());
  afterAll(() => void signatures.disable());

  async function peersOf(algorithm: Algorithm): Promise<Peers> {
    const peers = await createPeers(createKey(algorithm), { algorithm });
    // To make and to try the keys took signatures too.
    log = [];
    return peers;
  }

  it.each(['ES256', 'EdDSA'] as const)('%s: are made at its end', async (algorithm) => {
    const { herald } = await peersOf(algorithm);
    const tokens = [1, 2, 3].map(async () => await signed(herald, outgoing()));
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(log).toEqual([]);
    await setImmediate();
    expect(log).toEqual(['signed', 'signed', 'signed']);
    expect(new Set(await Promise.all(tokens)).size).toBe(3);
  });

  it.each(['ES256', 'EdDSA'] as const)(
    '%s: follow one another, before anybody goes on',
    async (algorithm) => {
      const { herald } = await peersOf(algorithm);
      const sending = ['first', 'second'].map(async (name) => {
        await signed(herald, outgoing());
        log.push(name);
      });
      await Promise.all(sending);
      expect(log).toEqual(['signed', 'signed', 'first', 'second']);
    },
  );

  it('leave those of the next turn for its own end', async () => {
    const { herald } = await peersOf('ES256');
    await signed(herald, outgoing());
    const next = signed(herald, outgoing());
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    expect(log).toEqual(['signed']);
    await next;
    expect(log).toEqual(['signed', 'signed']);
  });

  it('fail each for itself', async () => {
    const { herald } = await peersOf('ES256');
    const codes = [outgoing(), outgoing({ subject: 'nobody' }), outgoing()].map(
      async (request) => await codeOf(async () => await signed(herald, request)),
    );
    expect(await Promise.all(codes)).toEqual(['accepted', 'subject_invalid', 'accepted']);
  });

  it.each(['ES256', 'EdDSA', 'RS256'] as const)(
    '%s: come where a test has stopped the clock, too',
    async (algorithm) => {
      const { herald, census } = await peersOf(algorithm);
      jest.useFakeTimers();
      try {
        const request = outgoing();
        const token = await signed(herald, request);
        expect(await codeOf(() => census.verify(received(request, token)))).toBe('accepted');
      } finally {
        jest.useRealTimers();
      }
    },
  );
});
