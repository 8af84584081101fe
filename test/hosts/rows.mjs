// The hosts, and where an answer differs from that of checks.mjs: by hand, from what each host does to a request.

/**
 * @typedef {import('./checks.mjs').Expected} Expected
 * @typedef {'express' | 'fastify'} Adapter
 * @typedef {Partial<Record<string, Expected>>} Exceptions by the name of the check
 *
 * `doors` has what differs behind one kind of gateway alone, `folder` where the modules of the page are if not in that
 * of the adapter. `keepsBytes` says that the host has `rawBody`, which the options then read, and `readsAll` that no
 * body is left in the stream.
 * @typedef {{
 *   name: string,
 *   host: string,
 *   adapters: readonly Adapter[],
 *   package?: string,
 *   folder?: string,
 *   keepsBytes?: boolean,
 *   readsAll?: boolean,
 *   exceptions?: Exceptions,
 *   doors?: Record<string, Exceptions>,
 *   onExpress?: Exceptions,
 *   doorsOnFastify?: Record<string, Exceptions>,
 *   isEverywhere?: boolean,
 *   since?: number,
 * }} Row
 */

/** @type {readonly Adapter[]} */
const BOTH = ['express', 'fastify'];
/** @type {readonly Adapter[]} */
const EXPRESS = ['express'];
/** @type {readonly Adapter[]} */
const FASTIFY = ['fastify'];

/** Of two headers the host passes the last on, which is a good token. @type {Exceptions} */
const LAST_ONE = { 'two tokens': [200], 'optional: two tokens': [200] };

/** A query that the host has put together again. @type {Expected} */
const OTHER_QUERY = [401, 'request_mismatch'];
/** Sorted by name, with `%20` for a space. @type {Exceptions} */
const ESCAPED = { 'query with a name twice': OTHER_QUERY, 'query of URLSearchParams': OTHER_QUERY };
/** Sorted by name, with `+` for a space. @type {Exceptions} */
const LIKE_A_FORM = { 'query with a name twice': OTHER_QUERY, 'query with escapes': OTHER_QUERY };

/** Bytes that are no text do not survive a text. @type {Expected} */
const DAMAGED = [401, 'body_mismatch'];
/** Each of them becomes three. @type {Expected} */
const GROWN = [413, 'body_unverifiable'];
/** @type {Exceptions} */
const NO_BYTES = {
  bytes: DAMAGED,
  'bytes in chunks': DAMAGED,
  multipart: DAMAGED,
  'bytes, 3 MiB': GROWN,
  'bytes, 3 MiB, changed': GROWN,
  'multipart, 3 MiB': GROWN,
  'multipart, 3 MiB, changed': GROWN,
};

/** @type {Expected} */
const CONSUMED = [415, 'body_consumed'];
const FORMS = ['JSON', 'form'];
const ALL_BODIES = [...FORMS, 'text', 'bytes', 'multipart', 'bytes, 3 MiB', 'multipart, 3 MiB'];

/** Checks of signed requests without a body. */
const EMPTY_REQUESTS = [
  'GET',
  'query with escapes',
  'query of URLSearchParams',
  'query with a name twice',
  'call for the user',
  'POST without a body',
  'replay',
  'other path',
  'optional: signed',
];

/** What is refused where somebody has read these kinds of body. @returns {Exceptions} */
function consumed(/** @type {string[]} */ kinds) {
  const names = kinds.flatMap((kind) => [kind, `${kind}, changed`, `${kind}, added`]);
  if (kinds.includes('JSON')) names.push('JSON in chunks');
  if (kinds.includes('text')) names.push('other Content-Type');
  if (kinds.includes('bytes')) names.push('bytes in chunks', 'bytes, 3 MiB, no @MaxBodyBytes()');
  return Object.fromEntries(names.map((name) => [name, CONSUMED]));
}

/** The platform has all bytes already: its limit counts. @type {Exceptions} */
const PLATFORM_LIMIT = { 'bytes, 3 MiB, no @MaxBodyBytes()': [200] };

/** Where there is no stream, nobody can tell that a request has no body. */
const NOTHING_TO_READ = Object.fromEntries(
  [...EMPTY_REQUESTS, ...ALL_BODIES.map((kind) => `${kind}, left out`)].map((name) => [
    name,
    CONSUMED,
  ]),
);

/** A parser of the application's own leaves an empty body to the guard. @type {Exceptions} */
const OWN_PARSER = { 'JSON, left out': [401, 'body_mismatch'] };

/** How serverless-express reads events. @type {Row['doors']} */
const SERVERLESS_EXPRESS = {
  'REST API': ESCAPED,
  'REST API, text': { ...ESCAPED, ...NO_BYTES },
  'HTTP API': {},
  ALB: { ...LAST_ONE, ...ESCAPED },
  'ALB, multi-value': ESCAPED,
};

