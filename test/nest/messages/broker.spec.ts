import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, type ReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Broker } from '../../support/messages/broker.js';

/** Starts a child, says so, and serves nothing. Both hold the pipe open that `$0` names, until they end. */
const TWO_PROCESSES = 'exec 3> "$0"; sleep 1000 & echo started >&3; exec sleep 1000';

describe('A broker of the tests', () => {
  let folder: string;
  let pipe: ReadStream;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-broker-spec-'));
    spawnSync('mkfifo', [join(folder, 'pipe')]);
    pipe = createReadStream(join(folder, 'pipe'));
  });
  afterEach(() => {
    pipe.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  /** One that is ready when both of its processes run, or never. */
  async function start(isReady: boolean): Promise<{ starting: Promise<Broker> }> {
    const started = once(pipe, 'data');
    const starting = Broker.start({
      binary: 'sh',
      args: () => ['-c', TWO_PROCESSES, join(folder, 'pipe')],
      isReady: async () => {
        await started;
        return isReady;
      },
      mostStartMilliseconds: 1000,
    });
    starting.catch(() => undefined);
    await started;
    return { starting };
  }

  it('that does not get ready in time leaves no process', async () => {
    const { starting } = await start(false);
    const bothEnd = once(pipe, 'end');
    await expect(starting).rejects.toThrow('sh did not start in time');
    await bothEnd;
  });

  it('that gets ready runs until it is closed', async () => {
    const { starting } = await start(true);
    const broker = await starting;
    expect(pipe.readableEnded).toBe(false);
    const bothEnd = once(pipe, 'end');
    await broker.close();
    await bothEnd;
  });
});
