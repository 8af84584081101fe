// A host whose requests are no streams and have no raw headers: what node-mocks-http makes.
import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import mocks from 'node-mocks-http';

/** @typedef {(request: object, response: object) => unknown} Handle */

/** @param {Handle} handle */
export function createMockHost(handle) {
  return createServer((request, response) => {
    void buffer(request).then((bytes) => {
      const { method, url, headers } = request;
      // Complete, so that parsers leave it alone: there is nothing to read.
      const parts = {
        method,
        url,
        headers,
        body: parse(bytes, headers['content-type']),
        rawBody: bytes,
        complete: true,
      };
      const asked = mocks.createRequest(/** @type {object} */ (parts));
      const given = mocks.createResponse({ eventEmitter: EventEmitter, req: asked });
      given.on('end', () => {
        response.writeHead(given.statusCode, given.getHeaders());
        response.end(given._getData());
      });
      handle(asked, given);
    });
  });
}

/** @param {Buffer} bytes @param {string | undefined} type @returns {unknown} */
function parse(bytes, type) {
  if (bytes.length === 0) return undefined;
  if (type === 'application/json') return JSON.parse(bytes.toString());
  if (type === 'application/x-www-form-urlencoded') {
    return Object.fromEntries(new URLSearchParams(bytes.toString()));
  }
  return bytes;
}
