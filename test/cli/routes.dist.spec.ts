import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { createKey } from '../support/keys/keys.js';
import { type Ran, runProgram, temporaryFolder } from './command-line.js';

const requireHere = createRequire(import.meta.url);
const urlOf = (name: string) => JSON.stringify(pathToFileURL(requireHere.resolve(name)).href);
const PACKAGE = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href);

const folder = temporaryFolder();
afterAll(() => folder.remove());

interface AppParts {
  /** Options of ServiceAuthModule besides those that every application has, in JavaScript. */
  readonly options?: string;
  /** What main.ts does once the application is made. */
  readonly main?: string;
  /** How main.ts ends. */
  readonly end?: string;
}

let written = 0;
/** An application in the JavaScript that it is built to. */
function write({ options = '', main = '', end = 'bootstrap();' }: AppParts = {}): string {
  written += 1;
  const file = folder.path(`main-${written}.mjs`);
  const publicKey = JSON.stringify(createKey().publicPem);
  writeFileSync(
    file,
    `import { Controller, Get, Module } from ${urlOf('@nestjs/common')};
import { NestFactory } from ${urlOf('@nestjs/core')};
import { MessagePattern, Transport } from ${urlOf('@nestjs/microservices')};
import { ServiceAuthModule, ServiceJwtGuard, SkipServiceAuth } from ${PACKAGE};

class UserController { list() {} health() {} message() {} }
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
  })],
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
