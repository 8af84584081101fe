import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import type { OutgoingRequest, RequestBody, ServiceAuthEvent } from 'nestjs-service-auth/core';
import { SigningTurn } from '../../lib/core/scheduling.js';
import { decodeClaims, digest, sha256 } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  outgoing,
  type Peers,
  signed,
} from '../support/services/peers.js';

/** Ends what is under way in this turn of the event loop, so that what waits for its end waits in front. */
async function microtasks(): Promise<void> {
  for (let at = 0; at < 20; at++) await Promise.resolve();
}

/** A clock that goes on by so many milliseconds each time that it is read. */
function clockOf(step: number): () => number {
  let milliseconds = 0;
  return () => (milliseconds += step);
}

describe('SigningTurn', () => {
  /** How many of thirty are signed after each of five turns. */
  async function signedAfterTurns(now: () => number): Promise<number[]> {
    const turn = new SigningTurn(now);
    let made = 0;
    const all = Array.from({ length: 30 }, async () => await turn.atEnd(() => ++made));
    await microtasks();
    const counts = [];
    for (let at = 0; at < 5; at++) {
      await setImmediate();
      counts.push(made);
    }
    while (made < all.length) await setImmediate();
    expect(await Promise.all(all)).toEqual(Array.from(all, (_, at) => at + 1));
    return counts;
  }

  it.each<[string, () => number, number[]]>([
    ['all in one turn where they take no time', () => 0, [30, 30, 30, 30, 30]],
    ['no more in one turn than begin within 3 ms', clockOf(0.25), [19, 30, 30, 30, 30]],
    ['eight in each turn where one takes 3 ms', clockOf(3), [8, 16, 24, 30, 30]],
    ['eight in each turn of a clock that says nothing', () => Number.NaN, [8, 16, 24, 30, 30]],
  ])('makes %s', async (_title, now, counts) => {
    expect(await signedAfterTurns(now)).toEqual(counts);
  });

  it('signs first what came first, also where more comes meanwhile', async () => {
    const turn = new SigningTurn(clockOf(3));
    const order: string[] = [];
    const all: Promise<void>[] = [];
    const call = (name: string): void => {
      const sign = (): void => {
        order.push(name);
        if (name === 'a') call('k');
      };
      all.push(turn.atEnd(sign));
    };
    for (const name of 'abcdefghij') call(name);
    await microtasks();
    await setImmediate();
    expect(order.join('')).toBe('abcdefgh');
    call('l');
    await Promise.all(all);
    expect(order.join('')).toBe('abcdefghijkl');
  });

  it('goes on where one fails', async () => {
    const turn = new SigningTurn();
    const thrown = new Error('at once');
    const rejected = new Error('later');
    const outcomes = await Promise.allSettled([
      turn.atEnd(() => 1),
      turn.atEnd(() => {
        throw thrown;
      }),
      turn.atEnd(async () => await Promise.reject(rejected)),
      turn.atEnd(async () => await Promise.resolve(2)),
    ]);
    expect(outcomes).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: thrown },
      { status: 'rejected', reason: rejected },
      { status: 'fulfilled', value: 2 },
    ]);
    expect(await turn.atEnd(() => 3)).toBe(3);
  });

  it('gives each caller its own async context back, and takes none along', async () => {
    const storage = new AsyncLocalStorage<string>();
    const turn = new SigningTurn(clockOf(3));
    const seen: [string, string | undefined, string | undefined][] = [];
    const call = async (name: string): Promise<void> => {
      const inside = await turn.atEnd(() => storage.getStore());
      seen.push([name, inside, storage.getStore()]);
    };
    const names = Array.from({ length: 10 }, (_, at) => `caller ${at}`);
    await Promise.all(names.map((name) => storage.run(name, async () => await call(name))));
    expect(seen).toEqual(names.map((name) => [name, undefined, name]));
  });
});

