import { HttpService } from '@nestjs/axios';
import { Controller, Inject, Injectable, Module, Post, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { type CallUser, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { ANOTHER, CENSUS, HERALD, readSetting, USER } from './services.js';

@Injectable()
export class CensusClient {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  async create(name: string, user: CallUser = USER) {
    const options = onBehalfOf(user, { validateStatus: () => true });
    const { status, data } = await firstValueFrom(this.post(name, options));
    return { status, data };
  }

  createForNobody(name: string) {
    return firstValueFrom(this.post(name));
  }

  private post(name: string, options?: Parameters<HttpService['post']>[2]) {
    return this.http.post<unknown>(`${readSetting('CENSUS_URL')}/user`, { name }, options);
  }
}

@Controller('greeting')
export class GreetingController {
  constructor(private readonly census: CensusClient) {}

  @Post()
  greet() {
    return this.census.create('Ada');
  }

  @Post('for-caller')
  @UseGuards(ServiceJwtGuard)
  greetForCaller(@ServiceCaller() caller: ServiceIdentity) {
    return this.census.create('Ada', caller);
  }
}

@Module({
  imports: [
    ServiceAuthModule.forRootAsync({
      useFactory: () => ({
        issuer: HERALD,
        signingKey: { privateKey: readSetting('HERALD_PRIVATE_KEY') },
        targets: [{ baseUrl: readSetting('CENSUS_URL'), audience: CENSUS }],
        trustedIssuers: [{ issuer: ANOTHER, publicKey: readSetting('ANOTHER_PUBLIC_KEY') }],
      }),
    }),
    ServiceHttpModule.register({}),
  ],
  controllers: [GreetingController],
  providers: [CensusClient],
})
export class HeraldModule {}
