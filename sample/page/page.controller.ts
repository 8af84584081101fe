import {
  Body,
  Controller,
  Get,
  Header,
  HttpCode,
  Inject,
  NotFoundException,
  Post,
  Req,
} from '@nestjs/common';
import type { Request } from 'express';
import { AttemptPipe, type WantedAttempt } from './attempt.pipe.js';
import { type AttemptResult, AttemptService } from './attempt.service.js';
import type { CurlCommand } from './curl.js';
import { readLinkedFile } from './links.js';
import { type State, StateService } from './state.service.js';
import { StoryPipe } from './story.pipe.js';
import { type StoryResult, StoryService } from './story.service.js';
import type { SwitchResult } from './switches/outcome.js';
import { SwitchBoard, type Turn } from './switches/switch-board.js';
import { SwitchPipe } from './switches/switch.pipe.js';
import { type World, WorldService } from './world.service.js';

/** What the page's own script asks. */
@Controller()
export class PageController {
  constructor(
    @Inject(WorldService) private readonly world: WorldService,
    @Inject(StateService) private readonly now: StateService,
    @Inject(StoryService) private readonly stories: StoryService,
    @Inject(AttemptService) private readonly attempts: AttemptService,
    @Inject(SwitchBoard) private readonly board: SwitchBoard,
  ) {}

  @Get('api/world')
  async show(): Promise<World> {
    return await this.world.describe();
  }

  @Get('api/state')
  async state(): Promise<State> {
    return await this.now.describe();
  }

  @Post('api/story')
  @HttpCode(200)
  async play(@Body(StoryPipe) as: string): Promise<StoryResult> {
    return await this.stories.play(as);
  }

  @Post('api/attempts')
  @HttpCode(200)
  async attempt(@Body(AttemptPipe) { attempt, input }: WantedAttempt): Promise<AttemptResult> {
    return await this.attempts.run(attempt, input);
  }

  @Post('api/curl')
  @HttpCode(200)
  async curl(@Body(AttemptPipe) { attempt, input }: WantedAttempt): Promise<CurlCommand> {
    return await this.attempts.toCurl(attempt, input);
  }

  @Post('api/switches')
  @HttpCode(200)
  async turn(@Body(SwitchPipe) turn: Turn): Promise<SwitchResult> {
    return await this.board.turn(turn);
  }

  /** The pages of the project, as the text that they are. */
  @Get('read/*path')
  @Header('content-type', 'text/plain; charset=utf-8')
  read(@Req() { path }: Request): string {
    const text = readLinkedFile(path.slice('/read/'.length));
    if (text === undefined) throw new NotFoundException('The page links to no such file.');
    return text;
  }
}
