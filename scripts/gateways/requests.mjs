// The requests that scripts/test-gateways.mjs sends through each gateway. What comes of each is in expectations.mjs.
import { createHash } from 'node:crypto';
import { Agent, request as requestHttp } from 'node:http';
import { gzipSync } from 'node:zlib';
import { actingAsItself, createServiceAuth, createSignedFetch } from 'nestjs-service-auth/core';
import { CENSUS, HERALD, longestToken, strictKeys, strictToken } from './signing.mjs';
import { inChunks, sendBytes, sendHttp2 } from './wire.mjs';

const BINARY = 'application/octet-stream';
const UPLOAD = Buffer.alloc(3 * 1024 * 1024, 'upload ');
const JSON_BODY = Buffer.from('{"name":"Ada"}');
const NOTHING = Buffer.alloc(0);

/**
 * Where requests go: a gateway, and what the caller's paths begin with.
 *
 * @typedef {{ port: number, http2Port: number, prefix: string }} Place
 * @typedef {(place: Place) => Promise<string>} Send answers `passes`, the code, the status, or `no answer`
 * @typedef {{ name: string, send: Send }} Row
 * @typedef {{ method?: string, target?: string, host?: string, line?: (prefix: string) => string, headers?: Record<string, string>, body?: Buffer,
 *   sent?: Buffer, framing?: 'length' | 'chunked' | 'none', bound?: string[], token?: string | string[], extra?: string[],
 *   awaitsContinue?: boolean, version?: string, trailers?: string }} Wire
 */

/** @param {import('./wire.mjs').Answer} answer @param {{ method: string, body: Buffer }} signed */
function judge({ status, text }, { method, body }) {
  if (status === 0) return 'no answer';
  if (status !== 200) return /(?:"code":|, error=)"([a-z_]+)"/.exec(text)?.[1] ?? String(status);
  if (method === 'HEAD') return 'passes';
  const echo = /\{"method".*\}/s.exec(text)?.[0];
  if (echo === undefined) return 'answered by another';
  const seen = /** @type {{ method: string, length: number, bytes?: string, body?: unknown }} */ (
    JSON.parse(echo)
  );
  const isSame =
    seen.body === undefined
      ? seen.length === body.length && (seen.bytes ?? digestOf(NOTHING)) === digestOf(body)
      : JSON.stringify(seen.body) === body.toString();
  return seen.method === method && isSame ? 'passes' : 'CHANGED';
}

