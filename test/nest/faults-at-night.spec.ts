import { Logger } from '@nestjs/common';
import { LoggingObserver, ServiceAuthUnavailableError } from 'nestjs-service-auth';
import { type ServiceAuthOptions, ServiceTokenRefusedError } from 'nestjs-service-auth/core';
import { stoppedStore } from '../support/clocks/clocks.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  closeAfterEach,
  createClock,
  HERALD,
  type Question,
  type Receiver,
  startReceiver,
} from '../support/services/receiver.js';
import { strictToken } from '../support/tokens/forge.js';

const key = createKey();
const otherKey = createKey();
const keep = closeAfterEach();
const REQUESTS = 1000;
const CANARY = 'https://census.service/user/canary-subject/';

let keyServer: KeyServer;
beforeAll(async () => void (keyServer = await startKeyServer(serveKeys([jwkOf(key)]))));
afterAll(async () => await keyServer.close());
afterEach(() => {
  Logger.overrideLogger(false);
});

/** A receiver with a log at production level, all of whose time is a clock that the test moves. */
async function startAtNight(options: Partial<ServiceAuthOptions> = {}) {
  const recorder = new LogRecorder();
  Logger.overrideLogger(recorder);
  const clock = createClock();
  const receiver = keep(
    await startReceiver(
      {
        trustedIssuers: [{ issuer: HERALD, publicKey: key.publicPem }],
        replayStore: stoppedStore(),
        ...options,
        observer: [new LoggingObserver({ now: clock.now }), new ObservedEvents()],
      },
      clock,
    ),
  );
  return {
    ...receiver,
    /** The lines at `log`, `warn` and `error` since the last call. */
    take: (): string[] => {
      const lines = recorder.entries.splice(0);
      const read = lines.filter(({ level }) => ['log', 'warn', 'error'].includes(level));
      return read.map(({ level, text }) => `${level} ${text}`);
    },
    /** A thousand requests within a minute, and their answers. */
    askAll: async (question: (count: number) => Question): Promise<Set<string>> => {
      const answers = new Set<string>();
      for (let count = 0; count < REQUESTS; count++) {
        answers.add(await receiver.ask({ subject: CANARY, ...question(count) }));
        clock.advance(60 / REQUESTS);
      }
      return answers;
    },
  };
}

const good = (): Question => ({ key });

describe('a trusted caller that is refused all night', () => {
  const faults: [title: string, question: () => Question, code: string, says: string][] = [
    [
      'its clock is ten minutes off',
      () => ({ key, now: Math.floor(Date.now() / 1000) - 600 }),
      'token_expired',
      'the clocks differ',
    ],
    [
      'it calls another audience',
      () => ({ key, audience: 'https://census.service' }),
      'audience_mismatch',
      'differs in its final slash',
    ],
    [
      'a gateway strips a prefix',
      () => ({ key, target: '/api/user' }),
      'request_mismatch',
      'publicPathPrefix?',
    ],
    [
      'it repeats its tokens',
      () => ({ key, claims: { jti: 'the same in every request'.replaceAll(' ', '-') } }),
      'token_replayed',
      'A proxy or a client repeats the request',
    ],
  ];
  it.each(faults)('%s', async (_title, question, code, says) => {
    const receiver = await startAtNight();
    expect([...(await receiver.askAll(question))]).toContain(code);
    const first = receiver.take();
    expect(first.length).toBeLessThanOrEqual(2);
    expect(first[0]).toMatch(/^warn Refused a request of https:\/\/herald\.service\/: /);
    expect(first[0]).toContain(says);
    await receiver.askAll(question);
    const next = receiver.take();
    expect(next.length).toBeLessThanOrEqual(10);
    expect(next[0]).toMatch(
      new RegExp(`^warn \\d+ requests of ${HERALD} refused in the last minute: ${code}`),
    );
    expect(first.concat(next).join()).not.toMatch(/canary|eyJ/);
  });

  it('it signs with a key that it has not published', async () => {
    const receiver = await startAtNight();
    expect([...(await receiver.askAll(() => ({ key: otherKey })))]).toEqual(['key_unknown']);
    const first = receiver.take();
    expect(first).toEqual([
      expect.stringMatching(/^warn Refused a request that names https:\/\/herald\.service\/: key_/),
    ]);
    expect(first[0]).toContain(`the keys configured here are "${key.keyId}". Publish the new key`);
    await receiver.askAll(() => ({ key: otherKey }));
    const next = receiver.take();
    expect(next).toEqual([expect.stringMatching(/^warn \d+ requests that name .*: key_unknown/)]);
    expect(first.concat(next).join()).not.toMatch(/canary|eyJ/);
    expect(first.concat(next).join()).not.toContain(otherKey.keyId);
    expect(await receiver.ask(good())).toBe('ok');
  });

  it('and honest traffic writes nothing', async () => {
    const receiver = await startAtNight();
    expect([...(await receiver.askAll(good))]).toEqual(['ok']);
    expect(receiver.take()).toEqual([]);
  });

  it('and neither do strangers who name nobody who is trusted', async () => {
    const receiver = await startAtNight();
    const answers = await receiver.askAll((count) => {
      return { key: otherKey, issuer: `https://canary-${count}.service/` };
    });
    expect(answers).toEqual(new Set(['issuer_unknown']));
    expect(receiver.take()).toEqual([]);
  });

  it('and one who spells its name in another way writes one line, which says what differs', async () => {
    const receiver = await startAtNight();
    await receiver.askAll(() => ({ key: otherKey, issuer: 'https://herald.service' }));
    expect(receiver.take()).toEqual([
      expect.stringContaining('differs from https://herald.service/ in its final slash') as string,
    ]);
  });

  it('and strangers who name this caller write one line for each code, none with a word of theirs', async () => {
    const receiver = await startAtNight();
    const answers = await receiver.askAll((count) => {
      const keyId = count % 2 ? key.keyId : `canary-${count}`;
      return { key: { ...otherKey, keyId } };
    });
    expect(answers).toEqual(new Set(['key_unknown', 'signature_invalid']));
    const lines = receiver.take();
    expect(lines.map((line) => /: (\w+)[,.] /.exec(line)?.[1])).toEqual([
      'key_unknown',
      'signature_invalid',
    ]);
    for (const line of lines) expect(line).toContain('a stranger used its name.');
    expect(lines.join()).not.toContain('canary');
  });
});

