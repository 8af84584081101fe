import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isDemoUser } from '../edge/demo-users.js';

/** Lets the URI of a user through who can log in at Edge; others get 400. */
@Injectable()
export class StoryPipe implements PipeTransform<unknown, string> {
  transform(body: unknown): string {
    const { as } = Object(body) as Record<string, unknown>;
    if (isDemoUser(as)) return as;
    throw new BadRequestException('as: write the URI of one of the users who can log in.');
  }
}
