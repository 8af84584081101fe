import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type NestExpressApplication } from '@nestjs/platform-express';
import graphqlUploadExpress from 'graphql-upload/graphqlUploadExpress.mjs';
import processRequest from 'graphql-upload/processRequest.mjs';
import mercurius from 'mercurius';
import { mercuriusUpload } from 'mercurius-upload';
import { call } from '../../../test/support/http/http.js';
import type { SignedCall } from '../../../test/support/services/caller.js';
import { PersonResolver } from './resolvers.js';
import {
  dataOf,
  type GraphQLService,
  operation,
  sha256,
  type Stack,
  STACKS,
  startGraphQL,
  unsigned,
  upload,
} from './stacks.js';

const INTROSPECTION = '{ __schema { queryType { name } } }';

/** As a client may write the path of the endpoint: each reaches it on some adapter. */
const SPELLINGS: readonly ((port: number) => string)[] = [
  () => '/graphql',
  () => '/GraphQL',
  () => '/graphql/',
  () => '/graphql/x',
  () => '/%67raphql',
  () => '/graphql?query=x',
  () => '//graphql',
  (port) => `http://127.0.0.1:${port}/graphql`,
];

function takeUploads(stack: Stack) {
  return async (app: NestExpressApplication & NestFastifyApplication): Promise<void> => {
    if (stack.adapter === 'express') app.use(graphqlUploadExpress());
    else if (stack.isMercurius) await app.register(mercuriusUpload as never);
    else {
      const uploads = new WeakSet<object>();
      const fastify = (app as NestFastifyApplication).getHttpAdapter().getInstance();
      fastify.addContentTypeParser('multipart/form-data', (request, _payload, done) => {
        uploads.add(request.raw);
        done(null);
      });
      fastify.addHook('preValidation', async (request, reply) => {
        if (uploads.has(request.raw)) request.body = await processRequest(request.raw, reply.raw);
      });
    }
  };
}

describe.each(STACKS)('$title', (stack) => {
  let census: GraphQLService;
  let unguarded: GraphQLService;
  let resolver: PersonResolver;
  beforeAll(async () => {
    const persisted = stack.isMercurius && {
      persistedQueryProvider: mercurius.persistedQueryDefaults.automatic(),
    };
    const graphql = { ...stack.batching, ...persisted };
    const adapter = stack.adapter;
    const providers = [PersonResolver];
    const configure = takeUploads(stack);
    const imports = [stack.endpoint({ guard: {}, graphql })];
    census = await startGraphQL({ adapter, imports, providers, configure });
    unguarded = await startGraphQL({ adapter, imports: [stack.endpoint({})], providers });
    resolver = census.app.get(PersonResolver);
  });
  beforeEach(() => resolver.handled.splice(0));
  afterAll(async () => {
    await census.close();
    await unguarded.close();
  });

  /** Sends a request unsigned, tampered with, and signed. */
  async function compare(request: SignedCall) {
    const plain = await call(census.port, unsigned(request));
    const moved = await census.herald.send(census.port, { ...request, signedTarget: '/elsewhere' });
    expect(resolver.handled).toEqual([]);
    expect([plain, moved]).toMatchObject([{ code: 'token_missing' }, { code: 'request_mismatch' }]);
    return await census.herald.send(census.port, request);
  }

  it.each(SPELLINGS)('GQ-02 introspection at %s', async (spelled) => {
    const to = (port: number) => operation(INTROSPECTION, {}, spelled(port));
    const open = await call(unguarded.port, unsigned(to(unguarded.port)));
    const plain = await call(census.port, unsigned(to(census.port)));
    const signed = await census.herald.send(census.port, to(census.port));
    // What reaches the endpoint is refused there, and what does not is not found.
    expect(plain.status).toBe(open.status === 200 ? 401 : open.status);
    expect(signed.status).toBe(open.status);
    expect(dataOf(signed)).toEqual(dataOf(open));
    expect(plain.text).not.toContain('__schema');
  });

  it('GQ-03 a batch', async () => {
    const one = { query: '{ plain }' };
    const body = JSON.stringify([one, one, { query: INTROSPECTION }]);
    const answer = await compare({ ...operation(''), body });
    expect(answer).toMatchObject({ status: 200, json: [{ data: { plain: 'plain' } }, {}, {}] });
    expect(resolver.handled).toEqual(['plain', 'plain']);
  });

  it('GQ-03 a query in the URL', async () => {
    const target = `/graphql?query=${encodeURIComponent('{ plain }')}`;
    const answer = await compare({ method: 'GET', target });
    expect(dataOf(answer)).toEqual({ plain: 'plain' });
  });

  it('GQ-03 a persisted query', async () => {
    const query = '{ plain }';
    const persistedQuery = { version: 1, sha256Hash: sha256(query) };
    const extensions = { persistedQuery };
    await census.herald.send(census.port, operation(query, { extensions }));
    resolver.handled.splice(0);
    const body = JSON.stringify({ extensions });
    const answer = await compare({ ...operation(''), body });
    expect(dataOf(answer)).toEqual({ plain: 'plain' });
  });

  it('GQ-03 an upload', async () => {
    const query = 'mutation ($file: Upload!) { keep(file: $file) }';
    const answer = await compare(upload(query, 'the content of a file'));
    expect(dataOf(answer)).toEqual({ keep: 'the content of a file' });
  });

  it('GQ-03 an upload whose file was changed', async () => {
    const query = 'mutation ($file: Upload!) { keep(file: $file) }';
    const request = upload(query, 'the content of a file');
    const headers = census.herald.headers(request);
    const body = upload(query, 'the content of a lie!').body;
    const answer = await call(census.port, { ...request, headers, body });
    expect(answer).toMatchObject({ status: 401, code: 'body_mismatch' });
    expect(resolver.handled).toEqual([]);
  });

  it('GQ-03 an upload larger than what is kept in memory', async () => {
    const query = 'mutation ($file: Upload!) { keep(file: $file) }';
    const content = 'a'.repeat(3 * 1024 * 1024);
    const answer = await census.herald.send(census.port, upload(query, content));
    // On Express the parser of uploads has read it by then.
    if (stack.adapter === 'express') expect(dataOf(answer)).toEqual({ keep: content });
    else expect(answer).toMatchObject({ status: 413, code: 'body_unverifiable' });
  });
});
