// What Azure does with a handler: HTTP requests become the `HttpRequest` of its package, and what the handler returns
// becomes HTTP.
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import functions from '@azure/functions';

const { HttpRequest, HttpResponse } = functions;

/** @typedef {(request: import('@azure/functions').HttpRequest) => Promise<import('@azure/functions').HttpResponseInit>} AzureHandler */

/** @param {AzureHandler} handler */
export function createAzureHost(handler) {
  return createServer((request, response) => {
    const answer = async () => {
      const bytes = await buffer(request);
      const { 'transfer-encoding': _coding, connection: _connection, ...headers } = request.headers;
      const asked = new HttpRequest({
        method: request.method,
        url: `http://localhost${request.url}`,
        headers: /** @type {Record<string, string>} */ (headers),
        body: { bytes },
      });
      const given = new HttpResponse(await handler(asked));
      response.writeHead(given.status, Object.fromEntries(given.headers));
      response.end(Buffer.from(await given.arrayBuffer()));
    };
    answer().catch((/** @type {unknown} */ error) => {
      console.error(error);
      response.writeHead(500).end(String(error));
    });
  });
}
