// Messages and jobs, and what a receiver makes of them: protocol, "Messages".
import { createHash } from 'node:crypto';
import { digest } from './forge.mjs';
import { jwkFor, keys, WARNING } from './keys.mjs';
import { CENSUS, HERALD, PEOPLE, USER, VETERAN } from './receiver.mjs';
import { defined, NOW, sign } from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {import('./keys.mjs').TestKey} TestKey */

/**
 * A message with a token made for it, in parts. What is left out is as in the message before it.
 *
 * @typedef {object} Attempt
 * @property {'SEND' | 'EMIT' | 'JOB'} verb
 * @property {string} route
 * @property {string} data the JSON text in which the data arrives
 * @property {string} issuer
 * @property {TestKey} key
 * @property {'bdy' | 'raw'} binds
 * @property {Partial<Pick<Attempt, 'verb' | 'route' | 'data'>>} madeFor what is signed instead
 * @property {Json} header laid over the good JOSE header; `undefined` leaves a member out
 * @property {Json} claims laid over the good claims, likewise
 * @property {string[]} names of the headers that carry the token
 * @property {string[]} [after] ids of the vectors that were sent before
 * @property {string} [uses] the id of a vector whose token is sent
 */

/** @typedef {Partial<Attempt>} Parts */

const REPORTS = 'https://reports.service/';
const CLERK = 'https://clerk.service/';
const SURFER = 'https://surfer.service/';
const TOPIC = 'https://events.example/users/';
const LIFETIMES = { SEND: 60, EMIT: 600, JOB: 3600 };
const FORBIDDEN = new Set(['issuer_not_allowed', 'subject_missing', 'subject_not_allowed']);
const ROUTE_OF_JOB = JSON.stringify(['bull', 'mail', 'welcome']);

const jwk = jwkFor(keys['p-256'], 'ES256');
const trusted = (/** @type {string} */ issuer, /** @type {Json} */ more = {}) => ({
  issuer,
  profile: 'strict',
  subjects: null,
  transports: ['http', 'messages', 'jobs'],
  bodies: 'json',
  keys: [jwk],
  ...more,
});

const receiver = {
  issuer: CENSUS,
  audiences: [CENSUS, PEOPLE],
  topics: [TOPIC],
  clockToleranceSeconds: 5,
  maxTokenLifetimeSeconds: 300,
  maxMessageLifetimeSeconds: 3600,
  trustedIssuers: [
    trusted(HERALD),
    trusted(REPORTS, { bodies: 'raw' }),
    trusted(CLERK, { subjects: ['https://census.service/user/'], transports: ['messages'] }),
    trusted(SURFER, { transports: ['http'] }),
    trusted(VETERAN, { profile: 'original' }),
  ],
};

/** @type {Attempt} */
const BASELINE = {
  verb: 'SEND',
  route: 'user.get',
  data: '{"id":42,"name":"Zoë"}',
  issuer: HERALD,
  key: keys['p-256'],
  binds: 'bdy',
  madeFor: {},
  header: {},
  claims: {},
  names: ['JWT'],
};

/** @type {Json[]} */
const vectors = [];
/** @type {Map<string, string>} */
const tokens = new Map();

function accept(
  /** @type {string} */ id,
  /** @type {string} */ description,
  /** @type {Parts} */ parts = {},
) {
  const good = lay(BASELINE, parts);
  const { claims, header } = partsOf(id, good);
  const identity = {
    issuer: claims['iss'],
    audience: claims['aud'],
    subject: claims['sub'] ?? null,
    tokenId: claims['jti'],
    keyId: header['kid'],
  };
  const wantsAnswer = good.verb === 'SEND' && claims['ans'] === 1;
  add({ id, description }, good, { verdict: 'accepted', identity, wantsAnswer });
  return {
    refuse: (
      /** @type {string} */ other,
      /** @type {string} */ why,
      /** @type {string} */ code,
      /** @type {Parts} */ change,
    ) => {
      const status = FORBIDDEN.has(code) ? 403 : code === 'body_unverifiable' ? 415 : 401;
      const about = { id: other, description: why, twin: id };
      add(about, lay(good, change), { verdict: 'refused', code, status });
    },
  };
}

function add(
  /** @type {{ id: string, description: string, twin?: string }} */ about,
  /** @type {Attempt} */ attempt,
  /** @type {Json} */ expected,
) {
  const { id } = about;
  if (tokens.has(id)) throw new Error(`two messages are called ${id}`);
  const { verb, route, data, names, after, uses } = attempt;
  const token = tokens.get(uses ?? '') ?? sign(partsOf(id, attempt));
  tokens.set(id, token);
  const headers = names.map((name) => [name, token]);
  const message = { verb, route, headers, data, bytes: packetOf(attempt) };
  vectors.push({ ...about, ...(after && { after }), message, expected });
}

