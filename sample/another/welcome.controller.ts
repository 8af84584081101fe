import { HttpService } from '@nestjs/axios';
import { Body, Controller, Inject, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { type Welcome, WelcomePipe } from './welcome.pipe.js';

/**
 * The public edge of the sample, which believes whoever calls it. In an application of yours users
 * have logged in here, and `as` is the one who has.
 */
@Controller('welcome')
export class WelcomeController {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Post()
  async welcome(
    @Body(WelcomePipe) { user, as }: Welcome,
    @Res({ passthrough: true }) response: Response,
  ): Promise<unknown> {
    const order = { user, type: 'welcome-message' };
    const { data, headers } = await firstValueFrom(
      this.http.post<unknown>('notification/', order, onBehalfOf(as)),
    );
    response.location(String(headers['location']));
    return data;
  }
}
