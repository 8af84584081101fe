// A guarded application that logs with pino. Arguments: the adapter; `nestjs-pino` or `pino-http`; `recipe` or
// `defaults`. nestjs-pino has one logger for each process. Sends what of the tokens of its callers stands in its log.
import { Body, Controller, Get, HttpCode, Inject, Optional, Post, UseGuards } from '@nestjs/common';
import { Logger, LoggerModule, PinoLogger } from 'nestjs-pino';
import { pinoHttp as createPinoHttp } from 'pino-http';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { Caller } from '../../support/services/caller.js';
import { call } from '../../support/http/http.js';
import { rawRequest, useFirst } from '../../support/services/middleware.js';
import { type Adapter, startService, type TestService } from '../../support/services/service.js';
import { pinoHttp } from '../pino-redaction.recipe.js';

const [adapter = 'express', logger = '', options = ''] = process.argv.slice(2);
const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const lines: string[] = [];
const stream = { write: (line: string) => void lines.push(line) };
/** The pattern of nestjs-pino 5.2.1 for every route matches none on Fastify. */
const everyRoute = adapter === 'fastify' ? { forRoutes: ['{*splat}'] } : {};
const logged = { ...(options === 'recipe' ? pinoHttp : {}), stream };

@Controller()
class HandlersController {
  constructor(@Optional() @Inject(PinoLogger) private readonly pino: PinoLogger | undefined) {}

  @Get('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {
    this.pino?.info('a line of the application');
    return { ok: true };
  }
  @Post('guarded')
  @HttpCode(200)
  @UseGuards(ServiceJwtGuard)
  post(@Body() body: unknown) {
    return { body };
  }
  @Get('unguarded')
  unguarded() {
    return { ok: true };
  }
  @Get('failing')
  @UseGuards(ServiceJwtGuard)
  failing() {
    throw new Error('it fails');
  }
}

async function start(): Promise<TestService> {
  const auth = ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] });
  const common = { adapter: adapter as Adapter, controllers: [HandlersController] };
  if (logger === 'nestjs-pino') {
    return await startService({
      ...common,
      imports: [auth, LoggerModule.forRoot({ pinoHttp: logged, ...everyRoute })],
      configure: (app) => app.useLogger(app.get(Logger)),
    });
  }
  const log = createPinoHttp(logged);
  return await startService({
    ...common,
    imports: [auth],
    configure: (app) =>
      useFirst(common.adapter, app, (request, response, next) =>
        log(rawRequest(request), response, next),
      ),
  });
}

/** Sends requests of each outcome, and answers the signatures of their tokens. */
async function sendAll({ port }: TestService): Promise<string[]> {
  const targets = ['/guarded', '/unguarded', '/failing', '/nowhere'];
  const tokens = targets.map((target) => herald.token({ target }));
  for (const [at, target] of targets.entries()) {
    await call(port, { target, headers: { JWT: tokens[at] } });
  }
  const refused = herald.token({ target: '/another' });
  await call(port, { target: '/guarded', headers: { JWT: refused } });
  await call(port, { target: '/guarded', headers: { jwt: [refused, refused] } });
  const headers = { JWT: refused, 'content-type': 'application/json' };
  await call(port, { method: 'POST', target: '/guarded', body: '{"broken', headers });
  return [...tokens, refused].map((token) => token.split('.')[2] ?? '');
}

const service = await start();
const signatures = await sendAll(service);
await service.close();
process.send?.({
  requests: lines.filter((line) => line.includes('"req"')).length,
  shown: signatures.map((signature) => lines.some((line) => line.includes(signature))),
});
process.disconnect?.();