/** The message as a client of Nest writes it to RabbitMQ; undefined where the transport shows no bytes. */
function packetOf(/** @type {Pick<Attempt, 'binds' | 'route' | 'data'>} */ { binds, route, data }) {
  return binds === 'raw' ? `{"pattern": ${JSON.stringify(route)}, "data": ${data}}` : null;
}

function lay(/** @type {Attempt} */ attempt, /** @type {Parts} */ parts) {
  return /** @type {Attempt} */ ({
    ...attempt,
    ...parts,
    header: { ...attempt.header, ...parts.header },
    claims: { ...attempt.claims, ...parts.claims },
  });
}

function partsOf(/** @type {string} */ id, /** @type {Attempt} */ attempt) {
  const { issuer, key, binds } = attempt;
  const made = { ...attempt, ...attempt.madeFor };
  const { verb, route, data } = made;
  const bytes = packetOf(made) ?? JSON.stringify(JSON.parse(data));
  const jti = createHash('sha256').update(`message ${id}`).digest('base64url').slice(0, 32);
  const claims = {
    iss: issuer,
    aud: CENSUS,
    sub: USER,
    iat: NOW,
    exp: NOW + LIFETIMES[verb],
    jti,
    req: `${verb} ${route}`,
    [binds]: digest('sha256', bytes),
  };
  const header = { alg: 'ES256', typ: 'msg+jwt', kid: key.kid };
  return {
    header: defined({ ...header, ...attempt.header }),
    claims: defined({ ...claims, ...attempt.claims }),
    alg: 'ES256',
    key,
  };
}

const signedAs = (/** @type {string} */ text) => ({ claims: { bdy: digest('sha256', text) } });
const SUBSTITUTE = { madeFor: { data: '{"id":43,"name":"Zoë"}' } };

// The token
const send = accept('send', 'a message that is answered');
accept('send-signed-answer', 'a message whose sender wants a signed answer', {
  claims: { ans: 1 },
});
accept('send-other-ans', 'ans with another value than 1: no wish', { claims: { ans: true } });
accept('header-name', 'the header under another case of its name', { names: ['jwt'] });
accept('typ-case', 'typ as a media type', { header: { typ: 'application/MSG+JWT' } });
accept('itself', 'a service that acts for itself', { claims: { sub: undefined } });
accept('other-name', 'for another name of the receiver', { claims: { aud: PEOPLE } });
send.refuse('again', 'the same token a second time', 'token_replayed', {
  uses: 'send',
  after: ['send'],
});
send.refuse('no-token', 'no token', 'token_missing', { names: [] });
send.refuse('two-tokens', 'two tokens', 'token_repeated', { names: ['JWT', 'jwt'] });
send.refuse('typ-request', 'the typ of a request', 'header_invalid', {
  header: { typ: 'svc+jwt' },
});
send.refuse('typ-answer', 'the typ of an answer', 'header_invalid', { header: { typ: 'ans+jwt' } });
send.refuse('no-typ', 'no typ', 'header_invalid', { header: { typ: undefined } });
send.refuse('header-member', 'another member in the header', 'header_invalid', {
  header: { cty: 'json' },
});
send.refuse('no-kid', 'no kid', 'key_unknown', { header: { kid: undefined } });
send.refuse('stranger', 'signed with the key of a stranger', 'signature_invalid', {
  key: keys.stranger,
  header: { kid: keys['p-256'].kid },
});
send.refuse('unknown-issuer', 'an issuer that nobody trusts', 'issuer_unknown', {
  issuer: 'https://nobody.service/',
});
send.refuse('http-only', 'an issuer that is trusted for HTTP alone', 'issuer_unknown', {
  issuer: SURFER,
});
send.refuse('hdr', 'bound headers', 'claim_invalid', { claims: { hdr: {} } });
for (const name of ['aud', 'iat', 'exp', 'jti', 'req', 'bdy']) {
  send.refuse(`no-${name}`, `no ${name}`, 'claim_missing', { claims: { [name]: undefined } });
}
send.refuse('other-audience', 'for another service', 'audience_mismatch', {
  claims: { aud: REPORTS },
});
send.refuse('bdy-sha-512', 'bdy of SHA-512', 'claim_invalid', {
  claims: { bdy: digest('sha512', BASELINE.data) },
});

