import { Inject, Injectable } from '@nestjs/common';
import { jwksUriAt } from '../setup/environment.js';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import type { Stage } from '../story/story.js';
import { SERVICES } from './hop-recorder.js';
import { STAGE } from './stage.token.js';
import { SwitchBoard, type SwitchPositions } from './switches/switch-board.js';

const TIMEOUT_MILLISECONDS = 3000;

/** `silent`: the process runs, and does not answer. The others are those of the process. */
export type ShownState = 'up' | 'silent' | 'starting' | 'stopped' | 'failed';

export interface ShownService {
  readonly name: ServiceName;
  readonly uri: string;
  /** Where it listens. */
  readonly url: string;
  readonly state: ShownState;
  /** The ids of the keys that it publishes; null: it does not serve them now. */
  readonly keyIds: readonly string[] | null;
}

/** How everything is just now. */
export interface State {
  readonly services: readonly ShownService[];
  readonly switches: SwitchPositions;
  /** The ids of Herald's keys that Census knows; null while Census is not up. */
  readonly censusKnows: readonly string[] | null;
}

@Injectable()
export class StateService {
  constructor(
    @Inject(STAGE) private readonly stage: Stage,
    @Inject(SwitchBoard) private readonly board: SwitchBoard,
  ) {}

  async describe(): Promise<State> {
    return {
      services: await Promise.all(SERVICES.map(async (name) => await this.describeService(name))),
      switches: this.board.positions(),
      censusKnows: this.stage.services.keysKnownTo('census')?.[SERVICE_URIS.herald] ?? null,
    };
  }

  private async describeService(name: ServiceName): Promise<ShownService> {
    const url = this.stage.environment.baseUrls[name];
    const found = this.stage.services.statuses().find((one) => one.name === name);
    const process = found?.state ?? 'stopped';
    const shown = { name, uri: SERVICE_URIS[name], url };
    if (process !== 'up') return { ...shown, state: process, keyIds: null };
    const answer = await askForKeys(url);
    return { ...shown, state: answer ? 'up' : 'silent', keyIds: answer?.keyIds ?? null };
  }
}

/** undefined: the service does not answer at all. */
async function askForKeys(url: string): Promise<{ keyIds: string[] | null } | undefined> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
    const response = await fetch(jwksUriAt(url), { signal, redirect: 'error' });
    const text = await response.text();
    if (response.status === 503) return { keyIds: null };
    return { keyIds: response.ok ? readKeyIds(text) : [] };
  } catch {
    return undefined;
  }
}

function readKeyIds(text: string): string[] {
  const { keys } = Object(JSON.parse(text)) as { keys?: unknown };
  return Array.isArray(keys) ? keys.map((key: { kid?: unknown }) => String(key.kid)) : [];
}
