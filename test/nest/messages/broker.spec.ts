import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Broker } from '../../support/messages/broker.js';

/** Starts a child, writes down who both are, and serves nothing. */
const TWO_PROCESSES = 'sleep 1000 & echo $! $$ > "$0"; exec sleep 1000';

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // On Linux, one that has ended may not have been waited for yet.
  const status = `/proc/${pid}/stat`;
  return !existsSync(status) || !readFileSync(status, 'utf8').includes(') Z ');
}

/** A signal is delivered later, and nothing tells of the end of a process that somebody else has started. */
async function untilGone(pids: readonly number[]): Promise<void> {
  while (pids.some(isThere)) await setTimeout(10);
}

describe('A broker of the tests', () => {
  let folder: string;

  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-broker-spec-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** One that is ready when it has written its file, or never. */
  async function start(isReady: boolean): Promise<{ starting: Promise<Broker>; pids: number[] }> {
    const file = join(folder, 'pids');
    const pids = (): number[] => {
      try {
        return readFileSync(file, 'utf8').split(' ').map(Number);
      } catch {
        return [];
      }
    };
    let noteWritten: () => void = () => undefined;
    const isWritten = new Promise<void>((resolve) => (noteWritten = resolve));
    const starting = Broker.start({
      binary: 'sh',
      args: () => ['-c', TWO_PROCESSES, file],
      isReady: async () => {
        if (pids().length < 2) return await Promise.resolve(false);
        noteWritten();
        return isReady;
      },
      mostStartMilliseconds: 5000,
    });
    starting.catch(() => undefined);
    await isWritten;
    return { starting, pids: pids() };
  }

  it('that does not get ready in time leaves no process', async () => {
    const { starting: failing, pids } = await start(false);
    await expect(failing).rejects.toThrow('sh did not start in time');
    await untilGone(pids);
    expect(pids.map(isThere)).toEqual([false, false]);
  });

  it('that gets ready runs until it is closed', async () => {
    const { starting: started, pids } = await start(true);
    const broker = await started;
    expect(pids.map(isThere)).toEqual([true, true]);
    await broker.close();
    await untilGone(pids);
    expect(pids.map(isThere)).toEqual([false, false]);
  });
});
