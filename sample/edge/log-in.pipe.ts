import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isDemoUser } from './demo-users.js';

/** Lets the URI of a demo user through; others get 400. */
@Injectable()
export class LogInPipe implements PipeTransform<unknown, string> {
  transform(body: unknown): string {
    const { user } = Object(body) as Record<string, unknown>;
    if (isDemoUser(user)) return user;
    throw new BadRequestException('user: write the URI of one of the demo users.');
  }
}
