import {
  Body,
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Inject,
  Post,
  Res,
} from '@nestjs/common';
import type { Response } from 'express';
import { DEMO_USERS } from './demo-users.js';
import { LogInPipe } from './log-in.pipe.js';
import { COOKIE_NAME, Sessions } from './sessions.js';

/** Whom the page greets, and who else can log in. */
export interface Visit {
  /** The URI of the user who is logged in; null: nobody is. */
  readonly user: string | null;
  readonly users: typeof DEMO_USERS;
}

/**
 * A DEMO LOGIN: it asks for no password. In an application of yours this is a session, passport, OpenID Connect, passkeys:
 * whatever proves who the user is. Whoever gets past it, Edge vouches for.
 */
@Controller('session')
export class SessionController {
  constructor(@Inject(Sessions) private readonly sessions: Sessions) {}

  @Get()
  visit(@Headers('cookie') cookies: string | undefined): Visit {
    return { user: this.sessions.find(cookies)?.user ?? null, users: DEMO_USERS };
  }

  @Post()
  @HttpCode(204)
  logIn(
    @Body(LogInPipe) user: string,
    @Headers('cookie') cookies: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): void {
    this.sessions.end(cookies);
    // `secure` is missing because the sample speaks plain HTTP, on the loopback interface.
    response.cookie(COOKIE_NAME, this.sessions.start(user), { httpOnly: true, sameSite: 'strict' });
  }

  @Delete()
  @HttpCode(204)
  logOut(
    @Headers('cookie') cookies: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): void {
    this.sessions.end(cookies);
    response.clearCookie(COOKIE_NAME, { httpOnly: true, sameSite: 'strict' });
  }
}
