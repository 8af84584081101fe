// What is sent to every host, and what the rules say the answer is. Written before the first run.
import { randomBytes } from 'node:crypto';
import { asForm, digestOf } from './requests.mjs';

/** @typedef {import('./requests.mjs').Client} Client */
/** @typedef {import('./requests.mjs').Answer} Answer */
/** @typedef {import('./requests.mjs').Unsigned} Unsigned */

/**
 * A status, and the code of a refusal by the library.
 *
 * @typedef {[status: number, code?: string]} Expected
 *
 * `sees` is what the handler must answer with.
 * @typedef {{
 *   name: string,
 *   send: (client: Client) => Promise<Answer>,
 *   expected: Expected,
 *   onFastify?: Expected,
 *   sees?: object,
 * }} Check
 */

const USER = 'https://census.service/user/21/';
/** @type {Expected} */
const OK = [200];

const bytes = Buffer.from([0, 255, 254, 128, 13, 10, 0, 195, 40, ...randomBytes(64)]);
const upload = randomBytes(3 * 1024 * 1024);
const person = { name: 'Ada', motto: 'Grüße, 世界' };
const text = Buffer.from(person.motto);

/**
 * @param {string} path
 * @param {string} type
 * @param {Buffer} body
 * @param {object} sees
 */
function post(path, type, body, sees) {
  return { request: { method: 'POST', path, body, headers: { 'content-type': type } }, sees };
}

const formOf = (/** @type {string} */ path, /** @type {Buffer} */ content) => {
  const { body, type } = asForm(content);
  return post(path, type, body, digestOf(content));
};
const bytesOf = (/** @type {string} */ path, /** @type {Buffer} */ content) =>
  post(path, 'application/octet-stream', content, digestOf(content));

const json = Buffer.from(JSON.stringify(person));
const fields = Buffer.from('name=Ada&motto=x%26y+z');
const seenFields = { name: 'Ada', motto: 'x&y z' };

const BODIES = {
  JSON: post('/parsed', 'application/json', json, { body: person, subject: USER }),
  form: post('/parsed', 'application/x-www-form-urlencoded', fields, {
    body: seenFields,
    subject: USER,
  }),
  text: post('/bytes', 'text/plain', text, digestOf(text)),
  bytes: bytesOf('/bytes', bytes),
  multipart: formOf('/form', bytes),
};
const UPLOADS = {
  'bytes, 3 MiB': bytesOf('/large/bytes', upload),
  'multipart, 3 MiB': formOf('/large/form', upload),
};

