// An application that loads two copies of the package. Arguments: the adapter, the second copy. Sends what
// its handlers answer as a message.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Controller, Get, UseGuards } from '@nestjs/common';
import * as own from 'nestjs-service-auth';
import { Caller } from '../../support/services/caller.js';
import { type Adapter, startService } from '../../support/services/service.js';

type Package = typeof own;

const [adapter = 'express', path = ''] = process.argv.slice(2);
const other = (
  path.includes('cjs')
    ? createRequire(import.meta.url)(path)
    : await import(pathToFileURL(path).href)
) as Package;

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);

@Controller()
class HandlersController {
  @Get('one-copy')
  @UseGuards(own.ServiceJwtGuard)
  oneCopy(@own.ServiceSubject() subject: string) {
    return { subject };
  }
  @Get('other-copy')
  @UseGuards(own.ServiceJwtGuard)
  otherCopy(@other.ServiceSubject() subject: string) {
    return { subject };
  }
  @Get('other-caller')
  @UseGuards(own.ServiceJwtGuard)
  otherCaller(@other.ServiceCaller() caller: unknown) {
    return { caller };
  }
  @Get('no-guard')
  noGuard(@other.ServiceSubject() subject: string) {
    return { subject };
  }
  @Get('other-mark')
  @UseGuards(own.ServiceJwtGuard)
  @other.AllowIssuers('https://archive.service/')
  otherMark() {
    return { reached: true };
  }
}

const errors: string[] = [];
const silent = (): undefined => undefined;
const logger = {
  log: silent,
  warn: silent,
  error: (error: unknown) =>
    void errors.push(error instanceof Error ? error.message : String(error)),
};

const service = await startService({
  adapter: adapter as Adapter,
  logger,
  imports: [own.ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] })],
  controllers: [HandlersController],
});
const answers: Record<string, unknown> = {};
for (const name of ['one-copy', 'other-copy', 'other-caller', 'no-guard', 'other-mark']) {
  const { status, code, text } = await herald.get(service.port, `/${name}`, `${CENSUS}user/21/`);
  answers[name] = { status, code, text, errors: errors.splice(0) };
}
await service.close();
process.send?.(answers);
process.disconnect?.();
