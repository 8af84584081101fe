// What the helpers of @vercel/node 24 do to a request before the function is called: a body that has a type is read,
// and who listens for it or reads it afterwards is given a copy.
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';

/** @param {import('node:http').IncomingMessage} request */
export async function addHelpers(request) {
  const isRead = request.headers['content-type'] !== undefined && request.method !== 'GET';
  const body = isRead ? await buffer(request) : Buffer.alloc(0);
  if (isRead) giveCopy(request, body);
  Object.defineProperty(request, 'body', {
    configurable: true,
    enumerable: true,
    get: () => parse(request.headers['content-type'], body),
    set(value) {
      Object.defineProperty(request, 'body', { value, writable: true });
    },
  });
}

/** @param {import('node:http').IncomingMessage} request @param {Buffer} body */
function giveCopy(request, body) {
  const copy = new PassThrough();
  const own = request.on.bind(request);
  request.read = copy.read.bind(copy);
  const on = (/** @type {string} */ name, /** @type {(...args: unknown[]) => void} */ listener) =>
    name === 'data' || name === 'end' ? copy.on(name, listener) : own(name, listener);
  Object.assign(request, { on, addListener: on });
  copy.end(body);
}

/** @param {string | undefined} type @param {Buffer} body @returns {unknown} */
function parse(type, body) {
  if (type === 'application/json') return JSON.parse(body.toString());
  if (type === 'application/octet-stream') return body;
  if (type === 'text/plain') return body.toString();
  return type === 'application/x-www-form-urlencoded'
    ? Object.fromEntries(new URLSearchParams(body.toString()))
    : undefined;
}
