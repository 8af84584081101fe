import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { ServiceAuthMiddleware } from 'nestjs-service-auth';
import { call } from '../../../test/support/http/http.js';
import { type GraphQLService, startGraphQL } from './stacks.js';

describe('http-proxy-middleware behind the verification', () => {
  const forwarded: string[] = [];
  const legacy = createServer((request, response) => {
    void text(request).then((body) => {
      forwarded.push(`${request.method} ${request.url} ${body} ${String(request.headers['jwt'])}`);
      response.end('from legacy');
    });
  });
  let census: GraphQLService;
  beforeAll(async () => {
    await new Promise<void>((resolve) => legacy.listen(0, '127.0.0.1', resolve));
    const { port } = legacy.address() as AddressInfo;
    const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${port}` });
    census = await startGraphQL({
      adapter: 'express',
      configure: (app) =>
        app.use('/legacy', app.get(ServiceAuthMiddleware).express({ route: '/legacy' }), proxy),
    });
  });
  beforeEach(() => forwarded.splice(0));
  afterAll(async () => {
    await census.close();
    legacy.closeAllConnections();
    legacy.close();
  });

  const request = {
    method: 'POST',
    target: '/legacy/orders?full=1',
    body: '{"name":"Ada"}',
    contentType: 'application/json',
  } as const;

  it('forwards a signed request, body and all, without its token', async () => {
    const answer = await census.herald.send(census.port, request);
    expect(answer).toMatchObject({ status: 200, text: 'from legacy' });
    expect(forwarded).toEqual(['POST /orders?full=1 {"name":"Ada"} undefined']);
  });

  it.each<[string, { readonly jwt?: true; readonly body?: string }, string]>([
    ['unsigned', {}, 'token_missing'],
    ['signed for another body', { jwt: true, body: '{"name":"Bob"}' }, 'body_mismatch'],
  ])('forwards nothing of one that is %s', async (_what, { jwt, ...change }, code) => {
    const headers = jwt ? census.herald.headers(request) : {};
    const answer = await call(census.port, { ...request, headers, ...change });
    expect(answer).toMatchObject({ status: 401, code });
    expect(forwarded).toEqual([]);
  });
});