/** @param {Buffer} bytes */
const digestOf = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Sends a request over a socket, signed unless it says otherwise. @param {Place} place @param {Wire} wire */
async function overSocket({ port, prefix }, wire) {
  const { method = 'GET', headers = {}, body = NOTHING, sent = body, bound } = wire;
  const target = prefix + (wire.target ?? '/user/42?full=1');
  const signed = { method, target, headers, body };
  const tokens = [wire.token ?? strictToken(signed, bound)].flat();
  const framing = wire.framing ?? (body.length > 0 ? 'length' : 'none');
  const lines = [
    `${method} ${wire.line?.(prefix) ?? target} HTTP/${wire.version ?? '1.1'}`,
    `Host: ${wire.host ?? `127.0.0.1:${port}`}`,
    ...tokens.map((token) => `JWT: ${token}`),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(framing === 'length' ? [`Content-Length: ${sent.length}`] : []),
    ...(framing === 'chunked' ? ['Transfer-Encoding: chunked'] : []),
    ...(wire.extra ?? []),
    ...(wire.extra?.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close']),
  ];
  const content = framing === 'chunked' ? inChunks(sent) : [sent];
  if (wire.trailers !== undefined) content[content.length - 1] = `0\r\n${wire.trailers}\r\n\r\n`;
  const pieces = [`${lines.join('\r\n')}\r\n\r\n`, ...content];
  const answer = await sendBytes(port, pieces, { awaitsContinue: wire.awaitsContinue ?? false });
  return { answer, verdict: judge(answer, signed) };
}

/** @param {string} name @param {Wire} wire @returns {Row} */
function row(name, wire) {
  return { name, send: async (place) => (await overSocket(place, wire)).verdict };
}

/** @param {string} target @returns {Row} */
const get = (target) => row(`GET ${target}`, { target });

/** Bytes whose framing is not the one of an honest client. @param {string} name @param {string[]} framing @param {Buffer} body what is signed @param {string} sent @returns {Row} */
function framed(name, framing, body, sent) {
  const headers = { 'Content-Type': BINARY };
  const bytes = Buffer.from(sent);
  return row(name, {
    method: 'POST',
    headers,
    body,
    sent: bytes,
    framing: 'none',
    extra: framing,
  });
}

/** The library's own client. @param {string} name @param {string} path @param {RequestInit} init @returns {Row} */
function byFetch(name, path, init = {}) {
  return {
    name,
    async send({ port, prefix }) {
      const baseUrl = `http://127.0.0.1:${port}/`;
      const auth = await createServiceAuth({
        issuer: HERALD,
        signingKey: { privateKey: strictKeys.privateKey, keyId: 'herald' },
        targets: [{ baseUrl, audience: CENSUS }],
      });
      try {
        const send = createSignedFetch(auth);
        const url = `http://127.0.0.1:${port}${prefix}${path}`;
        const response = await send(url, actingAsItself(init));
        const method = init.method ?? 'GET';
        const body = init.body instanceof Uint8Array ? Buffer.from(init.body) : NOTHING;
        const challenge = response.headers.get('www-authenticate') ?? '';
        const text = challenge + (await response.text());
        return judge({ status: response.status, text }, { method, body });
      } catch (error) {
        return error instanceof TypeError ? 'no answer' : Promise.reject(error);
      } finally {
        auth.close();
      }
    },
  };
}

/** @param {string} name @param {{ method?: string, headers?: Record<string, string>, body?: Buffer, copies?: number }} request @returns {Row} */
function byHttp2(name, { method = 'GET', headers = {}, body = NOTHING, copies = 1 }) {
  return {
    name,
    async send({ http2Port, prefix }) {
      const target = `${prefix}/a%2Fb/user/42?full=1`;
      const jwt = strictToken({ method, target, headers, body });
      const answer = await sendHttp2(
        http2Port,
        {
          ':method': method,
          ':path': target,
          jwt: copies === 1 ? jwt : [jwt, jwt],
          ...headers,
        },
        body,
      );
      return judge(answer, { method, body });
    },
  };
}

/** @param {Place} place @param {Agent} agent */
async function overAgent({ port, prefix }, agent) {
  const target = `${prefix}/user/42`;
  const headers = { 'content-type': BINARY };
  const jwt = strictToken({ method: 'POST', target, headers, body: JSON_BODY });
  /** @type {import('./wire.mjs').Answer} */
  const answer = await new Promise((resolve, reject) => {
    const outgoing = requestHttp(
      {
        host: '127.0.0.1',
        port,
        agent,
        method: 'POST',
        path: target,
        headers: { ...headers, jwt },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += String(chunk)));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON_BODY);
  });
  return judge(answer, { method: 'POST', body: JSON_BODY });
}

/** @type {Send} */
async function keepAlive(place) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    /** @type {string[]} */
    const verdicts = [];
    for (let at = 0; at < 5; at++) verdicts.push(await overAgent(place, agent));
    return [...new Set(verdicts)].join(', ');
  } catch {
    return 'no answer';
  } finally {
    agent.destroy();
  }
}

