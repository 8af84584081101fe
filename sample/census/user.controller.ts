import { Controller, Get, Inject, NotFoundException, Param, UseGuards } from '@nestjs/common';
import { AllowIssuers, RequireSubject, RequireSubjectProof } from 'nestjs-service-auth';
import { MAIL_LIFETIME_SECONDS } from '../setup/mail-order.js';
import { SERVICE_URIS } from '../setup/services.js';
import { Roles, RolesGuard } from './roles.guard.js';
import { uriOf, UserDirectory } from './user.directory.js';

@Controller('user')
@RequireSubject()
@UseGuards(RolesGuard)
export class UserController {
  constructor(@Inject(UserDirectory) private readonly users: UserDirectory) {}

  @Get(':id')
  @Roles(['operator', 'self'])
  find(@Param('id') id: string) {
    const user = this.users.findById(id);
    if (!user) throw new NotFoundException('There is no such user.');
    return { uri: uriOf(user), name: user.name, email: user.email };
  }

  /** For the courier alone, whose mails may have waited: the user asked within the last hour. */
  @Get(':id/address')
  @Roles(['operator', 'self'])
  @AllowIssuers(SERVICE_URIS.courier)
  @RequireSubjectProof({ maxAgeSeconds: MAIL_LIFETIME_SECONDS })
  findAddress(@Param('id') id: string) {
    return this.find(id);
  }
}
