import { Body, Controller, Get, HttpCode, Inject, Post } from '@nestjs/common';
import { AttemptPipe, type WantedAttempt } from './attempt.pipe.js';
import { type AttemptResult, AttemptService } from './attempt.service.js';
import { StoryPipe } from './story.pipe.js';
import { type StoryResult, StoryService } from './story.service.js';
import { Turnstile } from './turnstile.js';
import { type World, WorldService } from './world.service.js';

/** What the page's own script asks. */
@Controller('api')
export class PageController {
  constructor(
    @Inject(WorldService) private readonly world: WorldService,
    @Inject(StoryService) private readonly stories: StoryService,
    @Inject(AttemptService) private readonly attempts: AttemptService,
    @Inject(Turnstile) private readonly turnstile: Turnstile,
  ) {}

  @Get('world')
  async describeWorld(): Promise<World> {
    return await this.world.describe();
  }

  @Post('story')
  @HttpCode(200)
  async playStory(@Body(StoryPipe) as: string): Promise<StoryResult> {
    return await this.turnstile.pass(async () => await this.stories.play(as));
  }

  @Post('attempts')
  @HttpCode(200)
  async attempt(@Body(AttemptPipe) { attempt, input }: WantedAttempt): Promise<AttemptResult> {
    return await this.turnstile.pass(async () => await this.attempts.run(attempt, input));
  }
}