// What it binds
send.refuse('data', 'other data', 'body_mismatch', SUBSTITUTE);
send.refuse('route', 'another pattern', 'request_mismatch', { madeFor: { route: 'user.delete' } });
send.refuse('route-case', 'the pattern in another case', 'request_mismatch', {
  madeFor: { route: 'User.get' },
});
send.refuse('verb', 'an event that reaches a handler of requests', 'request_mismatch', {
  claims: { req: 'EMIT user.get' },
});
send.refuse('http-line', 'the method and target of a request', 'claim_invalid', {
  claims: { req: 'POST /user' },
});
send.refuse('control', 'a control character in the pattern', 'claim_invalid', {
  claims: { req: 'SEND user\nget' },
});
accept('spaces', 'a pattern with spaces', { route: '{"cmd": "get user"}' });
accept('long-route', 'req of 4,096 characters', { route: 'r'.repeat(4091) }).refuse(
  'too-long-route',
  'req of 4,097 characters',
  'claim_invalid',
  { route: 'r'.repeat(4092) },
);

// The JSON text of the data
/** @type {[id: string, description: string, data: string][]} */
const TEXTS = [
  ['null', 'null', 'null'],
  ['zero', 'zero', '0'],
  ['text', 'text', '"Zoë \\ud83d\\ude00 \\u2028 \\u007f"'],
  ['surrogate', 'a surrogate without its other half', '"\\ud83d"'],
  ['escapes', 'escapes', '"\\u0001\\b\\t\\n\\f\\r\\u001f\\"\\\\\\/\\u0041"'],
  ['space', 'white space', ' { "id" : [ 1 , 2 ] } '],
  ['exponent', 'a number with an exponent', '[1e2,1.5E-9,1e21,123456789012345680000]'],
  ['fractions', 'numbers in their shortest form', '[1.0,0.1,1e-6,1e-7,5e-324,0.30000000000000004]'],
  ['large', 'numbers that a double rounds', '[9007199254740993,1.7976931348623157e308]'],
  ['order', 'names that are whole numbers come first', '{"b":1,"10":2,"2":3,"01":4,"a":5}'],
  ['index', 'the largest index, and the number after it', '{"4294967295":1,"4294967294":2,"-1":3}'],
  ['doubled', 'a name twice: the last value, in the first place', '{"a":1,"b":2,"a":3}'],
  ['proto', 'a member called __proto__', '{"__proto__":{"a":1},"constructor":2}'],
  ['deep', '64 levels', `${'['.repeat(64)}1${']'.repeat(64)}`],
];
for (const [id, description, data] of TEXTS) accept(`json-${id}`, description, { data });
const zero = accept('json-plain', 'zero in a list', { data: '[0]' });
zero.refuse('json-negative-zero', 'negative zero', 'body_unverifiable', { data: '[-0]' });
zero.refuse('json-tiny', 'a number that rounds to negative zero', 'body_unverifiable', {
  data: '[-1e-400]',
});
accept('json-nothing', 'null in a list', { data: '[null]' }).refuse(
  'json-infinity',
  'infinity, whose JSON text is that of null',
  'body_unverifiable',
  { data: '[1e999]', ...signedAs('[null]') },
);
accept('json-nested', '64 levels of objects', {
  data: `${'{"a":'.repeat(64)}1${'}'.repeat(64)}`,
}).refuse('json-too-deep', '65 levels', 'body_unverifiable', {
  data: `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`,
});
accept('json-members', 'members in one order', { data: '{"a":1,"b":2}' }).refuse(
  'json-reordered',
  'the same members in another order',
  'body_mismatch',
  { data: '{"b":2,"a":1}', ...signedAs('{"a":1,"b":2}') },
);
accept('json-respelled', 'the same data in another text', {
  data: '{ "a": 1.0, "b": "\\u0062" }',
  ...signedAs('{"a":1,"b":"b"}'),
}).refuse('json-signed-respelled', 'bdy of that text', 'body_mismatch', {
  ...signedAs('{ "a": 1.0, "b": "\\u0062" }'),
});

// Raw bytes
const raw = accept('raw', 'the bytes of the whole message', {
  issuer: REPORTS,
  binds: 'raw',
  data: '{"total": 1.0}',
});
accept('raw-numbers', 'raw bytes may hold any JSON', {
  issuer: REPORTS,
  binds: 'raw',
  data: '{"total": -0, "more": 1e999}',
});
raw.refuse('raw-data', 'other bytes', 'body_mismatch', { madeFor: { data: '{"total": 1.5}' } });
raw.refuse('raw-space', 'a space more', 'body_mismatch', { madeFor: { data: '{"total":  1.0}' } });
raw.refuse('raw-bdy', 'bdy of an issuer that signs raw bytes', 'claim_invalid', {
  claims: { raw: undefined, bdy: digest('sha256', '{"total":1}') },
});
raw.refuse('raw-both', 'raw and bdy', 'claim_invalid', {
  claims: { bdy: digest('sha256', '{"total":1}') },
});
raw.refuse('raw-none', 'neither of them', 'claim_missing', { claims: { raw: undefined } });
raw.refuse('raw-form', 'raw in upper case', 'claim_invalid', { claims: { raw: 'A'.repeat(64) } });
raw.refuse('raw-unseen', 'over a transport that shows no bytes', 'body_unverifiable', {
  binds: 'bdy',
  claims: { bdy: undefined, raw: digest('sha256', '{"total":1}') },
});
send.refuse('bdy-raw', 'raw of an issuer that signs the text', 'claim_invalid', {
  binds: 'raw',
});
send.refuse('bdy-both', 'bdy and raw of such an issuer', 'claim_invalid', {
  claims: { raw: digest('sha256', BASELINE.data) },
});

