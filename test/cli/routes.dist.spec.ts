import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { createKey } from '../support/keys/keys.js';
import { type Ran, runProgram, temporaryFolder } from './command-line.js';

const requireHere = createRequire(import.meta.url);
const urlOf = (name: string) => JSON.stringify(pathToFileURL(requireHere.resolve(name)).href);
const PACKAGE = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href);
const MESSAGES = JSON.stringify(new URL('../../dist/microservices.js', import.meta.url).href);

const folder = temporaryFolder();
afterAll(() => folder.remove());

interface AppParts {
  /** Options of ServiceAuthModule besides those that every application has, in JavaScript. */
  readonly options?: string;
  /** What main.ts does once the application is made. */
  readonly main?: string;
  /** How main.ts ends. */
  readonly end?: string;
  /** Further imports of the module, in JavaScript. */
  readonly imports?: string;
}

let written = 0;
/** An application in the JavaScript that it is built to. */
function write({
  options = '',
  main = '',
  end = 'bootstrap();',
  imports = '',
}: AppParts = {}): string {
  written += 1;
  const file = folder.path(`main-${written}.mjs`);
  const publicKey = JSON.stringify(createKey().publicPem);
  writeFileSync(
    file,
    `import { Controller, Get, Module, UseGuards } from ${urlOf('@nestjs/common')};
import { NestFactory } from ${urlOf('@nestjs/core')};
import { EventPattern, MessagePattern, Transport } from ${urlOf('@nestjs/microservices')};
import { ServiceAuthModule, ServiceJwtGuard, SkipServiceAuth } from ${PACKAGE};
import { ServiceMessagesModule } from ${MESSAGES};

class UserController { list() {} health() {} message() {} }
class EventController { changed() {} }
EventPattern('changed')(EventController.prototype, 'changed', Object.getOwnPropertyDescriptor(EventController.prototype, 'changed'));
UseGuards(ServiceJwtGuard)(EventController);
Controller()(EventController);
class EventModule {}
Module({ imports: [ServiceMessagesModule], controllers: [EventController] })(EventModule);
const failing = (error) => {
  class Failing { async onApplicationBootstrap() { await new Promise(setImmediate); throw error; } }
  Module({})(Failing);
  return Failing;
};
const decorate = (name, ...decorators) => {
  const descriptor = Object.getOwnPropertyDescriptor(UserController.prototype, name);
  for (const decorator of decorators) decorator(UserController.prototype, name, descriptor);
};
decorate('list', Get('list'));
decorate('health', Get('health'), SkipServiceAuth());
decorate('message', MessagePattern('message'));
Controller('user')(UserController);

class AppModule {}
Module({
  imports: [ServiceAuthModule.forRoot({
    issuer: 'https://census.service/',
    trustedIssuers: [{ issuer: 'https://herald.service/', publicKey: ${publicKey} }],
    ${options}
  }), ${imports}],
  controllers: [UserController],
})(AppModule);

export async function bootstrap() {
  const app = await NestFactory.create(AppModule);
  ${main}
  await app.listen(0, '127.0.0.1');
}
${end}
`,
  );
  return file;
}

const routes = async (file: string, ...more: string[]): Promise<Ran> =>
  await runProgram(['doctor', '--routes', file, ...more]);

const GUARDED = 'app.useGlobalGuards(app.get(ServiceJwtGuard));';
const HYBRID = `app.connectMicroservice({ transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } });`;

const containing = (text: string) => expect.stringContaining(text) as string;

