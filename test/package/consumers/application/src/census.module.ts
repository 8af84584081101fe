import { Body, Controller, Module, Post, UseGuards } from '@nestjs/common';
import { ServiceAuthModule, ServiceJwtGuard, ServiceSubject } from 'nestjs-service-auth';
import { CENSUS, HERALD, readSetting } from './services.js';

@Controller('user')
@UseGuards(ServiceJwtGuard)
export class UserController {
  @Post()
  create(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { body, subject };
  }
}

@Module({
  imports: [
    ServiceAuthModule.forRootAsync({
      useFactory: () => ({
        issuer: CENSUS,
        trustedIssuers: [{ issuer: HERALD, publicKey: readSetting('HERALD_PUBLIC_KEY') }],
      }),
    }),
  ],
  controllers: [UserController],
})
export class CensusModule {}
