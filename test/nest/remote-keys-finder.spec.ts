import { Controller, Get, Inject, Injectable, Module, UseGuards } from '@nestjs/common';
import {
  KeyHealth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import { strictToken } from '../support/tokens/forge.js';
import { type Answer, call } from '../support/http/http.js';
import { hang, jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import {
  CENSUS,
  closeAfterEach,
  createClock,
  HERALD,
  type Question,
} from '../support/services/receiver.js';
import { type Adapter, ADAPTERS, startService } from '../support/services/service.js';

const ANOTHER = 'https://another.service/';
const key = createKey();
const nextKey = createKey();
const keep = closeAfterEach();

/** Stands for the tables of a database. */
@Injectable()
class IssuerTable {
  readonly rows = new Map<string, TrustedIssuerOptions>();
  asked = 0;
  instead: (() => unknown) | undefined;
}

/** What an application writes: a provider with providers of its own. */
@Injectable()
class DatabaseIssuers implements TrustedIssuerFinder {
  constructor(@Inject(IssuerTable) private readonly table: IssuerTable) {}

  async find(issuer: string): Promise<TrustedIssuerOptions | undefined> {
    this.table.asked++;
    if (this.table.instead) return (await this.table.instead()) as TrustedIssuerOptions | undefined;
    return await Promise.resolve(this.table.rows.get(issuer));
  }
}

@Module({ providers: [IssuerTable, DatabaseIssuers], exports: [IssuerTable] })
class DatabaseModule {}

@Controller('caller')
@UseGuards(ServiceJwtGuard)
class CallerController {
  @Get()
  find(@ServiceCaller() caller: ServiceIdentity) {
    return { issuer: caller.issuer };
  }
}

async function startOn(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions> = {},
  logger?: LogRecorder,
) {
  const clock = createClock();
  const census = keep(
    await startService({
      adapter,
      logger,
      imports: [
        DatabaseModule,
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: DatabaseIssuers,
          now: clock.now,
          ...options,
        }),
      ],
      controllers: [CallerController],
    }),
  );
  const ask = async (question: Question): Promise<Answer> => {
    const now = Math.floor(clock.now() / 1000);
    const parts = { issuer: HERALD, audience: CENSUS, target: '/caller', now };
    const token = strictToken({ ...parts, ...question });
    return await call(census.port, { target: '/caller', headers: { JWT: token } });
  };
  const table = census.app.get(IssuerTable, { strict: false });
  return { clock, ask, table, health: census.app.get(KeyHealth) };
}

const served = (issuer: string) => ({ status: 200, json: { issuer } });
const unknown = { status: 401, code: 'issuer_unknown' };
const undecided = { status: 503, code: 'key_unavailable' };

