import { createServiceAuth } from 'nestjs-service-auth/core';
import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import { withParts, tokenFor, toCall } from '../support/attacks/attempt.js';
import {
  BASELINE,
  CENSUS,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  startCensus,
} from '../support/services/census.js';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { decodeClaims, strictToken } from '../support/tokens/forge.js';
import { type Answer, call } from '../support/http/http.js';
import { jwkOf, serveKeys, serveText, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { RECEIVER_PROGRAM, ReceiverProcess } from '../support/processes/receiver-process.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';

const HOUR = 3600;
const ANOTHER = 'https://another.service/';
const anotherKey = createKey();
const keep = closeAfterEach();

let project: CompiledProject;
beforeAll(() => {
  project = compileProject([RECEIVER_PROGRAM]);
});
afterAll(() => project.remove());

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe('PF-01 two clocks that differ', () => {
    /** How far the caller's clock is ahead of the receiver's, for tokens that live 60 seconds. */
    const skews: [tolerance: number, skew: number, answer: string][] = [
      [5, 0, 'accepted'],
      [5, 5, 'accepted'],
      [5, 6, 'token_not_yet_valid'],
      [5, 30, 'token_not_yet_valid'],
      [5, 60, 'token_not_yet_valid'],
      [5, 90, 'token_not_yet_valid'],
      [5, -30, 'accepted'],
      [5, -60, 'accepted'],
      [5, -64, 'accepted'],
      [5, -65, 'token_expired'],
      [5, -90, 'token_expired'],
      [0, 0, 'accepted'],
      [0, 1, 'token_not_yet_valid'],
      [0, -59, 'accepted'],
      [0, -60, 'token_expired'],
      [30, 30, 'accepted'],
      [30, 31, 'token_not_yet_valid'],
      [30, -89, 'accepted'],
      [30, -90, 'token_expired'],
      [60, 60, 'accepted'],
      [60, 61, 'token_not_yet_valid'],
      [60, -90, 'accepted'],
      [60, -119, 'accepted'],
      [60, -120, 'token_expired'],
    ];
    it.each(skews)(
      'with a tolerance of %i s, the caller %i s ahead: %s',
      async (clockToleranceSeconds, skew, expected) => {
        const logger = new LogRecorder();
        const options = { clockToleranceSeconds };
        const census = keep(await startCensus({ adapter, options, service: { logger } }));
        const herald = keep(
          await createServiceAuth({
            issuer: HERALD,
            signingKey: { privateKey: heraldKey.privateKey },
            targets: [{ baseUrl: CENSUS }],
            now: () => (NOW_SECONDS + skew) * 1000,
          }),
        );
        const target = '/api/thing/1';
        const request = { method: 'GET', url: new URL(target, CENSUS), headers: {} };
        const token = await herald.sign({ ...request, body: new Uint8Array() });
        const answer = await call(census.port, { target, headers: { JWT: token } });
        if (expected === 'accepted') {
          expectAccepted(answer);
          return;
        }
        const code = expected === 'token_expired' ? 'token_expired' : 'token_not_yet_valid';
        expectRefused(answer, { code });
        // The log says which clock is behind and how far; the answer is the same for every distance.
        const distance =
          code === 'token_expired'
            ? `${(-60 - skew).toFixed(1).replace('-', '')} s ago by this clock`
            : `iat is ${skew.toFixed(1)} s ahead of this clock`;
        expect(logger.texts('warn').join()).toContain(
          `: ${code}, ${distance}. ${code === 'token_expired' ? 'If this number stays equal, the clocks differ' : 'Set the clocks by NTP'}`,
        );
        expect(answer.text + JSON.stringify(answer.headers)).not.toMatch(/clock| \d+(\.\d)? s/);
      },
    );
  });

  describe('PF-02 a clock that steps', () => {
    let census: TestService;
    let nowSeconds = NOW_SECONDS;
    beforeAll(async () => {
      census = await startCensus({ adapter, options: { now: () => nowSeconds * 1000 } });
    });
    beforeEach(() => {
      nowSeconds = NOW_SECONDS;
    });
    afterAll(() => census.close());

    const prepare = () => {
      const attempt = withParts(BASELINE);
      return toCall(attempt, tokenFor(attempt, nowSeconds));
    };
    const send = async (request: ReturnType<typeof prepare>): Promise<Answer> =>
      await call(census.port, request);

    it.each([
      ['forward and back', [HOUR, -HOUR]],
      ['back and forward', [-HOUR, HOUR]],
      ['forward twice and back', [HOUR, HOUR, -2 * HOUR]],
      ['by a leap second, smeared or not', [1, -1, 0.5, -0.5]],
    ])('%s: no used token is taken again, and fresh ones are', async (_how, steps) => {
      const used = [prepare()];
      expectAccepted(await send(used[0] ?? prepare()));
      for (const step of steps) {
        nowSeconds += step;
        for (const request of used) {
          const answer = await send(request);
          expect(answer.status).toBe(401);
          expect(answer.code).toMatch(/^token_(replayed|expired|not_yet_valid)$/);
        }
        const fresh = prepare();
        expectAccepted(await send(fresh));
        used.push(fresh);
      }
      for (const request of used.slice(0, 1)) {
        expectRefused(await send(request), { code: 'token_replayed' });
      }
    });
  });

  describe('a process of its own', () => {
    const trustedHerald = { issuer: HERALD, publicKey: heraldKey.publicPem };
    const startProcess = async (jwksUri?: string): Promise<ReceiverProcess> =>
      keep(
        await ReceiverProcess.start(project, adapter, [
          trustedHerald,
          ...(jwksUri ? [{ issuer: ANOTHER, jwksUri }] : []),
        ]),
      );

    const tokenAt = (nowSeconds: number, parts: object = {}): string =>
      strictToken({
        key: heraldKey,
        issuer: HERALD,
        audience: CENSUS,
        target: '/thing/1',
        now: Math.floor(nowSeconds),
        ...parts,
      });
    const ask = async ({ port }: ReceiverProcess, token: string): Promise<unknown> => {
      const { status, code } = await call(port, { target: '/thing/1', headers: { JWT: token } });
      return status === 200 ? 'accepted' : code;
    };
    const now = (): number => Date.now() / 1000;

    /** A key server that fails until the process has been disturbed, and then works. */
    async function startFailingKeys() {
      const server = keep(await startKeyServer(serveText(500, '')));
      const recovers = async (): Promise<void> => {
        const arrival = server.nextRequest();
        server.respond = serveKeys([jwkOf(anotherKey)]);
        await arrival; // asked for by the timer alone: no token of this issuer was sent yet
      };
      return { url: server.url, recovers };
    }

    it.each([
      ['back', -HOUR],
      ['forward', HOUR],
    ])(
      'PF-02 whose clock is put %s by an hour takes no used token, and fetches keys on',
      async (_where, seconds) => {
        const keys = await startFailingKeys();
        const receiver = await startProcess(keys.url);
        const used = tokenAt(now());
        expect(await ask(receiver, used)).toBe('accepted');
        await receiver.perform({ do: 'step', seconds });
        expect(await ask(receiver, used)).toMatch(/^token_(expired|not_yet_valid)$/);
        const usedMeanwhile = tokenAt(now() + seconds);
        expect(await ask(receiver, usedMeanwhile)).toBe('accepted');
        expect(await ask(receiver, usedMeanwhile)).toBe('token_replayed');
        await keys.recovers();
        const ofAnother = { key: anotherKey, issuer: ANOTHER };
        expect(await ask(receiver, tokenAt(now() + seconds, ofAnother))).toBe('accepted');
        await receiver.perform({ do: 'step', seconds: -seconds });
        expect(await ask(receiver, used)).toBe('token_replayed');
        expect(await ask(receiver, usedMeanwhile)).toMatch(/^token_(expired|not_yet_valid)$/);
        expect(await ask(receiver, tokenAt(now()))).toBe('accepted');
        expect((await receiver.tell()).unhandled).toEqual([]);
      },
    );

    it('PF-02 that was suspended judges by the time it wakes at, and fetches keys on', async () => {
      const keys = await startFailingKeys();
      const receiver = await startProcess(keys.url);
      const used = tokenAt(now());
      expect(await ask(receiver, used)).toBe('accepted');
      receiver.suspend();
      // Good at this moment, over (tolerance and all) half a second later; and good for long.
      const short = tokenAt(now(), { claims: { exp: now() - 4.5, iat: now() - 60 } });
      const waiting = [short, tokenAt(now()), used].map(
        async (token) => await ask(receiver, token),
      );
      // Some seconds stand for the minutes of a machine that was suspended.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      receiver.resume();
      expect(await Promise.all(waiting)).toEqual(['token_expired', 'accepted', 'token_replayed']);
      await keys.recovers();
      const ofAnother = { key: anotherKey, issuer: ANOTHER };
      expect(await ask(receiver, tokenAt(now(), ofAnother))).toBe('accepted');
      expect((await receiver.tell()).unhandled).toEqual([]);
    });

    it('PF-06 whose event loop stalls judges at the time of the check', async () => {
      const receiver = await startProcess();
      await receiver.stall(2);
      const short = tokenAt(now(), { claims: { exp: now() - 4.9, iat: now() - 60 } });
      const inFlight = Array.from({ length: 50 }, () => tokenAt(now()));
      const lifetimes = [30, 60].map((life) =>
        tokenAt(now(), { claims: { exp: Math.floor(now()) + life } }),
      );
      const tampered = `${tokenAt(now()).slice(0, -4)}AAAA`;
      const [late, forged, ...others] = await Promise.all(
        [short, tampered, ...inFlight, ...lifetimes].map(async (one) => await ask(receiver, one)),
      );
      expect(late).toBe('token_expired');
      expect(forged).toBe('signature_invalid');
      expect(others).toEqual(Array(52).fill('accepted'));
    });

    it('PF-06 stamps a token when it signs, not when it began to stall', async () => {
      const receiver = await startProcess();
      const tokens = await receiver.perform({ do: 'stall-and-sign', seconds: 2 });
      const [before = NaN, after = NaN] = (tokens as string[]).map((token) =>
        Number(decodeClaims(token)['iat']),
      );
      expect(after - before).toBeGreaterThanOrEqual(1);
      expect(after).toBeGreaterThanOrEqual(Math.floor(now()) - 1);
    });

    it('PF-12 whose threads have other work verifies everything all the same', async () => {
      const receiver = await startProcess();
      await receiver.perform({ do: 'keep-threads-busy', jobs: 200 });
      const good = Array.from({ length: 60 }, () => tokenAt(now()));
      const forged = good.map((token) => `${token.slice(0, -4)}AAAA`);
      const answers = Promise.all(
        [...good, ...forged].map(async (token) => await ask(receiver, token)),
      );
      expect((await receiver.tell()).busyJobs).toBeGreaterThan(0);
      expect((await answers).slice(0, 60)).toEqual(Array(60).fill('accepted'));
      expect((await answers).slice(60)).toEqual(Array(60).fill('signature_invalid'));
      expect((await receiver.tell()).unhandled).toEqual([]);
    });
  });
});