describe('an outage all night', () => {
  /** The fetch that is in flight when the server comes back fails; the one after it does not. */
  const settleAll = async (receiver: Pick<Receiver, 'clock' | 'settle'>) => {
    await receiver.settle();
    receiver.clock.advance(60);
    await receiver.settle();
  };
  const trustedIssuers = () => [{ issuer: HERALD, jwksUri: keyServer.url }];

  it('of the keys: a line, one each minute, and one when it is over', async () => {
    await keyServer.down();
    const receiver = await startAtNight({ trustedIssuers: trustedIssuers() });
    await receiver.settle();
    expect([...(await receiver.askAll(good))]).toEqual(['key_unavailable']);
    await receiver.askAll(good);
    const lines = receiver.take();
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines[0]).toMatch(
      /^warn Cannot fetch the keys of .*\(ECONNREFUSED\)\. Cannot decide its calls .*503/,
    );
    expect(lines[1]).toMatch(/^warn Still cannot fetch .*Could not decide \d+ calls .*503/);
    await keyServer.resume();
    await settleAll(receiver);
    expect(receiver.take().at(-1)).toMatch(
      /^log Can fetch the keys of .* again after \d\d\d s\. Could not decide 2000 calls /,
    );
    expect([...(await receiver.askAll(good))]).toEqual(['ok']);
    expect(receiver.take()).toEqual([]);
  });

  it('of the keys while known ones are used: the same, and nobody is refused', async () => {
    const receiver = await startAtNight({ trustedIssuers: trustedIssuers() });
    await settleAll(receiver);
    receiver.take();
    expect([...(await receiver.askAll(good))]).toEqual(['ok']);
    expect(receiver.take()).toEqual([]);
    await keyServer.down();
    receiver.clock.advance(600);
    await receiver.settle();
    expect([...(await receiver.askAll(good))]).toEqual(['ok']);
    await receiver.askAll(good);
    const lines = receiver.take();
    await keyServer.resume();
    expect(lines.length).toBeLessThanOrEqual(3);
    for (const line of lines) expect(line).toContain('Still accepting its calls');
  });

  it.each([
    ['that reports its outages', new ServiceAuthUnavailableError('replay_store_unavailable')],
    ['that throws', new Error('canary')],
  ])('of a replay store %s: at most one line a minute', async (_title, error) => {
    let isDown = true;
    const replayStore = {
      recordUse: () => {
        if (isDown) throw error;
        return 'first' as const;
      },
    };
    const receiver = await startAtNight({ replayStore });
    expect([...(await receiver.askAll(good))]).toEqual(['replay_store_unavailable']);
    await receiver.askAll(good);
    const lines = receiver.take();
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines[0]).toMatch(/^warn Answered 503 to a request of https:\/\/herald\.service\//);
    expect(lines.join()).not.toContain('canary');
    isDown = false;
    expect([...(await receiver.askAll(good))]).toEqual(['ok']);
    receiver.take();
    await receiver.askAll(good);
    expect(receiver.take()).toEqual([]);
  });

  it('of the finder: a line, one each minute, and one when it is over', async () => {
    let isDown = true;
    const find = (issuer: string) => {
      if (isDown) throw Object.assign(new Error('canary'), { code: 'ECONNREFUSED' });
      return issuer === HERALD ? { issuer, publicKey: key.publicPem } : undefined;
    };
    const receiver = await startAtNight({ trustedIssuers: { find } });
    expect([...(await receiver.askAll(good))]).toEqual(['key_unavailable']);
    await receiver.askAll(good);
    const lines = receiver.take();
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(lines[0]).toMatch(
      /^warn Cannot look up issuers: .*\(ECONNREFUSED\)\. Cannot decide calls .*503/,
    );
    expect(lines.join()).not.toContain('canary');
    isDown = false;
    receiver.clock.advance(10);
    expect(await receiver.ask(good())).toBe('ok');
    expect(receiver.take().at(-1)).toMatch(/^log Can look up issuers again after 130 s\./);
  });
});

it('requests that would be refused are counted the same way', async () => {
  const receiver = await startAtNight();
  const verify = async (audience: string): Promise<void> => {
    const token = strictToken({ key, issuer: HERALD, audience, target: '/user' });
    const request = { method: 'GET', target: '/user', rawHeaders: ['JWT', token] };
    const body = new Uint8Array();
    const verified = receiver.service.verify({ ...request, body }, {}, { enforcement: 'report' });
    await expect(verified).rejects.toThrow(ServiceTokenRefusedError);
  };
  for (let count = 0; count < 100; count++) await verify('https://orders.service/');
  receiver.service.close();
  const lines = receiver.take();
  expect(lines).toEqual([
    expect.stringMatching(
      /^warn Let in \(report-only mode\) a request of https:\/\/herald\.service\/: audience_/,
    ),
    expect.stringMatching(
      /^warn 100 requests of .* would be refused by enforcement in the last minute: audience_/,
    ),
  ]);
});
