import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isPageUser } from './users.js';

/** Lets the URI of a user through on whose behalf the story can be played; others get 400. */
@Injectable()
export class StoryPipe implements PipeTransform<unknown, string> {
  transform(body: unknown): string {
    const { as } = Object(body) as Record<string, unknown>;
    if (isPageUser(as)) return as;
    throw new BadRequestException('as: write the URI of one of the users.');
  }
}
