import { Inject, Injectable } from '@nestjs/common';
import type { Stage } from '../story/story.js';
import { DEMO_USERS } from '../edge/demo-users.js';
import { type Attempt, ATTEMPTS } from './attempts.js';
import { type Check, CHECKS } from './checks.js';
import { type Link, readLinks } from './links.js';
import { STAGE } from './stage.token.js';
import { type State, StateService } from './state.service.js';
import { type Switch, SWITCHES } from './switches/switches.js';
import { USERS } from './users.js';

/** Everything the page shows before anything is played. */
export interface World {
  readonly state: State;
  readonly users: typeof USERS;
  /** The users who can log in at Edge. */
  readonly visitors: typeof DEMO_USERS;
  readonly checks: readonly Check[];
  readonly attempts: readonly Omit<Attempt, 'make'>[];
  readonly switches: readonly Switch[];
  readonly links: readonly Link[];
  /** Where users log in by themselves. */
  readonly edgeUrl: string;
}

@Injectable()
export class WorldService {
  constructor(
    @Inject(STAGE) private readonly stage: Stage,
    @Inject(StateService) private readonly state: StateService,
  ) {}

  async describe(): Promise<World> {
    return {
      state: await this.state.describe(),
      users: USERS,
      visitors: DEMO_USERS,
      checks: CHECKS,
      attempts: ATTEMPTS.map(({ make: _make, ...shown }) => shown),
      switches: SWITCHES,
      links: readLinks(),
      edgeUrl: this.stage.environment.baseUrls.edge,
    };
  }
}
