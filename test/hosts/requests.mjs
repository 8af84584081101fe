// The caller: requests as the library signs them, sent over a socket to a host on this machine.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { createServiceAuth } from 'nestjs-service-auth/core';

const CENSUS = 'https://census.service';
const MILLISECONDS_TO_ANSWER = 20_000;

/**
 * @typedef {Record<string, string | string[]>} Headers
 * @typedef {{ method: string, path: string, headers?: Headers, body?: Buffer, subject?: string }} Unsigned
 * @typedef {{ method: string, path: string, headers: Headers, body?: Buffer, chunked?: boolean }} Request
 * @typedef {{ status: number, code?: string, json: unknown, text: string }} Answer
 */

export function createKeys() {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
}

/** The digest that a handler answers with. */
export function digestOf(/** @type {Buffer} */ bytes) {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** A multipart body with one file, `bytes`. */
export function asForm(/** @type {Buffer} */ bytes) {
  const boundary = 'a-boundary-of-a-form';
  const head =
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n` +
    'Content-Type: application/octet-stream\r\n\r\n';
  const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]);
  return { body, type: `multipart/form-data; boundary=${boundary}` };
}

/** Signs as https://herald.service/. */
export class Signer {
  /** @param {import('nestjs-service-auth/core').ServiceAuth} auth */
  constructor(auth) {
    this.auth = auth;
  }

  /** @param {string} privateKey */
  static async create(privateKey) {
    const auth = await createServiceAuth({
      issuer: 'https://herald.service/',
      signingKey: { privateKey, keyId: 'herald' },
      targets: [{ baseUrl: `${CENSUS}/` }],
      // Bound without a body too, so that of an added one only the bytes tell.
      signedHeaders: ['content-type'],
    });
    return new Signer(auth);
  }

  /** What its receivers find its keys in. */
  get keySet() {
    return this.auth.publishedKeys() ?? { keys: [] };
  }

  /**
   * @param {Unsigned} request
   * @returns {Promise<Request>}
   */
  async sign({ method, path, headers = {}, body, subject = `${CENSUS}/user/21/` }) {
    const url = `${CENSUS}${path}`;
    const token = await this.auth.sign({
      method,
      url,
      headers,
      body: body ?? Buffer.alloc(0),
      subject,
    });
    return { method, path, headers: { ...headers, JWT: token ?? '' }, body };
  }
}

/** Sends to one host, and signs. */
export class Client {
  /** @param {Signer} signer @param {number} port */
  constructor(signer, port) {
    this.signer = signer;
    this.port = port;
  }

  /** @param {Unsigned} request */
  async sign(request) {
    return this.signer.sign(request);
  }

  /** @param {Unsigned} request */
  async sendSigned(request) {
    return this.send(await this.sign(request));
  }

  /**
   * @param {Request} request
   * @returns {Promise<Answer>}
   */
  async send({ method, path, headers, body, chunked = false }) {
    const length = body && !chunked ? { 'content-length': String(body.length) } : {};
    const sent = httpRequest({
      host: '127.0.0.1',
      port: this.port,
      method,
      path,
      headers: { ...headers, ...(method === 'GET' && !body ? {} : length) },
      agent: false,
      signal: AbortSignal.timeout(MILLISECONDS_TO_ANSWER),
    });
    const answered = new Promise((resolve, reject) => {
      sent.on('response', resolve).on('error', reject);
    });
    sent.end(body);
    const response = /** @type {import('node:http').IncomingMessage} */ (await answered);
    const answer = await text(response);
    const json = parse(answer);
    return { status: response.statusCode ?? 0, code: codeOf(json), json, text: answer };
  }
}

/** @param {string} answer @returns {unknown} */
function parse(answer) {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined;
  }
}

/** @param {unknown} json */
function codeOf(json) {
  const isCoded = typeof json === 'object' && json !== null && 'code' in json;
  return isCoded ? String(json.code) : undefined;
}
