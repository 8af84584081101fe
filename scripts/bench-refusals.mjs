/**
 * What the verifier spends on a request it refuses, beside one it accepts, and how that grows with the size
 * of a token: `node scripts/bench-refusals.mjs`. Pairs take turns in one run, so that a busy machine slows both of
 * a pair down alike. Exit code 1 when a refusal costs more than acceptance, or a doubled token more than twice.
 */
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

/** @type {unknown} */
const built = await import(new URL('../dist/core.js', import.meta.url).href);
const { createServiceAuth } = /** @type {typeof import('../lib/core.js')} */ (built);

/** How often a refusal is measured beside an acceptance. An odd number, so that one of them is the median. */
const PAIRS = 41;
const PER_PAIR = 40;
const ROUNDS = 21;
const PER_ROUND = 25;
/** A token is refused with so many characters at most. */
const LONGEST = 8192;
const MAX_RATIO = 1.1;
const MAX_GROWTH = 2.2;
const [HERALD, CENSUS] = ['https://herald.service/', 'https://census.service/'];
const EDGE = 'https://edge.service/';
const USERS = 'https://census.service/user/';
const DOMAIN = 'https://bench.example.org/';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const service = await createServiceAuth({
  issuer: CENSUS,
  trustDomain: DOMAIN,
  originators: [{ issuer: EDGE, keys: [{ publicKey, keyId: 'key' }], subjects: [USERS] }],
  trustedIssuers: [
    {
      issuer: HERALD,
      keys: [{ publicKey, keyId: 'key' }],
      subjectProof: { mode: 'required', withoutSubject: 'allowed' },
    },
  ],
});

/** @param {unknown} value */
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** @param {{ header?: object, claims?: object, key?: import('node:crypto').KeyObject }} [parts] */
function token({ header, claims, key = privateKey } = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const good = { iss: HERALD, aud: CENSUS, iat, exp: iat + 60, jti: randomUUID(), req: 'GET /' };
  const head = encode({ alg: 'ES256', kid: 'key', typ: 'svc+jwt', ...header });
  const input = `${head}.${encode({ ...good, ...claims })}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** A grant that was not seen before. @param {import('node:crypto').KeyObject} [key] */
function grant(key = privateKey) {
  const header = { typ: 'txntoken+jwt' };
  const iat = Math.floor(Date.now() / 1000);
  const times = { iat, exp: iat + 300, jti: undefined, req: undefined };
  const names = { iss: EDGE, aud: DOMAIN, sub: `${USERS}21/`, req_wl: EDGE };
  const claims = { ...names, ...times, txn: randomUUID(), scope: 'user-present' };
  return token({ header, claims, key });
}

/** The token for a call of that user, and the grant beside it. @param {string} text */
function pair(text) {
  const tth = createHash('sha256').update(text).digest('base64url');
  return `${token({ claims: { sub: `${USERS}21/`, tth } })} ${text}`;
}

const used = token();
/** @type {Record<string, () => string>} */
const KINDS = {
  accepted: () => token(),
  token_missing: () => '',
  token_too_large: () => 'a'.repeat(8193),
  token_malformed: () => '.'.repeat(8192),
  header_invalid: () => token({ header: { crit: ['b64'] } }),
  algorithm_refused: () => token({ header: { alg: 'HS256' } }),
  claim_invalid: () => token({ claims: { exp: 'soon' } }),
  claim_missing: () => token({ claims: { jti: undefined } }),
  issuer_unknown: () => token({ claims: { iss: `https://${randomUUID()}/` } }),
  key_unknown: () => token({ header: { kid: randomUUID() } }),
  signature_invalid: () => token({ key: stranger }),
  token_expired: () => token({ claims: { iat: 1, exp: 61 } }),
  audience_mismatch: () => token({ claims: { aud: HERALD } }),
  request_mismatch: () => token({ claims: { req: 'GET /another' } }),
  token_replayed: () => used,
};

const HEAD = encode({ alg: 'ES256', kid: 'key', typ: 'svc+jwt' });

/** @param {number} size @param {string} text as often as it fits */
const fill = (size, text) => text.repeat(Math.max(Math.floor(size / Buffer.byteLength(text)), 1));

/** @param {number} size @param {(at: number) => string} item @returns items, in the order of their number, as a list */
function list(size, item) {
  const items = [];
  for (let left = size; left > 0; left -= Buffer.byteLength(items.at(-1) ?? '') + 1) {
    items.push(item(items.length));
  }
  return items.slice(0, -1).join();
}

/** Names that no token had before: engines remember names. */
const fresh = () => Math.random().toString(36).slice(2, 8);

