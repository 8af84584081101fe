import { setImmediate } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { SigningTurn } from '../../lib/core/signing-turn.js';
import { createKey } from '../support/keys.js';
import { codeOf, createPeers, outgoing, received, signed } from '../support/peers.js';

describe('the signatures of one turn', () => {
  it('are made at its end, in their order', async () => {
    const turn = new SigningTurn();
    const made: string[] = [];
    const tokens = ['first', 'second', 'third'].map(async (name) => {
      return await turn.run(() => {
        made.push(name);
        return `${name} token`;
      });
    });
    await Promise.resolve();
    expect(made).toEqual([]);
    await setImmediate();
    expect(made).toEqual(['first', 'second', 'third']);
    expect(await Promise.all(tokens)).toEqual(['first token', 'second token', 'third token']);
  });

  it('fail each for itself', async () => {
    const turn = new SigningTurn();
    const reason = new Error('no such key');
    const settled = await Promise.allSettled([
      turn.run(() => 'before'),
      turn.run(() => {
        throw reason;
      }),
      turn.run(() => 'after'),
    ]);
    expect(settled).toEqual([
      { status: 'fulfilled', value: 'before' },
      { status: 'rejected', reason },
      { status: 'fulfilled', value: 'after' },
    ]);
  });

  it('leave others a turn where they are many', async () => {
    const turn = new SigningTurn();
    let made = 0;
    const count = (): string => `${++made}`;
    const tokens = Array.from({ length: 70 }, async () => await turn.run(count));
    const seen: number[] = [];
    for (let round = 0; round < 3; round++) {
      await setImmediate();
      seen.push(made);
    }
    expect(seen).toEqual([32, 64, 70]);
    expect(new Set(await Promise.all(tokens)).size).toBe(70);
  });

  it('can be asked for by what they let go on', async () => {
    const turn = new SigningTurn();
    const first = await turn.run(() => 'first');
    expect(await turn.run(() => `${first}, second`)).toBe('first, second');
  });

  it.each(['ES256', 'EdDSA', 'RS256'] as const)(
    '%s: come where a test has stopped the clock, too',
    async (algorithm) => {
      const { herald, census } = await createPeers(createKey(algorithm), { algorithm });
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
