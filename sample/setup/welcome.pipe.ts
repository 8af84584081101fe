import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isUserUri } from './services.js';

/** An order to Edge, and to Another. For whom it is made is no part of it: that is the user who is logged in. */
export interface Welcome {
  /** The URI of the census user to welcome. */
  readonly user: string;
}

/** Lets nothing else through to the handler than what a {@link Welcome} is; others get 400. */
@Injectable()
export class WelcomePipe implements PipeTransform<unknown, Welcome> {
  transform(body: unknown): Welcome {
    const { user } = Object(body) as Record<string, unknown>;
    if (!isUserUri(user)) throw new BadRequestException('user: write the URI of a census user.');
    return { user };
  }
}
