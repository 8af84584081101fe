import { UseGuards } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Context, GraphQLModule, Query, Resolver } from '@nestjs/graphql';
import {
  AllowIssuers,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { guardedDriver } from 'nestjs-service-auth/graphql';
import { call } from '../../../test/support/http/http.js';
import { dataOf, operation, refusedFields, STACKS, startGraphQL, unsigned } from './stacks.js';

const ARCHIVE = 'https://archive.service/';

interface RequestLike {
  readonly headers?: { readonly 'x-name'?: string };
}

@Resolver()
@UseGuards(ServiceJwtGuard)
class WhoResolver {
  private waiting: (() => void)[] = [];

  @Query(() => String, { nullable: true })
  who(@ServiceCaller() { issuer }: ServiceIdentity): string {
    return issuer;
  }
  @Query(() => String, { nullable: true })
  @AllowIssuers(ARCHIVE)
  forArchive(): string {
    return 'for archive';
  }
  /** What the application reads of the request in its context. */
  @Query(() => String, { nullable: true })
  named(@Context('req') request: RequestLike | undefined): string | undefined {
    return request?.headers?.['x-name'];
  }
  @Query(() => String, { nullable: true })
  own(@Context('own') own: string | undefined): string | undefined {
    return own;
  }
  /** Goes on when two requests have come here. */
  @Query(() => String, { nullable: true })
  async together(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
      if (this.waiting.length === 2) this.waiting.splice(0).forEach((go) => go());
    });
    return 'together';
  }
}

class OwnContext {
  readonly own = 'of the application';
}

/** What an application may write as `context`. */
const CONTEXTS: readonly [what: string, create: () => unknown][] = [
  ['nothing', () => undefined],
  ['one object', () => ({ own: 'of the application' })],
  ['one that is frozen', () => Object.freeze({ own: 'of the application' })],
  ['a function that gives the same object to all', () => same(new OwnContext())],
  ['a function that waits, and gives the same object to all', () => later(same(new OwnContext()))],
  ['a function that gives each its own', () => () => new OwnContext()],
  ['a function that gives nothing', () => () => undefined],
];

const same = (context: object) => () => context;
const later = (create: () => object) => async () => await Promise.resolve(create());

/** As ApolloGatewayDriver: the options of its endpoint are under `server`. */
class GatewayDriver extends ApolloDriver {
  override async mergeDefaultOptions(
    options: ApolloDriverConfig & { server?: ApolloDriverConfig },
  ) {
    return { ...options, server: await super.mergeDefaultOptions(options.server ?? {}) };
  }
  override async start(options: ApolloDriverConfig & { server?: ApolloDriverConfig }) {
    await super.start({ ...options.server, schema: options.schema });
  }
}

describe.each(STACKS)('$title', (stack) => {
  const { adapter } = stack;

  it.each(CONTEXTS)('GQ-08 the context is %s', async (_what, create) => {
    const imports = [stack.endpoint({ guard: {}, graphql: { context: create() } })];
    const census = await startGraphQL({ adapter, imports, providers: [WhoResolver] });
    const ask = async (caller: typeof census.herald, query: string) => {
      const headers = { 'x-name': caller.issuer };
      return await caller.send(census.port, { ...operation(query), headers });
    };
    const query = '{ who named own forArchive }';
    for (const caller of [census.archive, census.herald, census.archive]) {
      const answer = await ask(caller, query);
      const { who, named, own } = dataOf(answer);
      expect([who, named]).toEqual([caller.issuer, caller.issuer]);
      expect([null, 'of the application']).toContain(own);
      const isArchive = caller === census.archive;
      expect(refusedFields(answer)).toEqual(isArchive ? {} : { forArchive: 'issuer_not_allowed' });
    }
    const both = '{ together who named }';
    const callers = [census.herald, census.archive];
    const answers = await Promise.all(callers.map(async (each) => await ask(each, both)));
    expect(answers.map(dataOf)).toEqual(
      callers.map(({ issuer }) => ({ together: 'together', who: issuer, named: issuer })),
    );
    await census.close();
  });

  it('GQ-08 keeps what the application writes into its context, and a request of its own', async () => {
    const context = () => ({ own: 'of the application', req: { headers: { 'x-name': 'own' } } });
    const imports = [stack.endpoint({ guard: {}, graphql: { context } })];
    const census = await startGraphQL({ adapter, imports, providers: [WhoResolver] });
    const answer = await census.herald.send(census.port, operation('{ who named own }'));
    const { issuer } = census.herald;
    expect(dataOf(answer)).toEqual({ who: issuer, named: 'own', own: 'of the application' });
    await census.close();
  });

  if (adapter === 'fastify')
    it('verifies no route of a plugin that is still to be loaded', async () => {
      const census = await startGraphQL({
        adapter,
        imports: [stack.endpoint()],
        providers: [WhoResolver],
        configure: (app) => {
          const fastify = (app as NestFastifyApplication).getHttpAdapter().getInstance();
          void fastify.register(async (scope) => {
            scope.get('/health', async () => 'healthy');
          });
        },
      });
      expect(await call(census.port, { target: '/health' })).toMatchObject({ text: 'healthy' });
      const { target } = operation('');
      expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
      await census.close();
    });

  if (adapter === 'express')
    it.each([GatewayDriver, ApolloDriver])(
      'GQ-07 does not start with a driver whose endpoint it does not find: %p',
      async (driver) => {
        const config = { path: '/apart', autoSchemaFile: true };
        const options = driver === ApolloDriver ? config : { autoSchemaFile: true, server: config };
        const graphql = GraphQLModule.forRoot({ driver: guardedDriver(driver), ...options });
        const started = startGraphQL({ adapter, imports: [graphql], providers: [WhoResolver] });
        if (driver !== ApolloDriver) {
          await expect(started).rejects.toThrow('ServiceAuthMiddleware under its path');
          return;
        }
        const census = await started;
        const query = unsigned(operation('{ who }', {}, '/apart'));
        expect(await call(census.port, query)).toMatchObject({ code: 'token_missing' });
        await census.close();
      },
    );

  if (stack.isMercurius)
    it('GQ-07 does not start without a route that it could verify', async () => {
      const imports = [stack.endpoint({ guard: {}, graphql: { routes: false } })];
      const started = startGraphQL({ adapter, imports, providers: [WhoResolver] });
      await expect(started).rejects.toThrow('routes: there is no endpoint to verify.');
    });
});
