import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isUserUri } from '../setup/services.js';

export interface Welcome {
  /** The URI of the census user to welcome. */
  readonly user: string;
  /** The URI of the census user on whose behalf that is done. */
  readonly as: string;
}

/** Lets nothing else through to the handler than what a {@link Welcome} is; others get 400. */
@Injectable()
export class WelcomePipe implements PipeTransform<unknown, Welcome> {
  transform(body: unknown): Welcome {
    const { user, as } = Object(body) as Record<string, unknown>;
    if (!isUserUri(user)) throw new BadRequestException('user: write the URI of a census user.');
    if (!isUserUri(as)) throw new BadRequestException('as: write the URI of a census user.');
    return { user, as };
  }
}
