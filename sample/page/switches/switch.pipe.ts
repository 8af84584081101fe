import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import type { Turn } from './switch-board.js';

/** Lets nothing through but three short texts; others get 400. */
@Injectable()
export class SwitchPipe implements PipeTransform<unknown, Turn> {
  transform(body: unknown): Turn {
    const { id, action, choice = '' } = Object(body) as Record<string, unknown>;
    if (typeof id === 'string' && typeof action === 'string' && typeof choice === 'string') {
      return { id, action, choice };
    }
    throw new BadRequestException('id, action, choice: write texts.');
  }
}