/** How serverless-http does: the last value of a header beats the list of all. @type {Row['doors']} */
const SERVERLESS_HTTP = {
  ...SERVERLESS_EXPRESS,
  'REST API': { ...LAST_ONE, ...ESCAPED },
  'REST API, text': { ...LAST_ONE, ...ESCAPED, ...NO_BYTES },
};

/** Its `content-length: 0` is a number, which Fastify takes for a body without a type. @type {Exceptions} */
const EMPTY_WITHOUT_TYPE = { 'POST without a body': [415] };
/** @type {Row['doors']} */
const SERVERLESS_HTTP_ON_FASTIFY = {
  'REST API': EMPTY_WITHOUT_TYPE,
  'REST API, text': EMPTY_WITHOUT_TYPE,
};

/** It gives Express 5 a body that counts as parsed already: the handler sees bytes. @type {Exceptions} */
const UNPARSED = { JSON: [200], form: [200], 'JSON in chunks': [200] };

/** How @fastify/aws-lambda does: every query is put together again. @type {Row['doors']} */
const AWS_LAMBDA_FASTIFY = {
  'REST API': LIKE_A_FORM,
  'REST API, text': { ...LIKE_A_FORM, ...NO_BYTES },
  'HTTP API': LIKE_A_FORM,
  // It takes a `+` in the events of a load balancer for a plus.
  ALB: { ...LAST_ONE, ...ESCAPED, ...LIKE_A_FORM },
  'ALB, multi-value': { ...ESCAPED, ...LIKE_A_FORM },
};

/** @type {readonly Row[]} */
export const ROWS = [
  {
    name: 'serverless-express-4',
    host: 'serverless-express',
    package: '@codegenie/serverless-express',
    adapters: BOTH,
    doors: SERVERLESS_EXPRESS,
  },
  {
    name: 'serverless-express-5',
    host: 'serverless-express-5',
    package: 'serverless-express-5',
    adapters: BOTH,
    doors: SERVERLESS_EXPRESS,
    since: 24,
  },
  {
    name: 'serverless-http-3',
    host: 'serverless-http-3',
    package: 'serverless-http-3',
    adapters: BOTH,
    doors: SERVERLESS_HTTP,
    doorsOnFastify: SERVERLESS_HTTP_ON_FASTIFY,
    onExpress: UNPARSED,
  },
  {
    name: 'serverless-http-4',
    host: 'serverless-http',
    package: 'serverless-http',
    adapters: BOTH,
    doors: SERVERLESS_HTTP,
    doorsOnFastify: SERVERLESS_HTTP_ON_FASTIFY,
  },
  {
    name: 'fastify-aws-lambda',
    host: 'aws-lambda-fastify',
    package: '@fastify/aws-lambda',
    adapters: FASTIFY,
    doors: AWS_LAMBDA_FASTIFY,
  },
  {
    name: 'functions-framework',
    host: 'functions-framework',
    package: '@google-cloud/functions-framework',
    adapters: EXPRESS,
    keepsBytes: true,
    readsAll: true,
    exceptions: PLATFORM_LIMIT,
  },
  {
    name: 'functions-framework-on-fastify',
    host: 'functions-framework',
    package: '@google-cloud/functions-framework',
    adapters: FASTIFY,
    folder: 'fastify-after-parser',
    keepsBytes: true,
    readsAll: true,
    exceptions: { ...PLATFORM_LIMIT, ...OWN_PARSER },
  },
  {
    name: 'functions-framework-without-rawBody',
    host: 'functions-framework',
    package: '@google-cloud/functions-framework',
    adapters: EXPRESS,
    exceptions: consumed(ALL_BODIES),
  },
  {
    name: 'azure',
    host: 'azure',
    package: '@azure/functions',
    adapters: BOTH,
  },
  { name: 'vercel', host: 'vercel', adapters: BOTH },
  {
    name: 'vercel-with-helpers',
    host: 'vercel-with-helpers',
    adapters: EXPRESS,
    exceptions: consumed(ALL_BODIES),
  },
  { name: 'cached-server', host: 'cached-server', adapters: BOTH },
  {
    name: 'own-express',
    host: 'own-express',
    package: 'express',
    adapters: EXPRESS,
    keepsBytes: true,
  },
  {
    name: 'own-express-without-rawBody',
    host: 'own-express',
    package: 'express',
    adapters: EXPRESS,
    exceptions: consumed(FORMS),
  },
  {
    name: 'mocked-requests',
    host: 'mocks',
    package: 'node-mocks-http',
    adapters: EXPRESS,
    keepsBytes: true,
    readsAll: true,
    exceptions: PLATFORM_LIMIT,
  },
  {
    name: 'mocked-requests-without-rawBody',
    host: 'mocks',
    package: 'node-mocks-http',
    adapters: EXPRESS,
    exceptions: { ...consumed(ALL_BODIES), ...NOTHING_TO_READ },
  },
  { name: 'worker-thread', host: 'worker', adapters: BOTH },
  { name: 'cluster', host: 'cluster', adapters: BOTH },
  { name: 'plain', host: 'plain', adapters: BOTH, isEverywhere: true },
];