describe('doctor --routes', () => {
  it('lists the handlers of an application as it starts it, what is open first', async () => {
    const ran = await routes(write({ main: GUARDED + HYBRID }));
    expect(ran.stdout.split('\n')).toEqual([
      'open       UserController.message() [message]',
      'guarded    UserController.list()',
      'skipped    UserController.health()',
      '',
      '3 handlers, 1 open without a word',
      '',
    ]);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('NestFactory');
    expect(ran.stderr).toMatch(/^\S+ starts, and connects to its brokers and databases/);
  });

  it('prints JSON alone, whatever the application logs', async () => {
    const ran = await routes(write(), '--json');
    expect(ran.json).toMatchObject({
      status: 'warn',
      handlers: [
        { handler: 'UserController.list()', kind: 'HTTP', verdict: 'open', otherGuards: [] },
        { handler: 'UserController.health()', verdict: 'skipped' },
        { handler: 'UserController.message() [message]', kind: 'message', verdict: 'unserved' },
      ],
    });
  });

  it.each([
    ['fails with --strict where a handler is open', '', 1],
    ['does not where none is', GUARDED, 0],
  ])('%s', async (_title, main, code) => {
    expect((await routes(write({ main }), '--strict')).code).toBe(code);
  });

  it.each(["coverage: 'off'", "coverage: 'require'"])('lists them with %s too', async (options) => {
    const ran = await routes(write({ options }));
    expect(ran.stdout).toContain('open       UserController.list()');
  });

  /** A server of RabbitMQ, which is not started: no broker is needed. */
  const rabbit = (options: string) =>
    `app.connectMicroservice({ transport: Transport.RMQ, options: { urls: ['amqp://127.0.0.1:9'], queue: 'census', ${options} } });`;

  it('fails where the application does not start', async () => {
    const problem = 'noAck: write noAck: false in the options of the RabbitMQ server';
    const main = (options: string) => GUARDED + rabbit(options);
    const wrong = write({ imports: 'EventModule', main: main('') });
    const ran = await routes(wrong);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/ handlers, \d open without a word\nfail {2}start: /);
    expect(ran.stdout).toContain(problem);
    expect((await routes(wrong, '--json')).json).toMatchObject({
      status: 'fail',
      handlers: expect.any(Array) as unknown[],
      problems: [containing(problem)],
    });
    const right = await routes(
      write({ imports: 'EventModule', main: main('noAck: false') }),
      '--json',
    );
    expect(right).toMatchObject({ code: 0, json: { problems: [] } });
  });

  it('waits for hooks, and says nothing of an error that it does not know', async () => {
    const ran = await routes(
      write({ imports: "failing(Object.assign(new Error('a secret'), { code: 'ECONNREFUSED' }))" }),
    );
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('start: an onApplicationBootstrap hook failed (ECONNREFUSED)');
    expect(ran.stdout + ran.stderr).not.toContain('a secret');
  });

  it('ends before the application listens', async () => {
    const main = "app.listen = () => console.log('has begun to listen');";
    const listens = write({ main: `${main} await app.init();` });
    const ran = await routes(listens);
    expect(ran.stdout).toContain('3 handlers');
    expect(ran.stderr).not.toContain('has begun to listen');
  });

  it('says what is wrong in the options of an application that --export starts', async () => {
    const issuer = (text: string) => ({ options: `issuer: '${text}',`, end: '' });
    const start = 'NestFactory.create(AppModule, { abortOnError: false })';
    const file = (text: string) => {
      const path = write(issuer(text));
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace('NestFactory.create(AppModule)', start),
      );
      return path;
    };
    const wrong = await routes(file('census'), '--export', 'bootstrap');
    expect(wrong).toMatchObject({ code: 1, stdout: containing('fail  start: issuer: ') });
    const right = await routes(file('https://census.service/'), '--export', 'bootstrap');
    expect(right.code).toBe(0);
  });

  it('calls the function that --export names', async () => {
    const file = write({ end: '' });
    expect((await routes(file, '--export', 'bootstrap')).stdout).toContain('3 handlers');
    expect(await routes(file, '--export', 'start')).toMatchObject({ code: 2 });
  });

  it('says what cannot be loaded', async () => {
    expect(await routes(folder.path('none.mjs'))).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('none.mjs is not there') as string,
    });
    const failing = write({ end: '', main: "throw new Error('a secret');" });
    const ran = await routes(failing, '--export', 'bootstrap');
    expect(ran).toMatchObject({ code: 3, stdout: '' });
    expect(ran.stderr).not.toContain('a secret');
  });
});
