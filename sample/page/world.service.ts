import { Inject, Injectable } from '@nestjs/common';
import { jwksUriAt } from '../setup/environment.js';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import type { Stage } from '../story/story.js';
import { type Attempt, ATTEMPTS } from './attempts.js';
import { type Check, CHECKS } from './checks.js';
import { DEMO_USERS } from '../edge/demo-users.js';
import { STAGE } from './stage.token.js';
import { USERS } from './users.js';

const TIMEOUT_MILLISECONDS = 3000;

export interface ShownService {
  readonly name: ServiceName;
  readonly uri: string;
  /** Where it listens. */
  readonly url: string;
  readonly does: string;
  /** Whether it answers just now. */
  readonly isUp: boolean;
  /** Of the keys it publishes. */
  readonly keyIds: readonly string[];
}

/** Everything the page shows before anything is played. */
export interface World {
  readonly services: readonly ShownService[];
  readonly users: typeof USERS;
  /** Those of them who can log in at Edge. */
  readonly visitors: typeof DEMO_USERS;
  readonly checks: readonly Check[];
  readonly attempts: readonly Omit<Attempt, 'make'>[];
}

const ROLES: readonly (readonly [ServiceName, string])[] = [
  ['edge', 'Users log in here. It vouches for them: makes the grant that goes along.'],
  ['another', 'Takes orders. Calls Herald for the same user, and sends the grant on.'],
  ['herald', 'Notifies users by e-mail. Asks for the grant, and sends it on to Census.'],
  ['census', 'Knows the users and who may read whom. Only receives, and asks for the grant.'],
];

@Injectable()
export class WorldService {
  constructor(@Inject(STAGE) private readonly stage: Stage) {}

  async describe(): Promise<World> {
    return {
      services: await Promise.all(ROLES.map(([name, does]) => this.describeService(name, does))),
      users: USERS,
      visitors: DEMO_USERS,
      checks: CHECKS,
      attempts: ATTEMPTS.map(({ make: _make, ...shown }) => shown),
    };
  }

  private async describeService(name: ServiceName, does: string): Promise<ShownService> {
    const url = this.stage.environment.baseUrls[name];
    const keyIds = await askForKeyIds(url);
    const isUp = keyIds !== undefined;
    return { name, uri: SERVICE_URIS[name], url, does, isUp, keyIds: keyIds ?? [] };
  }
}

/** The ids of the keys that a service publishes; undefined when it does not answer. */
async function askForKeyIds(baseUrl: string): Promise<string[] | undefined> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
    const response = await fetch(jwksUriAt(baseUrl), { signal, redirect: 'error' });
    const { keys } = Object(await response.json()) as { keys?: unknown };
    return Array.isArray(keys) ? keys.map((key: { kid?: unknown }) => String(key.kid)) : [];
  } catch {
    return undefined;
  }
}
