import { Inject, Injectable } from '@nestjs/common';
import type { ServiceUserResolver } from 'nestjs-service-auth';
import { type User, UserDirectory } from './user.directory.js';

/** Turns the verified subject, a URI, into the user that guards and handlers find on `request.user`. */
@Injectable()
export class CensusUserResolver implements ServiceUserResolver {
  constructor(@Inject(UserDirectory) private readonly users: UserDirectory) {}

  resolveUser(subject: string): User | undefined {
    return this.users.findByUri(subject);
  }
}