/** @param {'the same' | 'another' | 'no'} token @returns {Send} what the second request for a cacheable answer gets */
function cached(token) {
  return async (place) => {
    const wire = { target: `/cached/${crypto.randomUUID()}` };
    const first = strictToken({
      method: 'GET',
      target: place.prefix + wire.target,
      headers: {},
      body: NOTHING,
    });
    const { answer } = await overSocket(place, { ...wire, token: first });
    const next = { 'the same': first, another: undefined, no: [] }[token];
    const second = await overSocket(place, {
      ...wire,
      ...(next === undefined ? {} : { token: next }),
    });
    const idOf = (/** @type {string} */ text) => /"id":"([^"]+)"/.exec(text)?.[1];
    const isOld = second.answer.status === 200 && idOf(answer.text) === idOf(second.answer.text);
    return isOld ? 'from the cache' : second.verdict;
  };
}

const json = { 'Content-Type': 'application/json' };
const binary = { 'Content-Type': BINARY };
const TARGETS = [
  '/user/42?full=1',
  '/',
  '/user/',
  '//user',
  '/a//b',
  '/a%2Fb',
  '/a%2fb',
  "/'()!*",
  '/a;v=1/b',
  '/a&b=c,d@e:f$g+h~i',
  '/a[1]',
  '/a|b^c',
  '/a%20b%25',
  '/a%3Fb%23c',
  '/%61%7Eb',
  '/%C3%A9/%c3%a9',
  '/a%5Cb',
  '/a%00b',
  '/a/../b',
  '/a/./b',
  '/a/%2e%2e/b',
  '/a/..%2Fb',
  '/a?',
  "/a?x=%2F&y=a+b&z='()!*;//&x=%c3%a9",
  '/a?b?c=//d/../e',
];
const LONG_PATH = `/${'l'.repeat(3900)}`;
const CHUNK = '3\r\nabc\r\n0\r\n\r\n';
const ABC = Buffer.from('abc');

