import type { AddressInfo, Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';
import { KEYS_PATH } from '../setup/environment.js';
import { visitorsOnly } from '../setup/visitors-only.middleware.js';

/** Served as they are, and never from the build: they are no TypeScript. */
const FILES = fileURLToPath(new URL('../../sample/edge/public', import.meta.url));

/** The page where users log in. A cookie counts only for requests of this page: `visitorsOnly` refuses other origins. */
export function servePage(app: NestExpressApplication): void {
  const server: Server = app.getHttpServer();
  const guarded = visitorsOnly(() => (server.address() as AddressInfo).port);
  app.disable('x-powered-by');
  app.use((request: Request, response: Response, next: NextFunction) => {
    // The keys are for services, wherever they are.
    if (request.path === `/${KEYS_PATH}`) next();
    else guarded(request, response, next);
  });
  app.useStaticAssets(FILES, { dotfiles: 'ignore', redirect: false });
}
