/** Whole requests as bytes, each with a body and a token of its own. */
import { createHerald, CENSUS, USER } from './tokens.mjs';

/**
 * `contentType` is that of the body: JSON is parsed by the server, bytes are read by the handler.
 *
 * @typedef {{ name: string, method: 'GET' | 'POST', target: string, bodyBytes: number,
 *   contentType?: 'application/json' | 'application/octet-stream' }} Kind
 */
/** @typedef {{ kind: Kind, body: Buffer | undefined, token: string }} SignedRequest */
/** The header that the token travels in; undefined: it is left out. @typedef {'JWT' | 'Authorization' | undefined} TokenHeader */

const TARGETS = { GET: '/user/21?dry=1', POST: '/user?dry=1' };

/** @type {readonly Kind[]} */
export const KINDS = [
  { name: 'POST 1 KiB', method: 'POST', target: TARGETS.POST, bodyBytes: 1024 },
  { name: 'GET', method: 'GET', target: TARGETS.GET, bodyBytes: 0 },
  { name: 'POST 100 KiB', method: 'POST', target: TARGETS.POST, bodyBytes: 102_400 },
];

/** An upload of so many bytes. @param {number} bodyBytes @returns {Kind} */
export const uploadOf = (bodyBytes) => ({
  name: `upload of ${bodyBytes} bytes`,
  method: 'POST',
  target: '/user/upload?dry=1',
  bodyBytes,
  contentType: 'application/octet-stream',
});

/** @param {Kind} kind */
const contentTypeOf = ({ contentType = 'application/json' }) => contentType;

/**
 * Signs one request after the other, with the clock of the machine: peers have no other.
 *
 * @param {import('./tokens.mjs').BenchAlgorithm} algorithm
 * @param {import('node:crypto').KeyObject} privateKey
 * @param {number} tokenLifetimeSeconds
 */
export async function createRequestSigner(algorithm, privateKey, tokenLifetimeSeconds = 300) {
  const herald = await createHerald(algorithm, privateKey, {
    now: () => Date.now(),
    tokenLifetimeSeconds,
  });
  let serial = 0;
  return async (/** @type {Kind} */ kind) => {
    const { method, target } = kind;
    const { body } = unsignedRequest(kind, serial++);
    /** @type {Record<string, string>} */
    const headers = body ? { 'content-type': contentTypeOf(kind) } : {};
    const url = new URL(target, CENSUS).href;
    const token = await herald.sign({
      method,
      url,
      headers,
      body: body ?? Buffer.alloc(0),
      subject: USER,
    });
    return { kind, body, token: token ?? '' };
  };
}

/** A request without a token. @param {Kind} kind @param {number} serial @returns {SignedRequest} */
export function unsignedRequest(kind, serial) {
  return { kind, body: bodyOf(kind, serial), token: '' };
}

/** @param {Kind} kind @param {number} serial */
function bodyOf(kind, serial) {
  const { bodyBytes } = kind;
  if (bodyBytes === 0) return undefined;
  return contentTypeOf(kind) === 'application/json'
    ? jsonOf(bodyBytes, serial)
    : Buffer.alloc(bodyBytes, `${serial} `);
}

/** JSON of so many bytes with records to parse, another one for each serial number. @param {number} bytes @param {number} serial */
function jsonOf(bytes, serial) {
  const record = (/** @type {number} */ at) => ({
    id: `${serial}-${at}`,
    name: 'Ann Smith',
    mail: 'ann@census.service',
    isActive: at % 2 === 0,
    logins: at * serial,
  });
  const records = Array.from({ length: Math.floor(bytes / 128) }, (_, at) => record(at));
  const json = JSON.stringify({ id: `${serial}`, records, rest: '' });
  return Buffer.from(json.replace(/"\}$/, `${'.'.repeat(bytes - json.length)}"}`));
}

/** @param {SignedRequest} request @param {TokenHeader} tokenHeader */
export function toBytes({ kind, body, token }, tokenHeader) {
  const head = [
    `${kind.method} ${kind.target} HTTP/1.1`,
    'Host: census.service',
    'Connection: keep-alive',
    'Accept: application/json',
    ...(body ? [`Content-Type: ${contentTypeOf(kind)}`, `Content-Length: ${body.length}`] : []),
    ...(tokenHeader === 'JWT' ? [`JWT: ${token}`] : []),
    ...(tokenHeader === 'Authorization' ? [`Authorization: Bearer ${token}`] : []),
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body ?? Buffer.alloc(0)]);
}

/** The same request with another signature. @param {SignedRequest} request @returns {SignedRequest} */
export function withFlippedSignature({ token, ...request }) {
  const at = token.lastIndexOf('.') + 1;
  const other = token[at] === 'A' ? 'B' : 'A';
  return { ...request, token: `${token.slice(0, at)}${other}${token.slice(at + 1)}` };
}

/** The same request with another body of the same length. @param {SignedRequest} request @returns {SignedRequest} */
export function withChangedBody({ kind, body, ...request }) {
  if (!body) throw new Error('a request without a body has none to change');
  // JSON stays JSON, or parsers would refuse it first.
  if (contentTypeOf(kind) === 'application/json') {
    return { ...request, kind, body: Buffer.from(body.toString().replace('Ann', 'Bob')) };
  }
  const changed = Buffer.from(body);
  changed[changed.length - 1] ^= 1;
  return { ...request, kind, body: changed };
}