describe.each(ADAPTERS)('on %s', (adapter) => {
  const startCensus = async (options?: Partial<ServiceAuthModuleOptions>, logger?: LogRecorder) =>
    await startOn(adapter, options, logger);

  it('trusts whom the database lists, for as long as it does', async () => {
    const server = keep(await startKeyServer(serveKeys([jwkOf(key)])));
    const { ask, clock, table, health } = await startCensus();
    table.rows.set(HERALD, { issuer: HERALD, publicKey: key.publicPem });
    table.rows.set(ANOTHER, { issuer: ANOTHER, jwksUri: server.url });
    expect(await ask({ key })).toMatchObject(served(HERALD));
    expect(await ask({ key, issuer: ANOTHER })).toMatchObject(served(ANOTHER));
    expect(await ask({ key: nextKey })).toMatchObject({ status: 401, code: 'key_unknown' });
    expect(await ask({ key, issuer: 'https://stranger.service/' })).toMatchObject(unknown);
    expect(health.report()).toMatchObject([
      { issuer: HERALD, status: 'static' },
      { issuer: ANOTHER, status: 'fresh' },
    ]);
    expect(table.asked).toBe(3);
    expect(server.hits).toBe(1);

    table.rows.set(HERALD, { issuer: HERALD, publicKey: nextKey.publicPem });
    table.rows.delete(ANOTHER);
    clock.advance(60);
    expect(await ask({ key: nextKey })).toMatchObject(served(HERALD));
    expect(await ask({ key })).toMatchObject({ status: 401, code: 'key_unknown' });
    expect(await ask({ key, issuer: ANOTHER })).toMatchObject(unknown);
  });

  it('trusts whom an object finds', async () => {
    const trusted: TrustedIssuerOptions = { issuer: HERALD, publicKey: key.publicPem };
    const find = (issuer: string) => (issuer === HERALD ? trusted : null);
    const { ask } = await startCensus({ trustedIssuers: { find } });
    expect(await ask({ key })).toMatchObject(served(HERALD));
    expect(await ask({ key, issuer: ANOTHER })).toMatchObject(unknown);
  });

  it.each<[string, () => unknown, object]>([
    ['undefined', () => undefined, unknown],
    ['null', () => null, unknown],
    ['an empty string', () => '', unknown],
    ['nonsense', () => 'yes', undecided],
    ['an error', async () => await Promise.reject(new Error('password=secret')), undecided],
  ])('KL-18 %s is an answer of its own', async (_name, instead, expected) => {
    const { ask, clock, table } = await startCensus();
    table.rows.set(HERALD, { issuer: HERALD, publicKey: key.publicPem });
    table.instead = instead;
    const answer = await ask({ key });
    expect(answer).toMatchObject(expected);
    expect(answer.headers['retry-after']).toBe(expected === undecided ? '5' : undefined);
    expect(answer.text).not.toContain('secret');
    table.instead = undefined;
    clock.advance(10);
    expect(await ask({ key })).toMatchObject(served(HERALD));
  });

  it.each([
    ['with a query', `${HERALD}?tenant=1`],
    ['of another scheme', 'urn:service:herald'],
    ['of 1,025 characters', HERALD.padEnd(1025, 'x')],
  ])('KL-22 an issuer %s is refused before anybody is asked', async (_name, issuer) => {
    const { ask, table } = await startCensus();
    table.rows.set(issuer, { issuer, publicKey: key.publicPem });
    table.rows.set(HERALD, { issuer: HERALD, publicKey: key.publicPem });
    expect(await ask({ key, issuer })).toMatchObject(unknown);
    expect(table.asked).toBe(0);
    expect(await ask({ key })).toMatchObject(served(HERALD));
  });

  it('KL-23 a flood of invented issuers of one host leaves room for a new one', async () => {
    const { ask, table } = await startCensus();
    table.rows.set(ANOTHER, { issuer: ANOTHER, publicKey: key.publicPem });
    let asked: () => void = () => undefined;
    const allAsked = new Promise<void>((resolve) => (asked = resolve));
    let release: () => void = () => undefined;
    const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
    table.instead = () => {
      if (table.asked === 50) asked();
      return held;
    };
    const flood = Array.from({ length: 85 }, (_, at) => ask({ key, issuer: `${HERALD}${at}/` }));
    await allAsked;
    table.instead = undefined;
    expect(await ask({ key, issuer: ANOTHER })).toMatchObject(served(ANOTHER));
    const refused = await Promise.race(flood);
    expect(refused).toMatchObject(undecided);
    release();
    const answers = await Promise.all(flood);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(50);
    expect(answers.filter(({ status }) => status === 503)).toHaveLength(35);
  });

  it.each([
    ['original', 1],
    ['strict', 0],
  ] as const)('KL-24 warns once of an issuer found in the %s profile', async (profile, count) => {
    const logger = new LogRecorder();
    const { ask, clock, table } = await startCensus({}, logger);
    table.rows.set(HERALD, { issuer: HERALD, publicKey: key.publicPem, profile });
    for (let round = 0; round < 3; round++) {
      await ask({ key });
      clock.advance(60);
    }
    expect(table.asked).toBe(3);
    const warnings = logger.texts('warn').filter((text) => text.includes('original profile'));
    expect(warnings).toHaveLength(count);
  });
});

it('KL-18 never answering takes three seconds, as keys that never come do, on both', async () => {
  const retryAfter = async (adapter: Adapter): Promise<unknown[]> => {
    const server = keep(await startKeyServer(hang));
    const { ask, table } = await startOn(adapter);
    table.rows.set(ANOTHER, { issuer: ANOTHER, jwksUri: server.url });
    const arrival = server.nextRequest();
    const slowKeys = ask({ key, issuer: ANOTHER });
    await arrival;
    table.instead = async () => await new Promise<never>(() => undefined);
    const answers = await Promise.all([ask({ key }), ask({ key }), slowKeys]);
    for (const answer of answers) expect(answer).toMatchObject(undecided);
    return answers.map(({ headers }) => headers['retry-after']);
  };
  for (const seconds of await Promise.all(ADAPTERS.map(retryAfter))) {
    expect(seconds).toEqual(['5', '5', expect.stringMatching(/^[12]$/)]);
  }
}, 15_000);
