import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CanActivate, Controller, Get, type Type, UseGuards } from '@nestjs/common';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { createServiceAuth, type ServiceAuth } from 'nestjs-service-auth/core';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { readBlocks } from './page-blocks.mjs';

const PAGE = 'docs/migration.md';
/** Inside of the project, where imports are found; hidden, so that nothing else takes it for a source. */
const FOLDER = join(import.meta.dirname, '.migration');
const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';

interface Guards {
  readonly ApiKeyGuard: Type<CanActivate>;
  readonly MigrationGuard: Type<CanActivate>;
}

/** The guards of the page, as a reader would copy them. */
async function importGuards(): Promise<Guards> {
  const block = readBlocks(PAGE).find(({ file }) => file === 'migration.guard.ts');
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, 'migration.guard.ts');
  writeFileSync(file, block?.code ?? '');
  return (await import(file)) as Guards;
}

describe.each(ADAPTERS)('the guard for the time of the migration, on %s', (adapter) => {
  const key = createKey();
  const apiKey = 'canary-api-key';
  let service: TestService;
  let herald: ServiceAuth;
  let before: string | undefined;

  beforeAll(async () => {
    before = process.env['CENSUS_API_KEY'];
    process.env['CENSUS_API_KEY'] = apiKey;
    const { ApiKeyGuard, MigrationGuard } = await importGuards();

    @Controller('user')
    @UseGuards(MigrationGuard)
    class UserController {
      @Get()
      list() {
        return ['Ada'];
      }
    }

    const trustedIssuers = [{ issuer: HERALD, publicKey: key.publicPem }];
    service = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers })],
      controllers: [UserController],
      providers: [ApiKeyGuard, MigrationGuard],
    });
    herald = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: key.privatePem },
      targets: [{ baseUrl: CENSUS }],
    });
  });

  afterAll(async () => {
    if (before === undefined) delete process.env['CENSUS_API_KEY'];
    else process.env['CENSUS_API_KEY'] = before;
    herald.close();
    await service.close();
    rmSync(FOLDER, { recursive: true, force: true });
  });

  const tokenFor = async (path: string): Promise<string> =>
    (await herald.sign({
      method: 'GET',
      url: new URL(path, CENSUS),
      headers: {},
      body: new Uint8Array(),
    })) ?? '';

  it.each<[title: string, status: number, path: string | undefined, apiKey: string | undefined]>([
    ['a good token, with the former credential', 200, '/user', apiKey],
    ['a good token alone', 200, '/user', undefined],
    ['the former credential alone', 200, undefined, apiKey],
    ['a bad token, with the former credential', 401, '/elsewhere', apiKey],
    ['a wrong credential', 403, undefined, 'another'],
    ['nothing', 403, undefined, undefined],
  ])('answers %s with %i', async (_title, status, path, credential) => {
    const headers = {
      ...(path === undefined ? {} : { JWT: await tokenFor(path) }),
      ...(credential === undefined ? {} : { 'x-api-key': credential }),
    };
    expect((await call(service.port, { target: '/user', headers })).status).toBe(status);
  });
});