/** What stands in a claim of the sender's own, of so many bytes. @type {Record<string, (size: number) => string>} */
const VALUES = {
  'nested lists': (size) => '['.repeat(size / 2) + ']'.repeat(size / 2),
  'nested objects': (size) => `${fill(size - size / 6, '{"":')}0${fill(size / 6, '}')}`,
  'lists at the limit': (size) => `[${fill(55 * 3, '[],')}"${'x'.repeat(size - 190)}"]`,
  'empty lists': (size) => `[${fill(size, '[],')}0]`,
  'empty objects': (size) => `[${fill(size, '{},')}0]`,
  'small objects': (size) => `[${fill(size, '{"":0},')}0]`,
  'objects with fresh names': (size) => `[${list(size, () => `{"${fresh()}":0}`)}]`,
  'fresh names': (size) => `{${list(size, (at) => `"${fresh()}${at}":0`)}}`,
  'fresh names at the limit': (size) =>
    `{${list(size, (at) => `"${fresh()}${at}${'x'.repeat(size / 60)}":0`)}}`,
  'names of other alphabets': (size) => `{${list(size, (at) => `"\u20ac${fresh()}${at}":0`)}}`,
  'escaped names': (size) => `{${list(size, (at) => `"\\u0061${at}":0`)}}`,
  'integer names': (size) => `{${list(size, (at) => `"${at}":0`)}}`,
  'one name again': (size) => `{${list(size, () => '"a":0')}}`,
  'a long name': (size) => `{"${'x'.repeat(size - 10)}":0}`,
  'empty strings': (size) => `[${fill(size, '"",')}0]`,
  'fresh strings': (size) => `[${list(size, () => `"${fresh()}"`)}]`,
  'a long string': (size) => `"${'x'.repeat(size)}"`,
  'escaped quotes': (size) => `"${fill(size, '\\"')}"`,
  'escaped backslashes': (size) => `"${fill(size, '\\\\')}"`,
  'backslashes before quotes': (size) => `"${fill(size, '\\\\\\\\\\"')}"`,
  'unicode escapes': (size) => `"${fill(size, '\\u20ac')}"`,
  'escaped surrogates': (size) => `"${fill(size, '\\ud83d\\ude00')}"`,
  'other alphabets': (size) => `"${fill(size, '\u20ac')}"`,
  pictures: (size) => `"${fill(size, '\u{1f600}')}"`,
  'colons in a string': (size) => `"${fill(size, ':')}"`,
  'a huge number': (size) => '9'.repeat(size),
  'a long fraction': (size) => `0.${'1'.repeat(size)}`,
  'small numbers': (size) => `[${fill(size, '0,')}0]`,
  'numbers hard to round': (size) => `[${fill(size, '2.2250738585072011e-308,')}0]`,
  literals: (size) => `[${fill(size, 'false,')}0]`,
  'white space': (size) => `${' '.repeat(size)}0`,
  'white space before colons': (size) => `{${list(size, (at) => `"a${at}"${' '.repeat(30)}:0`)}}`,
};

/** A claim of the protocol that is very long. @type {Record<string, (size: number) => object>} */
const CLAIMS = {
  'a long iss': (size) => ({ iss: `https://${'x'.repeat(size)}/` }),
  'a long aud': (size) => ({ aud: `https://${'x'.repeat(size)}/` }),
  'a long jti': (size) => ({ jti: 'x'.repeat(size) }),
  'a long req': (size) => ({ req: `GET /${'x'.repeat(size)}` }),
  'a long method': (size) => ({ req: 'X'.repeat(size) }),
  'a long bdy': (size) => ({ bdy: 'a'.repeat(size) }),
  'a long sub': (size) => ({ sub: `https://census.service/${'x'.repeat(size)}` }),
  'a sub of dots': () => ({ sub: `https://census.service${fill(990, '/..')}`, ...LATER }),
  'a sub of escapes': () => ({ sub: `https://census.service/${fill(990, '%2e')}`, ...LATER }),
  'a host of escapes': () => ({ sub: `https://${fill(990, '%41')}`, ...LATER }),
  'a host of another alphabet': () => ({ sub: `https://${fill(990, '\u00fc')}/`, ...LATER }),
  'a host of labels': () => ({ sub: `https://${fill(990, '\u00fc.')}/`, ...LATER }),
  'a sub without an at': () => ({ sub: `https://${'x'.repeat(1000)}`, ...LATER }),
  'long names in hdr': (size) => ({ hdr: { ['x'.repeat(size)]: '' } }),
  'many names in hdr': (size) => ({
    hdr: Object.fromEntries(
      Array.from({ length: 32 }, (_, at) => [`h${at}${'x'.repeat(size / 32 - 10)}`, '']),
    ),
    ...LATER,
  }),
  'too many names in hdr': () => ({
    hdr: Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`h${at}`, ''])),
  }),
};
/** So that the claim before it is good, and another one is not. */
const LATER = { exp: 'soon' };