/** @type {readonly Row[]} */
export const ROWS = [
  ...TARGETS.map((target) => get(target)),
  row('GET with a path of 3,900 characters', { target: LONG_PATH }),
  row('absolute-form target', {
    target: '/user/42',
    host: 'census.service',
    line: (prefix) => `http://census.service${prefix}/user/42`,
  }),
  row('HEAD', { method: 'HEAD' }),
  row('DELETE', { method: 'DELETE' }),
  row('OPTIONS', { method: 'OPTIONS' }),
  row('PROPFIND', { method: 'PROPFIND' }),
  row('conditional GET (If-None-Match)', { extra: ['If-None-Match: "other"'] }),
  row('GET with a Range', { extra: ['Range: bytes=0-3'] }),
  row('GET with a body', { headers: binary, body: JSON_BODY }),
  row('POST of JSON', { method: 'POST', headers: json, body: JSON_BODY }),
  row('POST of JSON in chunks', {
    method: 'POST',
    headers: json,
    body: JSON_BODY,
    framing: 'chunked',
  }),
  row('PATCH of JSON', { method: 'PATCH', headers: json, body: JSON_BODY }),
  row('POST without a body', { method: 'POST', framing: 'length' }),
  row('unusual Content-Type', {
    method: 'POST',
    headers: { 'Content-Type': 'Application/Octet-Stream;  Name="B"' },
    body: JSON_BODY,
  }),
  row('upload of 3 MB', { method: 'POST', headers: binary, body: UPLOAD }),
  row('upload of 3 MB in chunks', {
    method: 'POST',
    headers: binary,
    body: UPLOAD,
    framing: 'chunked',
  }),
  row('gzip-coded request', {
    method: 'POST',
    headers: { ...binary, 'Content-Encoding': 'gzip' },
    body: gzipSync(JSON_BODY),
  }),
  row('Accept-Encoding: gzip', { extra: ['Accept-Encoding: gzip'] }),
  row('Expect: 100-continue', {
    method: 'POST',
    headers: binary,
    body: JSON_BODY,
    extra: ['Expect: 100-continue'],
    awaitsContinue: true,
  }),
  row('chunks with a trailer', {
    method: 'POST',
    headers: binary,
    body: JSON_BODY,
    framing: 'chunked',
    trailers: 'X-Trailer: 1',
  }),
  row('HTTP/1.0', { version: '1.0' }),
  { name: '5 requests on one connection', send: keepAlive },
  {
    name: 'token of 8,192 characters',
    send: async (place) => (await overSocket(place, { token: longestToken() })).verdict,
  },
  row('`Connection: close, JWT`', { extra: ['Connection: close, JWT'] }),
  row('bound header named by `Connection`', {
    headers: { 'X-Order': '1' },
    bound: ['x-order'],
    extra: ['Connection: close, X-Order'],
  }),
  row('bound header', { headers: { 'X-Order': '1' }, bound: ['x-order'] }),
  row('bound header with an underscore', { headers: { x_order: '1' }, bound: ['x_order'] }),
  row('JWT in a trailer', {
    method: 'POST',
    headers: binary,
    body: JSON_BODY,
    framing: 'chunked',
    token: [],
    trailers: 'JWT: trailing',
  }),
  byFetch('fetch: GET', "/a%2Fb//c;d='()!*?e=%2F"),
  byFetch('fetch: HEAD', '/user/42', { method: 'HEAD' }),
  byFetch('fetch: POST of JSON', '/user', { method: 'POST', headers: json, body: JSON_BODY }),
  byFetch('fetch: upload of 3 MB', '/user', { method: 'PUT', headers: binary, body: UPLOAD }),
  byHttp2('HTTP/2: GET', {}),
  byHttp2('HTTP/2: POST of JSON', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON_BODY,
  }),
  byHttp2('HTTP/2: upload of 3 MB', {
    method: 'POST',
    headers: { 'content-type': BINARY },
    body: UPLOAD,
  }),
  byHttp2('HTTP/2: two JWT headers', { copies: 2 }),
  {
    name: 'two JWT headers',
    send: async (place) => await repeated(place, (token) => [token, token]),
  },
  {
    name: 'two tokens in one JWT header',
    send: async (place) => await repeated(place, (token) => [`${token}, ${token}`]),
  },
  { name: 'cacheable answer, another token', send: cached('another') },
  { name: 'cacheable answer, the same token', send: cached('the same') },
  { name: 'cacheable answer, no token', send: cached('no') },
  row('no token', { token: [] }),
  row('another body than was signed', {
    method: 'POST',
    headers: binary,
    body: JSON_BODY,
    sent: Buffer.from('{"name":"Eve"}'),
  }),
  row('another path than was signed', { line: (prefix) => `${prefix}/user/43` }),
  framed(
    'Content-Length and chunks, chunks signed',
    [`Content-Length: ${CHUNK.length}`, 'Transfer-Encoding: chunked'],
    ABC,
    CHUNK,
  ),
  framed(
    'Content-Length and chunks, length signed',
    [`Content-Length: ${CHUNK.length}`, 'Transfer-Encoding: chunked'],
    Buffer.from(CHUNK),
    CHUNK,
  ),
  framed('`Transfer-Encoding : chunked`', ['Transfer-Encoding : chunked'], ABC, CHUNK),
  framed('`Transfer-Encoding: xchunked`', ['Transfer-Encoding: xchunked'], ABC, CHUNK),
  framed(
    '`Transfer-Encoding: chunked, identity`',
    ['Transfer-Encoding: chunked, identity'],
    ABC,
    CHUNK,
  ),
  framed('two lengths', ['Content-Length: 3', 'Content-Length: 4'], ABC, 'abcd'),
  framed('`Content-Length: 3, 3`', ['Content-Length: 3, 3'], ABC, 'abc'),
  framed('`Content-Length: +3`', ['Content-Length: +3'], ABC, 'abc'),
];

/** @param {Place} place @param {(token: string) => string[]} repeat */
async function repeated(place, repeat) {
  const target = `${place.prefix}/user/42`;
  const token = strictToken({ method: 'GET', target, headers: {}, body: NOTHING });
  return (await overSocket(place, { target: '/user/42', token: repeat(token) })).verdict;
}
