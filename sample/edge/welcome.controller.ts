import { HttpService } from '@nestjs/axios';
import {
  Body,
  Controller,
  Headers,
  Inject,
  Post,
  Res,
  UnauthorizedException,
} from '@nestjs/common';
import type { Response } from 'express';
import { ServiceCallContext } from 'nestjs-service-auth';
import { firstValueFrom } from 'rxjs';
import { type Welcome, WelcomePipe } from '../setup/welcome.pipe.js';
import { MAIL_LIFETIME_SECONDS } from '../setup/mail-order.js';
import { Sessions } from './sessions.js';

/** Takes the order of a browser, and passes it on for the user who is logged in. */
@Controller('welcome')
export class WelcomeController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceCallContext) private readonly calls: ServiceCallContext,
    @Inject(Sessions) private readonly sessions: Sessions,
  ) {}

  @Post()
  async welcome(
    @Body(WelcomePipe) order: Welcome,
    @Headers('cookie') cookies: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<unknown> {
    const session = this.sessions.find(cookies);
    if (!session) throw new UnauthorizedException('Log in first.');
    // The user is that of the session, and of nothing that the browser wrote into the order.
    const originate = {
      scope: 'notification:create',
      authTimeSeconds: session.loggedInAtSeconds,
      // The mail may wait for the courier. Census takes the old grant only from there.
      lifetimeSeconds: MAIL_LIFETIME_SECONDS,
    };
    const { data, headers } = await this.calls.runOnBehalfOf(
      session.user,
      () => firstValueFrom(this.http.post<unknown>('welcome/', order)),
      { originate },
    );
    response.location(String(headers['location']));
    return data;
  }
}