/** Each of so many characters, and refused before any signature is verified. @type {Record<string, (size: number) => string>} */
const SHAPES = {
  dots: (size) => '.'.repeat(size),
  'one segment': (size) => 'a'.repeat(size),
  commas: (size) => `${'a,'.repeat(size / 2 - 1)}!`,
  'tokens in a row': (size) => fill(size, 'a.a.a,'),
  'tokens apart': (size) => fill(size, 'a\t \t,'),
  'white space inside': (size) => `a${' '.repeat(size - 2)}a`,
  'percent signs': (size) => '%'.repeat(size),
  'letters beyond ASCII': (size) => '\u00fc'.repeat(size),
  'a long signature': (size) => `${HEAD}.e30.${'A'.repeat(size - HEAD.length - 5)}`,
  'bytes that are no UTF-8': (size) => `${HEAD}.${'_'.repeat(size - HEAD.length - 100)}.AAAA`,
  'many header members': (size) =>
    asToken(`{${list(size * 0.74 - 60, (at) => `"${fresh()}${at}":0`)}}`, '{}'),
  'a long header': (size) => asToken(`{"alg":"${'x'.repeat(size * 0.74 - 80)}"}`, '{}'),
  'a long kid': (size) => asToken(`{"alg":"ES256","kid":"${'x'.repeat(size * 0.74 - 80)}"}`, '{}'),
  'header and claims at the limit': (size) =>
    asToken(
      `{${list(190, (at) => `"${fresh()}${at}":0`)}}`,
      `{${list((size - 450) * 0.74 - 60, (at) => `"${fresh()}${at}${'x'.repeat(80)}":0`)}}`,
    ),
  ...Object.fromEntries(
    Object.entries(VALUES).map(([name, make]) => [
      name,
      (/** @type {number} */ size) => shaped(size, (room) => `{"own":${make(room - 10)}}`),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(CLAIMS).map(([name, make]) => [
      name,
      (/** @type {number} */ size) =>
        shaped(size, (room) => JSON.stringify({ iss: HERALD, ...make(room - 100) })),
    ]),
  ),
};

/** @param {string} header @param {string} payload both as JSON */
function asToken(header, payload) {
  const [head, claims] = [header, payload].map((json) => Buffer.from(json).toString('base64url'));
  return `${head}.${claims}.${'A'.repeat(86)}`;
}

/** @param {number} size @param {(room: number) => string} json */
function shaped(size, json) {
  const room = Math.floor((size - HEAD.length - 88) * 0.75) - 2;
  return `${HEAD}.${Buffer.from(json(room)).toString('base64url')}.${'A'.repeat(86)}`;
}

/** The same, but refused for its signature, beside one that is accepted. @param {string} json @param {boolean} isGood */
function signedShape(json, isGood) {
  const own = /** @type {unknown} */ (JSON.parse(json));
  return token({ claims: { own }, key: isGood ? privateKey : stranger });
}

/** @param {string} one a token, or a token and a grant with a space between */
function requestWith(one) {
  const [jwt = '', ...others] = isPair(one) ? one.split(' ') : [one];
  const rawHeaders = ['JWT', jwt, ...others.flatMap((text) => ['Txn-Token', text])];
  return { method: 'GET', target: '/', rawHeaders, body: Buffer.alloc(0) };
}

/** @param {string} one */
const isPair = (one) => /^ey\S+ ey\S+$/.test(one);

/** @param {readonly string[]} tokens @returns the CPU it takes, in microseconds for each */
async function cost(tokens) {
  const before = process.cpuUsage();
  for (const one of tokens) {
    await service.verify(requestWith(one)).catch(() => undefined);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / tokens.length;
}

/** @param {string} one @returns the code it is refused with */
async function codeOf(one) {
  try {
    await service.verify(requestWith(one));
    return 'accepted';
  } catch (error) {
    return /** @type {{ code: string }} */ (error).code;
  }
}

/** @param {() => string} make */
const several = (make, count = PER_PAIR) => Array.from({ length: count }, make);

/**
 * @param {() => string} make
 * @param {() => string} twin
 * @returns for each pair what one costs beside the other, in its order, and what it costs, in microseconds
 */
async function measurePairs(make, twin = token) {
  const ratios = [];
  const costs = [];
  for (let pair = -3; pair < PAIRS; pair++) {
    const [ours, theirs] = [several(make), several(twin)];
    // In turns, so that what comes first is no advantage.
    const first = pair % 2 === 0 ? await cost(ours) : await cost(theirs);
    const second = pair % 2 === 0 ? await cost(theirs) : await cost(ours);
    const [own, other] = pair % 2 === 0 ? [first, second] : [second, first];
    if (pair < 0) continue;
    ratios.push(own / other);
    costs.push(own);
  }
  return { ratios, costs };
}

/** @param {readonly number[]} values @param {number} share */
const quantile = (values, share) =>
  [...values].sort((one, other) => one - other)[Math.floor(share * (values.length - 1))];

/** The 95 % interval of the median, from the ranks of the values. @param {readonly number[]} values */
function interval(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const reach = 0.98 * Math.sqrt(sorted.length);
  const [low, high] = [sorted.length / 2 - reach, sorted.length / 2 + reach].map(Math.floor);
  return [sorted[Math.max(low, 0)], sorted[Math.min(high + 1, sorted.length - 1)]];
}

let failures = 0;
/**
 * @param {Record<string, { make: () => string, twin?: () => string }>} kinds
 * @returns a row for each
 */
async function compare(kinds) {
  const rows = [];
  for (const [name, { make, twin }] of Object.entries(kinds)) {
    const { ratios, costs } = await measurePairs(make, twin);
    const [low, high] = interval(ratios);
    if (low > MAX_RATIO) failures++;
    rows.push({
      name,
      code: await codeOf(make()),
      'median us': quantile(costs, 0.5).toFixed(1),
      'to accepted': quantile(ratios, 0.5).toFixed(2),
      '95 %': `${low.toFixed(2)} to ${high.toFixed(2)}`,
      missed: low > MAX_RATIO ? 'MISSED' : '',
    });
  }
  return rows;
}

await codeOf(used);
// Until the compiler is done with what both of a pair share.
await measurePairs(token);
console.table(
  await compare(Object.fromEntries(Object.entries(KINDS).map(([name, make]) => [name, { make }]))),
);
console.table(
  await compare(
    Object.fromEntries(
      Object.entries(SHAPES).map(([name, make]) => [name, { make: () => make(LONGEST) }]),
    ),
  ),
);

/** Each beside a request that is accepted with a grant that was not seen before. */
const newPair = () => pair(grant());
const known = grant();
console.table(
  await compare({
    'with a grant that is known': { make: () => pair(known), twin: newPair },
    'without a grant': { make: () => token({ claims: { sub: `${USERS}21/` } }), twin: newPair },
    'with an invented grant': { make: () => pair(grant(stranger)), twin: newPair },
    'with an invented grant of 4,096 characters': {
      make: () => pair(`${HEAD}.${'A'.repeat(3000)}.${'A'.repeat(86)}`),
      twin: newPair,
    },
    'with a grant for another token': {
      make: () => `${pair(known).split(' ')[0]} ${grant(stranger)}`,
      twin: newPair,
    },
  }),
);

/** Beside a twin that is accepted: what is dear there is the signature over so many bytes. */
const LARGE = ['a long string', 'escaped backslashes', 'escaped quotes', 'other alphabets'];
console.table(
  await compare(
    Object.fromEntries(
      LARGE.map((name) => {
        const json = VALUES[name](5600);
        return [
          `${name}, signed by a stranger`,
          { make: () => signedShape(json, false), twin: () => signedShape(json, true) },
        ];
      }),
    ),
  ),
);

const SIZES = [1024, 2048, 4096, LONGEST];
const growths = [];
for (const [name, make] of Object.entries(SHAPES)) {
  /** @type {number[][]} */
  const bySize = SIZES.map(() => []);
  const made = SIZES.map((size) => several(() => make(size), PER_ROUND));
  for (let round = -3; round < ROUNDS; round++) {
    for (const [at, tokens] of made.entries()) {
      const spent = await cost(tokens);
      if (round >= 0) bySize[at].push(spent);
    }
  }
  const medians = bySize.map((costs) => quantile(costs, 0.5));
  const growth = Math.max(...medians.slice(1).map((one, at) => one / medians[at]));
  // A limit stops it between two sizes: what it costs up to there is in the table above.
  const isStopped = (await codeOf(made[0][0])) !== (await codeOf(made[SIZES.length - 1][0]));
  if (growth > MAX_GROWTH && !isStopped) failures++;
  growths.push({
    shape: name,
    'us at 1, 2, 4, 8 KiB': medians.map((one) => one.toFixed(1)).join(', '),
    growth: isStopped ? 'stopped by a limit' : growth.toFixed(2),
  });
}
console.table(growths);
console.log(failures === 0 ? 'no refusal costs too much' : `${failures} cost too much`);
service.close();
process.exitCode = failures === 0 ? 0 : 1;