describe('ServiceAuth.sign, while the request waits for its turn', () => {
  const key = createKey();
  let peers: Peers;
  beforeAll(async () => {
    const census = { replayStore: { recordUse: () => 'first' as const } };
    peers = await createPeers(key, { herald: { signedHeaders: ['x-order'] }, census });
  });
  afterAll(() => {
    peers.herald.close();
    peers.census.close();
  });

  interface Changeable {
    method: string;
    url: URL;
    headers: Record<string, string | string[]>;
    body: Buffer;
    subject: string | undefined;
  }
  const changeable = (): Changeable => ({
    method: 'POST',
    url: new URL(`${CENSUS}user/?dry=1`),
    headers: { 'Content-Type': 'application/json', 'X-Order': ['1'] },
    body: Buffer.from('{"name":"x"}'),
    subject: `${CENSUS}user/21/`,
  });
  const bound = (token: string): Record<string, unknown> => {
    const { req, hdr, bdy, sub, aud } = decodeClaims(token);
    return { req, hdr, bdy, sub, aud };
  };

  it.each<[string, (request: Changeable) => void]>([
    ['the method', (request) => void (request.method = 'DELETE')],
    ['the path of the URL', ({ url }) => void (url.pathname = '/admin/')],
    ['the host of the URL', ({ url }) => void (url.host = 'evil.example')],
    ['the URL', (request) => void (request.url = new URL('https://evil.example/'))],
    ['a header', ({ headers }) => void (headers['Content-Type'] = 'text/plain')],
    ['the values of a header', ({ headers }) => void (headers['X-Order'] as string[]).push('2')],
    ['the name of a header', ({ headers }) => void delete headers['X-Order']],
    ['all headers', (request) => void (request.headers = {})],
    ['the bytes of the body', ({ body }) => void body.fill('y')],
    ['the body', (request) => void (request.body = Buffer.from('other'))],
    ['the user', (request) => void (request.subject = `${CENSUS}user/22/`)],
  ])('a change of %s does not get into the token', async (_title, change) => {
    const expected = bound(await signed(peers.herald, changeable()));
    const request = changeable();
    const signing = signed(peers.herald, request);
    change(request);
    expect(bound(await signing)).toEqual(expected);

    // Its twin: given at the call, the change counts, or the request is refused.
    const changed = changeable();
    change(changed);
    const outcome = await signed(peers.herald, changed).then(bound, (error: unknown) => error);
    expect(outcome).not.toEqual(expected);
  });

  it('nor does one while the body settles', async () => {
    const bytes = Buffer.from('{"name":"x"}');
    let settle: () => void = () => undefined;
    const body = (): RequestBody => ({
      hasContent: true,
      settle: async () => await new Promise<void>((resolve) => (settle = resolve)),
      digest: (algorithm) => digest(algorithm, bytes),
    });
    const request = { ...changeable(), body: body() };
    const signing = signed(peers.herald, request);
    await microtasks();
    request.headers['Content-Type'] = 'text/plain';
    request.url.pathname = '/admin/';
    settle();
    expect(bound(await signing)).toEqual({
      req: 'POST /user/?dry=1',
      hdr: { 'content-type': 'application/json', 'x-order': '1' },
      bdy: sha256(bytes),
      sub: `${CENSUS}user/21/`,
      aud: CENSUS,
    });
  });

  it('nor does one of the URL after targetOf()', async () => {
    const { method, url, headers, body } = changeable();
    const target = peers.herald.targetOf(url);
    url.href = 'https://evil.example/admin/';
    const token = await target?.sign({ method, headers, body });
    expect(bound(token ?? '')).toMatchObject({ req: 'POST /user/?dry=1', aud: CENSUS });
    expect(await codeOf(async () => await peers.herald.sign(outgoing({ url })))).toBe(
      'target_unknown',
    );
  });

  it('close() refuses it, and nothing is signed: service_closed', async () => {
    let signatures = 0;
    const hook = createHook({
      init: (_id, type) => {
        if (type === 'SIGNREQUEST') signatures++;
      },
    });
    const outcomesOf = async (closes: boolean): Promise<[codes: string[], signatures: number]> => {
      const { herald } = await createPeers(key);
      signatures = 0;
      const signing = [outgoing(), outgoing()].map(
        async (request) => await codeOf(async () => await herald.sign(request)),
      );
      if (closes) herald.close();
      const codes = await Promise.all(signing);
      herald.close();
      return [codes, signatures];
    };
    hook.enable();
    expect(await outcomesOf(true)).toEqual([['service_closed', 'service_closed'], 0]);
    expect(await outcomesOf(false)).toEqual([['accepted', 'accepted'], 2]);
    hook.disable();
  });

  it('observers are called in the async context of the call', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: [string, string | undefined][] = [];
    const observer = {
      observe: ({ type }: ServiceAuthEvent) => void seen.push([type, storage.getStore()]),
    };
    const { herald } = await createPeers(key, { herald: { observer } });
    const call = async (name: string, request: OutgoingRequest): Promise<string> =>
      await storage.run(name, async () => await codeOf(async () => await herald.sign(request)));
    await Promise.all([
      call('a', outgoing()),
      call('b', outgoing()),
      call('c', outgoing({ headers: { 'content-type': 'a\0' } })),
    ]);
    expect(seen.toSorted((one, other) => one.join().localeCompare(other.join()))).toEqual([
      ['request_signed', 'a'],
      ['request_signed', 'b'],
      ['signing_failed', 'c'],
    ]);
    herald.close();
  });
});
