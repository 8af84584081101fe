import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { type Attempt, type AttemptInput, ATTEMPTS } from './attempts.js';
import { isPageUser } from './users.js';

/** Which attempt the visitor makes, and with what. */
export interface WantedAttempt {
  readonly attempt: Attempt;
  readonly input: string;
}

/** Finds the attempt that a body names, and lets through no other input than it takes; others get 400. */
@Injectable()
export class AttemptPipe implements PipeTransform<unknown, WantedAttempt> {
  transform(body: unknown): WantedAttempt {
    const { id, input } = Object(body) as Record<string, unknown>;
    const attempt = ATTEMPTS.find((known) => known.id === id);
    if (!attempt) throw new BadRequestException('id: write that of an attempt.');
    return { attempt, input: readInput(input, attempt.input) };
  }
}

function readInput(value: unknown, wanted: AttemptInput | undefined): string {
  if (!wanted) {
    if (value === undefined) return '';
    throw new BadRequestException('input: this attempt takes none.');
  }
  if (value === undefined) return wanted.byDefault;
  if (typeof value === 'string' && isWithin(value, wanted)) return value;
  throw new BadRequestException(`input: ${wanted.hint ?? 'not one that this attempt takes.'}`);
}

function isWithin(value: string, { kind, maxLength, pattern }: AttemptInput): boolean {
  if (value === '' || value.length > maxLength) return false;
  if (kind === 'user') return isPageUser(value);
  return pattern === undefined || new RegExp(`^(?:${pattern})$`).test(value);
}
