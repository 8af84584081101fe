import { randomUUID } from 'node:crypto';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import type { Hop, Received } from '../story/messages.js';
import type { Stage } from '../story/story.js';

const MARK_TIMEOUT_MILLISECONDS = 20_000;

/** In the order in which a call passes them. */
export const CHAIN = ['edge', 'another', 'herald', 'census'] as const satisfies ServiceName[];

/** All services that run, as the page lists them. */
export const SERVICES = [...CHAIN, 'courier'] as const satisfies ServiceName[];

export type Hops = Readonly<Partial<Record<(typeof CHAIN)[number], Hop>>> & {
  /** The mail that Herald has queued for this call, as the courier took it for the first time. */
  readonly mail?: Received | undefined;
  /** What the courier asked of Census for that mail. */
  readonly address?: Hop | undefined;
};

interface Recorded {
  readonly name: ServiceName;
  readonly hop: Hop;
}

/** What the services report of one call. Record one at a time. */
export class HopRecorder {
  private recorded: Recorded[] | undefined;
  private mails: Received[] = [];

  constructor(private readonly stage: Pick<Stage, 'services' | 'environment'>) {
    for (const name of CHAIN) stage.services.onHop(name, (hop) => this.note(name, hop));
    stage.services.onMail((mail) => this.mails.push(mail));
  }

  /** Records what `call` causes, until it is over. */
  async record<T>(call: () => Promise<T>): Promise<{ result: T; hops: Hops }> {
    const recorded: Recorded[] = [];
    this.recorded = recorded;
    this.mails = [];
    try {
      const result = await call();
      await this.settle();
      return { result, hops: ofOneCall(recorded, this.mails) };
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
function ofOneCall(recorded: readonly Recorded[], mails: readonly Received[]): Hops {
  const first = (name: ServiceName, isSuch: (hop: Hop) => boolean): Hop | undefined =>
    recorded.find((one) => one.name === name && isSuch(one.hop))?.hop;
  const isWelcome = ({ request }: Hop): boolean => request === 'POST /welcome/';
  const another = first('another', isWelcome);
  const transaction = another?.grant?.['txn'];
  const isSame = ({ grant }: Received): boolean =>
    transaction !== undefined && grant?.['txn'] === transaction;
  const isOf = (caller: ServiceName) => (hop: Hop) =>
    isSame(hop) && hop.claims?.['iss'] === SERVICE_URIS[caller];
  return {
    edge: first('edge', isWelcome),
    another,
    herald: first('herald', isSame),
    census: first('census', isOf('herald')),
    mail: mails.find(isSame),
    address: first('census', isOf('courier')),
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
