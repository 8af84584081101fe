// Clients that send what several requests ask for, and those that look as if they might: tRPC, Apollo, DataLoader.
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { createTRPCClient, httpBatchLink, httpLink } from '@trpc/client';
import { initTRPC } from '@trpc/server';
import { fetchRequestHandler } from '@trpc/server/adapters/fetch';
import DataLoader from 'dataloader';
import { buildSchema, graphql } from 'graphql';
import { onBehalfOf } from 'nestjs-service-auth';
import { around, firstOf, optionsOf } from './work.mjs';

/**
 * @typedef {import('./application.js').Answer} Answer
 * @typedef {import('./application.js').Served} Served
 * @typedef {import('./work.mjs').Tools} Tools
 * @typedef {import('./work.mjs').FetchLike} FetchLike
 * @typedef {import('./rows.mjs').Row['open']} Open
 * @typedef {(id: string) => Answer} Echo records the user of a call id
 */

const trpc = /** @type {typeof initTRPC.context<{ echo: Echo }>} */ (initTRPC.context)().create();
const router = trpc.router({
  echo: trpc.procedure.input(String).query(({ input, ctx }) => ctx.echo(input)),
});

const schema = buildSchema(`
  type Answer { id: ID!, sub: String }
  type Query { echo(id: ID!): Answer!, me: Answer! }
`);
const ECHO = gql`
  query Echo($id: ID!) {
    echo(id: $id) {
      id
      sub
    }
  }
`;
const ME = gql`
  query Me {
    me {
      id
      sub
    }
  }
`;

/**
 * What the called service answers to tRPC and to GraphQL.
 *
 * @param {{ method: string, target: string, headers: Headers, body: string }} request
 * @param {Echo} echo
 * @returns {Promise<unknown>}
 */
export async function answerQueries({ method, target, headers, body }, echo) {
  if (target.startsWith('/trpc/')) {
    const req = new Request(new URL(target, 'http://called.test'), { method, headers });
    const response = await fetchRequestHandler({
      endpoint: '/trpc',
      req,
      router,
      createContext: () => ({ echo }),
    });
    return await response.json();
  }
  const queries = /** @type {Query | Query[]} */ (JSON.parse(body));
  const answer = async (/** @type {Query} */ { query, variables }) =>
    await graphql({
      schema,
      source: query,
      variableValues: variables,
      rootValue: {
        echo: (/** @type {{ id: string }} */ { id }) => echo(id),
        me: () => echo(headers.get('x-call-id') ?? ''),
      },
    });
  return Array.isArray(queries) ? await Promise.all(queries.map(answer)) : await answer(queries);
}
/** @typedef {{ query: string, variables: Record<string, unknown> }} Query */

/** A client for all requests, or one for each: then its fetch can name the user. @param {typeof httpLink} link @returns {Open} */
const trpcThrough = (link) => (tools) => {
  const { client, calledUrl, way } = tools;
  const create = (/** @type {object | undefined} */ options) =>
    createTRPCClient({
      links: [
        link({
          url: `${calledUrl}trpc`,
          // The batch link puts its queries into the URL, of which the library signs 4,096 characters.
          maxURLLength: 4000,
          fetch: (url, init) => client.fetch(url, { ...init, ...options }),
        }),
      ],
    });
  const shared = create(undefined);
  const isPerRequest = way.isCured || way.naming === 'words';
  return {
    serve: async (request) =>
      await around(tools, request, () =>
        (isPerRequest ? create(optionsOf(tools, request)) : shared).echo.query(request.id),
      ),
  };
};

/** @type {Open} */
export const trpcHttpLink = trpcThrough(httpLink);
/** @type {Open} */
export const trpcBatchLink = trpcThrough(httpBatchLink);

/**
 * @param {object} options
 * @param {new (options: { uri: string, fetch: FetchLike }) => object} options.Link
 * @param {boolean} [options.deduplicates] queries that are in flight
 * @param {boolean} [options.caches]
 * @returns {Open}
 */
export const apollo =
  ({ Link, deduplicates = false, caches = false }) =>
  (tools) => {
    const { client, calledUrl, way } = tools;
    const asksForMe = deduplicates || caches;
    const create = () =>
      new ApolloClient({
        cache: new InMemoryCache(),
        link: new Link({ uri: `${calledUrl}graphql`, fetch: client.fetch }),
        queryDeduplication: deduplicates && !way.isCured,
      });
    const shared = create();
    return {
      serve: async (request) =>
        await around(tools, request, async () => {
          const fetchOptions = optionsOf(tools, request);
          const { data } = await (way.isCured ? create() : shared).query({
            query: asksForMe ? ME : ECHO,
            variables: asksForMe ? {} : { id: request.id },
            fetchPolicy: caches ? 'cache-first' : 'no-cache',
            // What is in the headers is in the key of a batch.
            context: { fetchOptions, headers: asksForMe ? { 'x-call-id': request.id } : {} },
          });
          return asksForMe ? data.me : data.echo;
        }),
      close: () => shared.stop(),
    };
  };

/** Whom a DataLoader loads a key for. @typedef {Served} Key */

/** One loader for all requests. Its cure: the key says for whom, and the batch function works for nobody. @type {Open} */
export function sharedLoader(tools) {
  const { client, callContext, way } = tools;
  const idsOf = (/** @type {readonly Key[]} */ keys) => keys.map(({ id }) => id).join(',');
  const loadAll = async (/** @type {readonly Key[]} */ keys) =>
    await client.call(`echo/${idsOf(keys)}`);
  const loadEach = async (/** @type {readonly Key[]} */ keys) => {
    /** @type {Map<string | undefined, Key[]>} */
    const byUser = new Map();
    for (const key of keys) {
      const { subject } = key.caller ?? {};
      byUser.set(subject, [...(byUser.get(subject) ?? []), key]);
    }
    /** @type {Map<string, Answer | Error>} */
    const answers = new Map();
    const loadGroup = async (/** @type {Key[]} */ group) => {
      const { caller } = group[0] ?? {};
      const options = caller ? onBehalfOf(caller) : undefined;
      try {
        const loaded = await client.call(`echo/${idsOf(group)}`, options);
        for (const answer of loaded) answers.set(answer.id, answer);
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const { id } of group) answers.set(id, failure);
      }
    };
    await Promise.all([...byUser.values()].map(loadGroup));
    return keys.map(({ id }) => answers.get(id) ?? new Error('no answer'));
  };
  const isSafe = way.isCured || way.naming === 'words';
  /** @type {DataLoader<Key, Answer>} */
  const loader = new DataLoader((keys) =>
    isSafe ? callContext.runShared(() => loadEach(keys)) : loadAll(keys),
  );
  return {
    serve: async (request) => await around(tools, request, () => loader.load(request)),
  };
}

/** One loader for each request. @type {Open} */
export function loaderPerRequest(tools) {
  return {
    serve: async (request) =>
      await around(tools, request, () => {
        /** @type {DataLoader<string, Answer>} */
        const loader = new DataLoader((ids) =>
          tools.client.call(`echo/${ids.join(',')}`, optionsOf(tools, request)),
        );
        return loader.load(request.id);
      }),
  };
}

/** Two calls in a row over few sockets that are kept alive. Fetch has none to be limited. @type {Open} */
export function keptSockets(tools) {
  return {
    serve: async (request) =>
      await around(tools, request, async () => {
        const options = { ...optionsOf(tools, request) };
        await tools.client.call(`echo/${request.id}`, options);
        return firstOf(await tools.client.call(`echo/${request.id}`, options));
      }),
  };
}
