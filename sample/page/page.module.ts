import { type DynamicModule, Module } from '@nestjs/common';
import type { Stage } from '../story/story.js';
import { AttemptService } from './attempt.service.js';
import { Forger } from './forger.js';
import { PageController } from './page.controller.js';
import { STAGE } from './stage.token.js';
import { StateService } from './state.service.js';
import { StoryService } from './story.service.js';
import { SwitchBoard } from './switches/switch-board.js';
import { Turnstile } from './turnstile.js';
import { WorldService } from './world.service.js';

/** The page's backend. It alone reads private keys, and gives the browser tokens and answers only. */
@Module({})
export class PageModule {
  static register(stage: Stage): DynamicModule {
    return {
      module: PageModule,
      controllers: [PageController],
      providers: [
        { provide: STAGE, useValue: stage },
        { provide: Forger, useValue: new Forger(stage.environment) },
        WorldService,
        StateService,
        StoryService,
        SwitchBoard,
        AttemptService,
        Turnstile,
      ],
    };
  }
}
