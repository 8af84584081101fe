import { randomUUID } from 'node:crypto';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import type { Hop } from '../story/messages.js';
import type { Stage } from '../story/story.js';

const MARK_TIMEOUT_MILLISECONDS = 20_000;

/** In the order in which a call passes them. */
export const CHAIN = ['edge', 'another', 'herald', 'census'] as const satisfies ServiceName[];

export type Hops = Readonly<Partial<Record<ServiceName, Hop>>>;

interface Recorded {
  readonly name: ServiceName;
  readonly hop: Hop;
}

/** What the four services report of one call. Record one at a time. */
export class HopRecorder {
  private recorded: Recorded[] | undefined;

  constructor(private readonly stage: Pick<Stage, 'services' | 'environment'>) {
    for (const name of CHAIN) stage.services.onHop(name, (hop) => this.note(name, hop));
  }

  /** Records what `call` causes, until it is over. */
  async record<T>(call: () => Promise<T>): Promise<{ result: T; hops: Hops }> {
    const recorded: Recorded[] = [];
    this.recorded = recorded;
    try {
      const result = await call();
      await this.settle();
      return { result, hops: ofOneCall(recorded) };
    } finally {
      this.recorded = undefined;
    }
  }

  private note(name: ServiceName, hop: Hop): void {
    this.recorded?.push({ name, hop });
  }

  /** A service reports requests in their order. When it reports one that is sent now, it has reported all before. */
  private async settle(): Promise<void> {
    const up = this.stage.services.statuses().filter(({ state }) => state === 'up');
    const names = new Set(up.map(({ name }) => name));
    await Promise.all([...names].map(async (name) => await this.mark(name)));
  }

  private async mark(name: ServiceName): Promise<void> {
    const path = `mark-${randomUUID()}`;
    const reported = this.stage.services.nextHop(name, ({ request }) => request === `GET /${path}`);
    const isSent = await ask(new URL(path, this.stage.environment.baseUrls[name]));
    if (isSent) await reported;
  }
}

/** The page makes other requests meanwhile. Those of one call carry one grant, whose `txn` is the same on every hop. */
function ofOneCall(recorded: readonly Recorded[]): Hops {
  const first = (name: ServiceName, isSuch: (hop: Hop) => boolean): Hop | undefined =>
    recorded.find((one) => one.name === name && isSuch(one.hop))?.hop;
  const isWelcome = ({ request }: Hop): boolean => request === 'POST /welcome/';
  const another = first('another', isWelcome);
  const transaction = another?.grant?.['txn'];
  const isSame = ({ grant }: Hop): boolean =>
    transaction !== undefined && grant?.['txn'] === transaction;
  return {
    edge: first('edge', isWelcome),
    another,
    herald: first('herald', isSame),
    census: first('census', isSame),
  };
}

async function ask(url: URL): Promise<boolean> {
  try {
    await (await fetch(url, { signal: AbortSignal.timeout(MARK_TIMEOUT_MILLISECONDS) })).text();
    return true;
  } catch {
    return false;
  }
}

/** The name of a service in prose. */
export function titleOf(name: ServiceName): string {
  return name === 'another'
    ? 'another.service'
    : `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
}

export function isServiceName(name: unknown): name is ServiceName {
  return typeof name === 'string' && name !== 'legacy' && Object.hasOwn(SERVICE_URIS, name);
}