/** One byte differs: `d` of `Ada`, or the first of a file. */
function changed(/** @type {Buffer} */ body) {
  const copy = Buffer.from(body);
  const at = Math.max(copy.indexOf('da'), copy.indexOf(bytes), copy.indexOf(upload), 0);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** @type {Check[]} */
const CALLS = [
  {
    name: 'GET',
    send: (client) => client.sendSigned({ method: 'GET', path: '/user?page=2&sort=name' }),
    expected: OK,
    sees: { subject: USER, query: { page: '2', sort: 'name' }, user: { uri: USER } },
  },
  {
    name: 'query with escapes',
    send: (client) =>
      client.sendSigned({ method: 'GET', path: '/user?name=Ada%20L%C3%B6w&and=a%2Bb' }),
    expected: OK,
    sees: { subject: USER, query: { name: 'Ada Löw', and: 'a+b' }, user: { uri: USER } },
  },
  {
    name: 'query of URLSearchParams',
    send: (client) =>
      client.sendSigned({ method: 'GET', path: '/user?name=Ada+L%C3%B6w&and=a%2Bb' }),
    expected: OK,
    sees: { subject: USER, query: { name: 'Ada Löw', and: 'a+b' }, user: { uri: USER } },
  },
  {
    name: 'query with a name twice',
    send: (client) => client.sendSigned({ method: 'GET', path: '/user?id=1&page=2&id=3' }),
    expected: OK,
    sees: { subject: USER, query: { id: ['1', '3'], page: '2' }, user: { uri: USER } },
  },
  {
    name: 'call for the user',
    send: (client) => client.sendSigned({ method: 'GET', path: '/relay' }),
    expected: OK,
    sees: { status: 200, caller: 'https://census.service/', subject: USER },
  },
  {
    name: 'POST without a body',
    send: (client) => client.sendSigned({ method: 'POST', path: '/parsed', body: Buffer.alloc(0) }),
    expected: OK,
  },
];

/** @type {Check[]} */
const TOKENS = [
  {
    name: 'no token',
    send: (client) => client.send({ method: 'GET', path: '/user', headers: {} }),
    expected: [401, 'token_missing'],
  },
  {
    name: 'garbage token',
    send: (client) => client.send({ method: 'GET', path: '/user', headers: { jwt: 'garbage' } }),
    expected: [401, 'token_malformed'],
  },
  {
    name: 'two tokens',
    send: (client) => sendTwice(client, '/user'),
    expected: [401, 'token_repeated'],
  },
  {
    name: 'replay',
    send: async (client) => {
      const signed = await client.sign({ method: 'GET', path: '/user' });
      const first = await client.send(signed);
      return first.status === 200 ? client.send(signed) : first;
    },
    expected: [401, 'token_replayed'],
  },
  {
    name: 'other path',
    send: async (client) => {
      const signed = await client.sign({ method: 'GET', path: '/users' });
      return client.send({ ...signed, path: '/user' });
    },
    expected: [401, 'request_mismatch'],
  },
  {
    name: 'optional: none',
    send: (client) => client.send({ method: 'GET', path: '/optional', headers: {} }),
    expected: OK,
    sees: { subject: 'anonymous' },
  },
  {
    name: 'optional: signed',
    send: (client) => client.sendSigned({ method: 'GET', path: '/optional' }),
    expected: OK,
    sees: { subject: USER },
  },
  {
    name: 'optional: garbage',
    send: (client) =>
      client.send({ method: 'GET', path: '/optional', headers: { jwt: 'garbage' } }),
    expected: [401, 'token_malformed'],
  },
  {
    name: 'optional: two tokens',
    send: (client) => sendTwice(client, '/optional'),
    expected: [401, 'token_repeated'],
  },
];

/** The first is garbage: a host that keeps the last one only passes a good token on. */
async function sendTwice(/** @type {Client} */ client, /** @type {string} */ path) {
  const signed = await client.sign({ method: 'GET', path });
  return client.send({ ...signed, headers: { jwt: ['garbage', String(signed.headers['JWT'])] } });
}

/** @type {Check[]} */
const FRAMING = [
  {
    name: 'JSON in chunks',
    send: async (client) =>
      client.send({ ...(await client.sign(BODIES.JSON.request)), chunked: true }),
    expected: OK,
    sees: BODIES.JSON.sees,
  },
  {
    name: 'bytes in chunks',
    send: async (client) =>
      client.send({ ...(await client.sign(BODIES.bytes.request)), chunked: true }),
    expected: OK,
    sees: BODIES.bytes.sees,
  },
  {
    name: 'other Content-Type',
    send: async (client) => {
      const { headers, ...signed } = await client.sign(BODIES.JSON.request);
      return client.send({ ...signed, headers: { ...headers, 'content-type': 'text/plain' } });
    },
    expected: [401, 'header_mismatch'],
  },
  {
    name: 'bytes, 3 MiB, no @MaxBodyBytes()',
    send: async (client) => await sendUntilAnswered(client, bytesOf('/bytes', upload).request),
    expected: [413, 'body_unverifiable'],
  },
];

/**
 * A server that refuses an upload closes the connection. A client that is still writing may find it reset before it
 * has read the answer (RFC 9112 section 9.6).
 *
 * @param {import('./requests.mjs').Client} client
 * @param {Parameters<import('./requests.mjs').Client['sendSigned']>[0]} request
 */
async function sendUntilAnswered(client, request, tries = 5) {
  try {
    return await client.sendSigned(request);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (tries === 1 || (code !== 'EPIPE' && code !== 'ECONNRESET')) throw error;
    return await sendUntilAnswered(client, request, tries - 1);
  }
}

/** @returns {Check[]} */
function checksOfBody(
  /** @type {[name: string, { request: Unsigned & { body: Buffer }, sees: object }]} */ [
    name,
    { request, sees },
  ],
) {
  return [
    { name, send: (client) => client.sendSigned(request), expected: OK, sees },
    {
      name: `${name}, changed`,
      send: async (client) =>
        client.send({ ...(await client.sign(request)), body: changed(request.body) }),
      expected: [401, 'body_mismatch'],
    },
    {
      name: `${name}, left out`,
      send: async (client) =>
        client.send({ ...(await client.sign(request)), body: Buffer.alloc(0) }),
      expected: [401, 'body_mismatch'],
      // Fastify's parser comes before the guard, and wants JSON.
      onFastify: name === 'JSON' ? [400] : undefined,
    },
    {
      name: `${name}, added`,
      send: async (client) => {
        const signed = await client.sign({ ...request, body: Buffer.alloc(0) });
        return client.send({ ...signed, body: request.body });
      },
      expected: [401, 'claim_missing'],
    },
  ];
}

const ofBodies = [...Object.entries(BODIES), ...Object.entries(UPLOADS)];
export const CHECKS = [...CALLS, ...TOKENS, ...ofBodies.flatMap(checksOfBody), ...FRAMING];

const namesOf = (/** @type {readonly Check[]} */ checks) => checks.map(({ name }) => name);
/** The columns of the table: each stands for the checks it names. @type {Record<string, string[]>} */
export const GROUPS = {
  GET: ['GET', 'POST without a body'],
  queries: ['query with escapes', 'query of URLSearchParams', 'query with a name twice'],
  'call for the user': ['call for the user'],
  tokens: namesOf(TOKENS),
  ...Object.fromEntries(ofBodies.map((each) => [each[0], namesOf(checksOfBody(each))])),
  framing: namesOf(FRAMING),
};
