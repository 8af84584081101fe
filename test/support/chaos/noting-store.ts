import { pid } from 'node:process';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { type LineWriter, sharedNow, type Step } from './run-lines.js';

type Reserve = Parameters<RedisReplayStore['reserve']>;
type End = Parameters<RedisReplayStore['commit']>;

/** A store in Redis that writes down what became of each reservation. */
export class NotingStore extends RedisReplayStore {
  private readonly owners = new Map<string, string>();

  constructor(
    options: ConstructorParameters<typeof RedisReplayStore>[0],
    private readonly lines: LineWriter,
  ) {
    super(options);
  }

  /** That of the reservation of this use which this process made last. */
  ownerOf(tokenId: string): string {
    return this.owners.get(tokenId) ?? '';
  }

  override async reserve(...[use, lease]: Reserve) {
    const asked = sharedNow();
    const verdict = await super.reserve(use, lease);
    if (verdict === 'seen') this.note('seen', use, lease.owner);
    if (verdict !== 'first') return verdict;
    const id = idOf(use);
    this.owners.set(id, lease.owner);
    const run = { use: id, owner: lease.owner, pid, at: sharedNow() };
    this.lines.note({ step: 'reserved', ...run, asked });
    return verdict;
  }

  override async commit(...[use, owner]: End): Promise<boolean> {
    const isOwned = await super.commit(use, owner);
    this.note(isOwned ? 'owned' : 'lost', use, owner);
    return isOwned;
  }

  override async release(...[use, owner]: End): Promise<void> {
    await super.release(use, owner);
    this.note('released', use, owner);
  }

  private note(step: Step, use: End[0], owner: string): void {
    this.lines.note({ step, use: idOf(use), owner, pid, at: sharedNow() });
  }
}

/** What precedes it names the subscription. */
function idOf({ tokenId }: End[0]): string {
  return tokenId.split(' ').at(-1) ?? '';
}
