import { Controller, Get, Inject, NotFoundException, Param, UseGuards } from '@nestjs/common';
import { RequireSubject } from 'nestjs-service-auth';
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
}