// Events, topics and jobs
const emit = accept('emit', 'an event', { verb: 'EMIT', route: 'user.changed' });
const topic = accept('topic', 'an event for a topic', {
  verb: 'EMIT',
  route: 'user.changed',
  claims: { aud: TOPIC },
});
topic.refuse('topic-other', 'for another topic', 'audience_mismatch', {
  claims: { aud: 'https://events.example/' },
});
topic.refuse('topic-send', 'a message that is answered, for a topic', 'audience_mismatch', {
  verb: 'SEND',
});
topic.refuse('topic-job', 'a job for a topic', 'audience_mismatch', {
  verb: 'JOB',
  route: ROUTE_OF_JOB,
});
accept('emit-ans', 'an event with ans: nobody answers', {
  verb: 'EMIT',
  route: 'user.changed',
  claims: { ans: 1 },
});
const job = accept('job', 'a job', { verb: 'JOB', route: ROUTE_OF_JOB });
job.refuse('job-queue', 'a job of another queue', 'request_mismatch', {
  madeFor: { route: JSON.stringify(['bull', 'post', 'welcome']) },
});
job.refuse('job-untrusted', 'an issuer that is trusted for messages alone', 'issuer_unknown', {
  issuer: CLERK,
});
const clerk = accept('clerk', 'an issuer for its own users', { issuer: CLERK });
clerk.refuse('clerk-user', 'another user', 'subject_not_allowed', {
  claims: { sub: 'https://people.service/user/21/' },
});
send.refuse('original', 'an issuer in the original profile', 'header_invalid', { issuer: VETERAN });

// Times
/** Claims of times around now. */
const times = (
  /** @type {number} */ iat,
  /** @type {number | undefined} */ nbf,
  /** @type {number} */ exp,
) => ({
  claims: { iat: NOW + iat, nbf: nbf === undefined ? undefined : NOW + nbf, exp: NOW + exp },
});
const DAY = 86_400;
accept('send-longest', 'a lifetime of 300 s', times(0, undefined, 300)).refuse(
  'send-too-long',
  'a lifetime of 301 s',
  'lifetime_too_long',
  times(0, undefined, 301),
);
accept('emit-longest', 'an event with a lifetime of 3,600 s', {
  verb: 'EMIT',
  ...times(0, undefined, 3600),
}).refuse('emit-too-long', 'a lifetime of 3,601 s', 'lifetime_too_long', times(0, undefined, 3601));
accept('tolerated', 'expired 4 s ago', times(-60, undefined, -4)).refuse(
  'expired',
  'expired 5 s ago',
  'token_expired',
  times(-60, undefined, -5),
);
accept('early', 'made in 5 s', times(5, undefined, 60)).refuse(
  'too-early',
  'made in 6 s',
  'token_not_yet_valid',
  times(6, undefined, 60),
);
emit.refuse('emit-expired', 'an event that expired', 'token_expired', times(-600, undefined, -5));
const delayed = accept('delayed', 'a job whose delay of a day is over', {
  verb: 'JOB',
  route: ROUTE_OF_JOB,
  ...times(-DAY - 60, -60, 3540),
});
delayed.refuse(
  'delayed-early',
  'its delay ends in 6 s',
  'token_not_yet_valid',
  times(-60, 6, 3606),
);
delayed.refuse('delayed-expired', 'it expired', 'token_expired', times(-DAY, -3605, -5));
delayed.refuse(
  'delayed-too-long',
  'valid for 3,601 s after its delay',
  'lifetime_too_long',
  times(-DAY - 60, -60, 3541),
);
delayed.refuse('delayed-empty', 'exp is nbf', 'claim_invalid', times(-DAY, 0, 0));
delayed.refuse('exp-before-iat', 'exp is before iat', 'claim_invalid', times(4, undefined, 3));
accept('delay-longest', 'a delay of 7 days', {
  verb: 'JOB',
  route: ROUTE_OF_JOB,
  ...times(-7 * DAY, 0, 60),
}).refuse(
  'delay-too-long',
  'a delay of 7 days and a second',
  'lifetime_too_long',
  times(-7 * DAY - 1, 0, 60),
);

export const messages = {
  toJson: () => ({
    description:
      'Messages and jobs: their tokens, the JSON text and the bytes of their data, topics, delays and times.',
    warning: WARNING,
    now: NOW,
    receiver,
    vectors,
  }),
};
