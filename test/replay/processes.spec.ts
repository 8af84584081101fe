import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { strictToken } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { CENSUS, HERALD, heraldKey } from '../support/services/sending-service.js';

const PROCESS = 'test/replay/processes/receiver.process.ts';

interface Ready {
  readonly port: number;
  readonly warnings: readonly string[];
}

/** Real processes of one service, and real requests to them. */
describe('several processes of one service', () => {
  const closing = closeAfterEach();
  let project: CompiledProject;
  beforeAll(() => {
    project = compileProject([PROCESS]);
  });
  afterAll(() => project.remove());

  function forkProcess(...args: string[]): ChildProcess {
    return forkWith({}, ...args);
  }

  function forkWith(environment: NodeJS.ProcessEnv, ...args: string[]): ChildProcess {
    const env = { ...process.env, NODE_ENV: 'test', ...environment };
    const child = fork(project.path(PROCESS), args, { env });
    closing({
      close: async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGKILL');
        await once(child, 'exit');
      },
    });
    return child;
  }

  /** Starts it with or without a Redis, and waits until so many of it serve. */
  async function ready(
    child: ChildProcess,
    redisPort?: number,
    count = 1,
    byDefault = false,
  ): Promise<Ready[]> {
    const answers: Ready[] = [];
    const served = new Promise<void>((resolve) => {
      child.on('message', (message: Ready) => {
        if (answers.push(message) === count) resolve();
      });
    });
    child.send({ publicKey: heraldKey.publicPem, redisPort, byDefault });
    await served;
    return answers;
  }

  const tokenFor = (target: string): string =>
    strictToken({ key: heraldKey, issuer: HERALD, audience: CENSUS, target });

  /** How often each token was accepted when it is sent to every port so many times, all at once. */
  async function acceptedEach(ports: readonly number[], tokens: number, copies: number) {
    const counts: number[] = [];
    for (let each = 0; each < tokens; each++) {
      const token = tokenFor('/a');
      const sent = Array.from({ length: copies }, async (_, at) => {
        const port = ports[at % ports.length] ?? 0;
        return await call(port, { target: '/a', headers: { JWT: token } });
      });
      const answers = await Promise.all(sent);
      const others = answers.filter(({ status }) => status !== 200);
      expect(new Set(others.map(({ code }) => code))).toEqual(new Set(['token_replayed']));
      counts.push(answers.length - others.length);
    }
    return counts;
  }

  describeRedis('that share a Redis', () => {
    it('RP-03, PF-10 accept each of 100 tokens once, of 12 copies at once', async () => {
      const redis = closing(await RedisServer.start());
      const started = await Promise.all(
        [1, 2, 3].map(async () => await ready(forkProcess(), redis.port)),
      );
      const ports = started.flat().map(({ port }) => port);
      expect(new Set(ports).size).toBe(3);
      expect(await acceptedEach(ports, 100, 12)).toEqual(Array(100).fill(1));
    });

    it('PF-10, CF-10 workers of a cluster accept a token once, and nobody is warned', async () => {
      const redis = closing(await RedisServer.start());
      const workers = await ready(forkProcess('primary'), redis.port, 2);
      expect(workers.flatMap(({ warnings }) => warnings)).toEqual([]);
      const ports = workers.map(({ port }) => port);
      expect(await acceptedEach(ports, 20, 10)).toEqual(Array(20).fill(1));
    });
  });

  it('PF-10 remember in memory each for itself: a token is accepted once by each', async () => {
    const started = await Promise.all([1, 2].map(async () => await ready(forkProcess())));
    const ports = started.flat().map(({ port }) => port);
    expect(await acceptedEach(ports, 10, 10)).toEqual(Array(10).fill(2));
  });

  it('PF-10, CF-10 worker threads remember each for itself, and are warned', async () => {
    const threads = await ready(forkProcess('threads'), undefined, 2);
    const warning: unknown = expect.stringContaining(
      'each worker thread remembers used tokens for itself. Give replayStore a shared store (Redis)',
    );
    expect(threads.map(({ warnings }) => warnings)).toEqual([[warning], [warning]]);
    const ports = threads.map(({ port }) => port);
    expect(await acceptedEach(ports, 5, 10)).toEqual(Array(5).fill(2));
  });

  describe('CF-10 the default store in production', () => {
    const warning = (hint = ''): unknown =>
      expect.stringContaining(
        `each process remembers used tokens for itself${hint}. Give replayStore a shared`,
      );
    const start = async (environment: NodeJS.ProcessEnv, byDefault = true) => {
      const child = forkWith({ NODE_ENV: 'production', ...environment });
      const [started] = await ready(child, undefined, 1, byDefault);
      return started?.warnings;
    };

    it('is warned of, and nobody is who wrote that it shall be, or elsewhere', async () => {
      expect(await start({})).toEqual([warning()]);
      expect(await start({}, false)).toEqual([]);
      expect(await start({ NODE_ENV: 'development' })).toEqual([]);
      expect(await start({ NODE_ENV: undefined })).toEqual([]);
    });

    it('names the platform that starts several', async () => {
      const hints = [
        [{ AWS_LAMBDA_FUNCTION_NAME: 'census' }, 'AWS Lambda'],
        [{ K_SERVICE: 'census' }, 'Cloud Run'],
      ] as const;
      for (const [environment, platform] of hints) {
        const hint = `, and ${platform} may start several`;
        expect(await start(environment)).toEqual([warning(hint)]);
        expect(await start({ ...environment, NODE_ENV: 'test' })).toEqual([]);
      }
    });
  });

  it('CF-10 are warned of a memory store where they are workers of a cluster', async () => {
    const workers = await ready(forkProcess('primary'), undefined, 2);
    const warning: unknown = expect.stringContaining(
      'each process of the cluster remembers used tokens for itself',
    );
    expect(workers.map(({ warnings }) => warnings)).toEqual([[warning], [warning]]);
    const [alone] = await ready(forkProcess());
    expect(alone?.warnings).toEqual([]);
  });
});
