import type { INestApplication } from '@nestjs/common';
import { VersioningType } from '@nestjs/common';
import { call } from '../../../test/support/http/http.js';
import { PersonResolver } from './resolvers.js';
import {
  dataOf,
  type GraphQLService,
  operation,
  STACKS,
  startGraphQL,
  unsigned,
} from './stacks.js';

/** Where applications put their endpoint: the options, and a path that reaches it. */
const PLACES: readonly [graphql: Readonly<Record<string, unknown>>, target: string][] = [
  [{ path: 'graphql' }, '/graphql'],
  [{ path: '/graphql/' }, '/graphql'],
  [{ path: '/of/:tenant/graphql' }, '/of/blue/graphql'],
  [{ path: '/' }, '/'],
  [{ useGlobalPrefix: true }, '/api/graphql'],
  [{ useGlobalPrefix: false }, '/graphql'],
  [{ graphiql: true }, '/graphql'],
];

const METHODS = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'];

function prefix(app: INestApplication): void {
  app.setGlobalPrefix('api');
  app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
}

describe.each(STACKS)('$title', (stack) => {
  async function start(graphql: object, isGuarded: boolean): Promise<GraphQLService> {
    const options = { graphql: { ...graphql } };
    return await startGraphQL({
      adapter: stack.adapter,
      imports: [stack.endpoint(isGuarded ? { guard: {}, ...options } : options)],
      providers: [PersonResolver],
      configure: prefix,
    });
  }

  it.each(PLACES)('GQ-02 an endpoint with %j, at %s', async (graphql, target) => {
    const census = await start(graphql, true);
    const open = await start(graphql, false);
    const query = operation('{ plain }', {}, target);
    expect(await call(census.port, unsigned(query))).toMatchObject({ code: 'token_missing' });
    const answer = await census.herald.send(census.port, query);
    expect(dataOf(answer)).toEqual({ plain: 'plain' });
    for (const method of METHODS) {
      const request = { method, target: `${target}?query={__typename}` };
      const headers = { accept: 'text/html', 'apollo-require-preflight': 'true' };
      const plain = await call(census.port, { ...request, headers });
      expect(plain.text).not.toContain('"Query"');
      const served = await call(open.port, { ...request, headers });
      // What the endpoint would answer needs a token: its page of GraphiQL, too.
      if (served.status < 300) expect([method, plain.status]).toEqual([method, 401]);
      else expect(plain.status).toBeGreaterThanOrEqual(400);
    }
    await census.close();
    await open.close();
  });

  it('answers a preflight of CORS without a token, and nothing else', async () => {
    const census = await startGraphQL({
      adapter: stack.adapter,
      imports: [stack.endpoint()],
      providers: [PersonResolver],
      configure: (app) => app.enableCors({ origin: 'https://herald.example' }),
    });
    const headers = { origin: 'https://herald.example', 'access-control-request-method': 'POST' };
    const preflight = await call(census.port, { method: 'OPTIONS', target: '/graphql', headers });
    expect(preflight).toMatchObject({ status: 204, text: '' });
    const query = unsigned(operation('{ plain }'));
    const refused = await call(census.port, {
      ...query,
      headers: { ...query.headers, ...headers },
    });
    expect(refused).toMatchObject({
      code: 'token_missing',
      headers: { 'access-control-allow-origin': 'https://herald.example' },
    });
    await census.close();
  });
});
