import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Controller, Get, UseGuards } from '@nestjs/common';
import { LoggerModule, type Params } from 'nestjs-pino';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { pino } from 'pino';
import { Caller } from '../support/services/caller.js';
import { type CompiledProject, compileProject } from '../support/processes/compiled-project.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { pinoHttp } from './pino-redaction.recipe.js';

const PROCESS = 'test/nest/processes/pino-service.process.ts';
const RECIPE = 'test/nest/pino-redaction.recipe.ts';
const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const sender = { privateKey: herald.key.privatePem };
const keep = closeAfterEach();

@Controller()
class PlainController {
  @Get('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {
    return { ok: true };
  }
}

let project: CompiledProject;
beforeAll(() => {
  project = compileProject([PROCESS, RECIPE]);
});
afterAll(() => project.remove());

describe.each(ADAPTERS)('on %s', (adapter) => {
  it.each([
    ['nestjs-pino', 'recipe', false],
    ['nestjs-pino', 'defaults', true],
    ['pino-http', 'recipe', false],
    ['pino-http', 'defaults', true],
  ])('TF-36 %s with its %s logs tokens: %s', async (logger, options, isShown) => {
    const child = fork(project.path(PROCESS), [adapter, logger, options], { timeout: 25_000 });
    const [told] = (await once(child, 'message')) as [{ requests: number; shown: boolean[] }];
    expect(told.requests).toBeGreaterThanOrEqual(7);
    expect(told.shown).toEqual(Array.from({ length: 5 }, () => isShown));
  });

  describe('TF-36 at start', () => {
    const half = (receives: boolean): Partial<ServiceAuthModuleOptions> =>
      receives
        ? { trustedIssuers: [herald.trusted] }
        : { signingKey: sender, targets: [{ baseUrl: CENSUS }] };
    const warningsOf = async (
      params: Params | undefined,
      receives = true,
      options = half(receives),
    ): Promise<string[]> => {
      const logger = new LogRecorder();
      const auth = ServiceAuthModule.forRoot({ issuer: CENSUS, ...options });
      const controllers = receives ? [PlainController] : [];
      const imports = [auth, ...(params ? [LoggerModule.forRoot(params)] : [])];
      keep(await startService({ adapter, logger, imports, controllers }));
      return logger.texts('warn').filter((text) => text.includes('nestjs-pino'));
    };
    const stream = { write: () => undefined };

    it.each<[string, Params]>([
      ['without options', { pinoHttp: { stream } }],
      ['with a stream alone', { pinoHttp: stream }],
      ['with a list', { pinoHttp: [{ level: 'info' }, stream] }],
      [
        'that redacts another header',
        { pinoHttp: { redact: ['req.headers.authorization'], stream } },
      ],
      [
        'that redacts nothing of the request',
        { pinoHttp: { redact: { paths: ['res.headers'] }, stream } },
      ],
    ])('a warning of nestjs-pino %s', async (_name, params) => {
      expect(await warningsOf(params)).toEqual([expect.stringContaining('req.headers.jwt')]);
    });

    it.each<[string, Params]>([
      ['with the recipe', { pinoHttp: { ...pinoHttp, stream } }],
      [
        'that removes the header',
        { pinoHttp: { redact: { paths: ['req.headers["jwt"]'], remove: true }, stream } },
      ],
      ['that redacts the token, where no grants are', { pinoHttp: { redact: ['jwt'], stream } }],
      ['that redacts every header', { pinoHttp: { redact: ['req.headers.*'], stream } }],
      ['that redacts the headers', { pinoHttp: [{ redact: ['req.headers'] }, stream] }],
      ['that redacts the request', { pinoHttp: { redact: ['req'], stream } }],
      ['with a serializer of its own', { pinoHttp: { serializers: { req: () => ({}) }, stream } }],
      ['with a formatter of its own', { pinoHttp: { formatters: { log: () => ({}) }, stream } }],
      ['with a logger of its own', { pinoHttp: { logger: pino(stream) } }],
      ['that uses the logger of Fastify', { useExisting: true }],
    ])('none of nestjs-pino %s', async (_name, params) => {
      expect(await warningsOf(params)).toEqual([]);
    });

    it.each<[string, string, { redact?: string[] }]>([
      ['the grant', 'the token alone', { redact: ['req.headers.jwt'] }],
      ['the token', 'the grant alone', { redact: ['req.headers["txn-token"]'] }],
      ['the token and the grant', 'nothing', {}],
      ['', 'both', pinoHttp],
    ])('warns of %s where it redacts %s, in a service with grants', async (what, _name, given) => {
      const domain = { trustDomain: 'https://prod.example.org/' };
      const subjects = ['https://census.service/user/'];
      const originators = [{ ...herald.trusted, subjects }];
      const trustedIssuers = [{ ...herald.trusted, subjectProof: { mode: 'off' as const } }];
      const services = [
        { ...domain, originators, trustedIssuers },
        { ...domain, ...half(true), ...half(false) },
      ];
      for (const options of services) {
        const warnings = await warningsOf({ pinoHttp: { ...given, stream } }, true, options);
        const expected = what === '' ? [] : [expect.stringContaining(`logs ${what} of every`)];
        expect(warnings).toEqual(expected);
      }
    });

    it('none without nestjs-pino, or in a service that only sends', async () => {
      expect(await warningsOf(undefined)).toEqual([]);
      expect(await warningsOf({ pinoHttp: { stream } }, false)).toEqual([]);
    });
  });
});

it('is what the documentation shows', () => {
  const root = join(import.meta.dirname, '..', '..');
  const recipe = readFileSync(join(import.meta.dirname, 'pino-redaction.recipe.ts'), 'utf8');
  expect(readFileSync(join(root, 'docs', 'observability.md'), 'utf8')).toContain(recipe);
});
