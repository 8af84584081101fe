import { call } from '../../../test/support/http/http.js';
import { HUNDRED, PersonResolver } from './resolvers.js';
import {
  dataOf,
  type GraphQLService,
  operation,
  refusedFields,
  STACKS,
  startGraphQL,
  unsigned,
  USER,
} from './stacks.js';

describe.each(STACKS)('$title', (stack) => {
  let census: GraphQLService;
  let resolver: PersonResolver;
  beforeAll(async () => {
    census = await startGraphQL({
      adapter: stack.adapter,
      imports: [stack.endpoint({ guard: {}, graphql: { fieldResolverEnhancers: ['guards'] } })],
      providers: [PersonResolver],
    });
    resolver = census.app.get(PersonResolver);
  });
  beforeEach(() => {
    resolver.handled.splice(0);
    census.events.decisions.splice(0);
  });
  afterAll(async () => await census.close());

  it('accepts a signed query, and refuses it unsigned, before GraphQL sees it', async () => {
    const query = operation('{ plain }');
    expect(await call(census.port, unsigned(query))).toMatchObject({
      status: 401,
      json: { statusCode: 401, error: 'Unauthorized', code: 'token_missing' },
      headers: { 'www-authenticate': expect.stringContaining('JWT') as string },
    });
    expect(resolver.handled).toEqual([]);
    const answer = await census.herald.send(census.port, query);
    expect(answer).toMatchObject({ status: 200, json: { data: { plain: 'plain' } } });
    expect(answer.headers).toMatchObject({ vary: expect.stringContaining('JWT') as string });
    expect(census.events.decisions.map(({ type }) => type)).toEqual([
      'request_refused',
      'request_accepted',
    ]);
    expect(census.events.decisions).toMatchObject([{ route: '/graphql' }, { route: '/graphql' }]);
  });

  it('verifies a query with 100 fields once, with one event', async () => {
    const answer = await census.herald.send(census.port, operation(`{ ${HUNDRED} }`));
    expect(Object.keys(dataOf(answer))).toHaveLength(100);
    expect(resolver.handled).toHaveLength(100);
    expect(census.events.decisions).toMatchObject([{ type: 'request_accepted' }]);
  });

  it('gives resolvers the identity', async () => {
    const query = operation('{ subject issuer }');
    const answer = await census.herald.send(census.port, { ...query, subject: USER });
    expect(dataOf(answer)).toEqual({ subject: USER, issuer: census.herald.issuer });
    const nobody = await census.herald.send(census.port, query);
    expect(dataOf(nobody)).toEqual({ subject: null, issuer: census.herald.issuer });
    expect(refusedFields(nobody)).toEqual({ subject: 'subject_missing' });
  });

  it('refuses one field, and answers the others', async () => {
    const query = operation('{ plain a: forArchive b: forArchive people(count: 2) { id secret } }');
    const answer = await census.herald.send(census.port, query);
    expect(answer).toMatchObject({ status: 200 });
    expect(dataOf(answer)).toMatchObject({ plain: 'plain', a: null, b: null });
    expect(refusedFields(answer)).toEqual({
      a: 'issuer_not_allowed',
      b: 'issuer_not_allowed',
      'people.0.secret': 'issuer_not_allowed',
      'people.1.secret': 'issuer_not_allowed',
    });
    expect(resolver.handled).toEqual(['plain']);
    const allowed = await census.archive.send(census.port, query);
    expect(dataOf(allowed)).toMatchObject({ a: 'for archive', b: 'for archive' });
    expect(refusedFields(allowed)).toEqual({});
  });
});
