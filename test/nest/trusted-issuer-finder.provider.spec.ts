import { Controller, Get, Inject, Injectable, Module, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
  type TrustedIssuerFinder,
} from 'nestjs-service-auth';
import { strictToken } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { startService } from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const heraldKey = createKey();

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get()
  find() {
    return 'found';
  }
}

@Injectable()
class Table {
  find(issuer: string) {
    return issuer === HERALD ? { issuer, publicKey: heraldKey.publicPem } : null;
  }
}

let made = 0;

@Injectable()
class TableFinder implements TrustedIssuerFinder {
  constructor(@Inject(Table) private readonly table: Table) {
    made++;
  }
  find(issuer: string) {
    return this.table.find(issuer);
  }
}

@Injectable()
class Unbuildable implements TrustedIssuerFinder {
  constructor(@Inject('NOWHERE') private readonly nothing: unknown) {}
  find() {
    return this.nothing as null;
  }
}

class NoFinder {}

@Module({ providers: [Table, TableFinder] })
class TableModule {}

@Module({ providers: [Table], exports: [Table] })
class SeenModule {}

type Trusted = NonNullable<ServiceAuthModuleOptions['trustedIssuers']>;

const start = async (trustedIssuers: Trusted, imports: (typeof TableModule)[] = []) =>
  await startService({
    adapter: 'fastify',
    imports: [
      ServiceAuthModule.forRootAsync({
        imports,
        useFactory: () => ({ issuer: CENSUS, trustedIssuers }),
      }),
    ],
    controllers: [UserController],
  });

describe('TrustedIssuerFinder as a provider', () => {
  const good: [string, Trusted, (typeof TableModule)[], number][] = [
    ['an object', { find: (issuer) => new Table().find(issuer) }, [], 0],
    ['a class that a module provides', TableFinder, [TableModule], 1],
    ['a class that can be built from what the module sees', TableFinder, [SeenModule], 1],
  ];
  it.each(good)('may be %s, made once, at start', async (_case, trusted, imports, instances) => {
    made = 0;
    const census = await start(trusted, imports);
    expect(made).toBe(instances);
    for (const issuer of [HERALD, 'https://nobody.service/', HERALD]) {
      const token = strictToken({ key: heraldKey, issuer, audience: CENSUS, target: '/user' });
      const answer = await call(census.port, { target: '/user', headers: { JWT: token } });
      expect(answer.status).toBe(issuer === HERALD ? 200 : 401);
    }
    expect(made).toBe(instances);
    await census.close();
  });

  const bad: [string, Trusted, RegExp][] = [
    ['a class that cannot be built', Unbuildable, /Unbuildable/],
    ['a class without find', NoFinder as never, /trustedIssuers: write a class or an object with/],
    ['an arrow function', (() => null) as never, /trustedIssuers: write a class or an object with/],
    ['an object without find', {} as never, /trustedIssuers: write an object with a method find/],
  ];
  it.each(bad)('is no reason to start with %s', async (_case, trusted, reason) => {
    await expect(start(trusted)).rejects.toThrow(reason);
  });
});
