import { UseGuards } from '@nestjs/common';
import {
  Directive,
  Field,
  ID,
  ObjectType,
  Query,
  ResolveReference,
  Resolver,
} from '@nestjs/graphql';
import {
  AllowIssuers,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { call } from '../../../test/support/http/http.js';
import {
  dataOf,
  type GraphQLService,
  operation,
  refusedFields,
  STACKS,
  startGraphQL,
  unsigned,
} from './stacks.js';

@ObjectType()
@Directive('@key(fields: "id")')
class City {
  @Field(() => ID)
  id!: string;
  @Field(() => String)
  askedBy!: string;
}

@ObjectType()
@Directive('@key(fields: "id")')
class Secret {
  @Field(() => ID)
  id!: string;
}

const handled: string[] = [];

@Resolver(() => City)
@UseGuards(ServiceJwtGuard)
class CityResolver {
  @Query(() => City)
  city(): City {
    return { id: '1', askedBy: 'nobody' };
  }
  @ResolveReference()
  resolveReference({ id }: { readonly id: string }): City {
    handled.push(`city ${id}`);
    return { id, askedBy: 'known' };
  }
}

@Resolver(() => Secret)
@UseGuards(ServiceJwtGuard)
class SecretResolver {
  @Query(() => String)
  caller(@ServiceCaller() { issuer }: ServiceIdentity): string {
    return issuer;
  }
  @Query(() => Secret, { nullable: true })
  secret(): null {
    return null;
  }
  @ResolveReference()
  @AllowIssuers('https://archive.service/')
  resolveReference({ id }: { readonly id: string }): Secret {
    handled.push(`secret ${id}`);
    return { id };
  }
}

const ENTITIES = `query ($of: [_Any!]!) { _entities(representations: $of) { __typename ... on City { id askedBy } ... on Secret { id } } }`;
const cities = {
  variables: {
    of: [
      { __typename: 'City', id: '7' },
      { __typename: 'City', id: '8' },
    ],
  },
};
const secrets = { variables: { of: [{ __typename: 'Secret', id: '7' }] } };

describe.each(STACKS)('a subgraph of $title', (stack) => {
  let census: GraphQLService;
  beforeAll(async () => {
    census = await startGraphQL({
      adapter: stack.adapter,
      imports: [stack.subgraph({ guard: {}, graphql: { fieldResolverEnhancers: ['guards'] } })],
      providers: [CityResolver, SecretResolver],
    });
  });
  beforeEach(() => {
    handled.splice(0);
    census.events.decisions.splice(0);
  });
  afterAll(async () => await census.close());

  it.each([
    ['_service', operation('{ _service { sdl } }')],
    ['_entities', operation(ENTITIES, cities)],
  ])('GQ-03 %s', async (name, request) => {
    expect(await call(census.port, unsigned(request))).toMatchObject({ code: 'token_missing' });
    expect(handled).toEqual([]);
    const answer = await census.herald.send(census.port, request);
    expect(answer).toMatchObject({ status: 200 });
    expect(refusedFields(answer)).toEqual({});
    expect(JSON.stringify(dataOf(answer)[name])).toMatch(/City/);
  });

  it('GQ-04 each kind of entity asks for itself', async () => {
    const of = [...cities.variables.of, ...secrets.variables.of];
    const request = operation(ENTITIES, { variables: { of } });
    const refused = await census.herald.send(census.port, request);
    expect(Object.values(refusedFields(refused))).toEqual(['issuer_not_allowed']);
    expect(handled).toEqual(['city 7', 'city 8']);
    const admitted = await census.archive.send(census.port, request);
    expect(refusedFields(admitted)).toEqual({});
    expect(dataOf(admitted)).toMatchObject({ _entities: [{ id: '7' }, { id: '8' }, { id: '7' }] });
  });
});
