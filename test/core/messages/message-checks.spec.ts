import { randomUUID } from 'node:crypto';
import {
  createServiceAuth,
  MemoryReplayStore,
  type RoutePolicy,
  type ServiceAuth,
  type TokenUse,
} from 'nestjs-service-auth/core';
import {
  type AnsweredMessage,
  AnswerVerifier,
  type IncomingMessage,
  readMessageText,
  writeMessageText,
} from '../../../lib/core/index.js';
import { parseMessageText } from '../../../lib/core/messages/message-text.js';
import { assertMessageTimes } from '../../../lib/core/messages/message-times.js';
import { createKey, type TestKey } from '../../support/keys/keys.js';
import { forge, type Json, md5, sha256 } from '../../support/tokens/forge.js';

const HERALD = 'https://herald.service/';
const VETERAN = 'https://veteran.service/';
const SCRIBE = 'https://scribe.service/';
const POSTMAN = 'https://postman.service/';
const COURIER = 'https://courier.service/';
const FORMER = 'https://former.service/';
const CENSUS = 'https://census.service/';
const TOPIC = 'https://events.example/users/';
const USER = 'https://census.service/user/21/';
const NOW = 1_700_000_000;
const DATA = '{"id":42}';
const key = createKey();
const strangerKey = createKey();
const { publicPem: publicKey } = key;

let nowSeconds = NOW;
beforeEach(() => void (nowSeconds = NOW));
const uses: TokenUse[] = [];

/** Keeps what is recorded, for a look at it. */
class WatchedStore extends MemoryReplayStore {
  override recordUse(use: TokenUse) {
    uses.push(use);
    return super.recordUse(use);
  }
}

let census: ServiceAuth;
beforeAll(async () => {
  const off = { subjectProof: { mode: 'off' } } as const;
  census = await createServiceAuth({
    issuer: CENSUS,
    signingKey: { privateKey: createKey().privatePem },
    topics: [TOPIC],
    trustDomain: 'https://trust.example/',
    originators: [
      { issuer: 'https://edge.service/', publicKey: strangerKey.publicPem, subjects: [USER] },
    ],
    trustedIssuers: [
      { issuer: HERALD, publicKey, ...off },
      { issuer: VETERAN, publicKey, profile: 'original', ...off },
      { issuer: SCRIBE, publicKey, messages: { bodies: 'raw' }, ...off },
      { issuer: POSTMAN, publicKey, transports: ['http'], ...off },
      { issuer: FORMER, publicKey, transports: ['messages'], ...off },
      {
        issuer: COURIER,
        publicKey,
        subjectProof: { mode: 'required', withoutSubject: 'allowed' },
      },
    ],
    replayStore: new WatchedStore({ monotonicNow: () => nowSeconds * 1000 }),
    now: () => nowSeconds * 1000,
  });
});
afterAll(() => census.close());

/** How a message differs from a good one. */
interface Change {
  readonly key?: TestKey;
  readonly header?: Json;
  readonly claims?: Json;
  readonly message?: Partial<IncomingMessage>;
  readonly policy?: RoutePolicy;
  readonly enforcement?: 'report';
}

async function verdictOf({ policy, enforcement, ...change }: Change): Promise<Json> {
  const { verb = 'SEND' } = change.message ?? {};
  const claims = {
    iss: HERALD,
    aud: CENSUS,
    iat: NOW,
    exp: NOW + 60,
    jti: randomUUID(),
    req: `${verb} user.get`,
    bdy: sha256(DATA),
    ...change.claims,
  };
  const header = { alg: key.algorithm, kid: key.keyId, typ: 'msg+jwt', ...change.header };
  const token = forge(header, claims, change.key ?? key);
  const message: IncomingMessage = {
    verb,
    route: 'user.get',
    headerValues: (name) => (name === 'jwt' ? [token] : []),
    data: JSON.parse(DATA) as unknown,
    ...change.message,
  };
  return await outcomeOf(async () => census.verifyMessage(message, policy, { enforcement }));
}

/** The code of what is thrown, and its detail. */
async function outcomeOf(run: () => unknown): Promise<Json> {
  try {
    await run();
    return { code: 'accepted', detail: '' };
  } catch (error) {
    const { code, detail = '' } = error as { code?: unknown; detail?: unknown };
    if (code === undefined) throw error;
    return { code, detail };
  }
}

const saying = (detail: string): unknown => expect.stringContaining(detail);
const by = (iss: string, claims: Json = {}): Change => ({ claims: { iss, ...claims } });
const raw = sha256('{"pattern":"user.get","data":{"id":42}}');
const bytes = Buffer.from('{"pattern":"user.get","data":{"id":42}}');
const job = { verb: 'JOB' } as const;
const allow = (issuer: string): RoutePolicy => ({ allowedIssuers: [new Set([issuer])] });

/** Lets time go by while the policy is asserted. */
class SlowIssuers extends Set<string> {
  override has(issuer: string): boolean {
    nowSeconds += 100;
    return super.has(issuer);
  }
}

/** Each refusal, and the change that makes it. The twins below lack that change. */
const REFUSED: readonly [title: string, code: string, detail: string, change: Change][] = [
  ['MS-15 the original profile', 'header_invalid', 'strict profile', by(VETERAN)],
  ['MS-07 the type of a request', 'header_invalid', 'typ', { header: { typ: 'svc+jwt' } }],
  ['MS-13 an unknown issuer', 'issuer_unknown', '', by('https://unknown.service/')],
  ['MS-14 an issuer trusted for HTTP', 'issuer_unknown', 'http alone', by(POSTMAN)],
  [
    'MS-14 the job of an issuer trusted for messages',
    'issuer_unknown',
    'messages alone',
    { ...by(FORMER), message: job },
  ],
  ['MS-13 an unknown key', 'key_unknown', '', { header: { kid: 'unknown' } }],
  [
    'MS-13 the algorithm of another key',
    'algorithm_refused',
    'of the key',
    { header: { alg: 'ES384' } },
  ],
  ['MS-13 a foreign key', 'signature_invalid', '', { key: strangerKey }],
  ['MS-11 another service', 'audience_mismatch', '', { claims: { aud: HERALD } }],
  ['MS-10 no audience', 'claim_missing', 'aud', { claims: { aud: undefined } }],
  ['MS-12 a topic in a request', 'audience_mismatch', '', { claims: { aud: TOPIC } }],
  ['MS-12 a topic in a job', 'audience_mismatch', '', { claims: { aud: TOPIC }, message: job }],
  ['MS-16 hdr', 'claim_invalid', 'hdr means nothing', { claims: { hdr: {} } }],
  ['MS-17 raw beside bdy', 'claim_invalid', 'raw is not what', { claims: { raw } }],
  ['MS-17 bdy of an issuer of bytes', 'claim_invalid', 'bdy is not what', by(SCRIBE, { raw })],
  ['MS-04 no digest', 'claim_missing', 'bdy', { claims: { bdy: undefined } }],
  ['MS-04 a digest of MD5', 'claim_invalid', 'no SHA-256', { claims: { bdy: md5(DATA) } }],
  ['MS-04 other data', 'body_mismatch', '', { message: { data: { id: 43 } } }],
  ['MS-18 data of no text', 'body_unverifiable', 'not finite', { message: { data: Infinity } }],
  [
    'MS-17 no bytes to see',
    'body_unverifiable',
    'does not show the bytes',
    by(SCRIBE, { raw, bdy: undefined }),
  ],
  [
    'MS-17 other bytes',
    'body_mismatch',
    '',
    { ...by(SCRIBE, { raw, bdy: undefined }), message: { bytes: Buffer.from('x') } },
  ],
  ['MS-05 another pattern', 'request_mismatch', 'pattern', { message: { route: 'user.delete' } }],
  ['MS-06 another verb', 'request_mismatch', 'verb', { claims: { req: 'EMIT user.get' } }],
  ['MS-21 an issuer that may not', 'issuer_not_allowed', '', { policy: allow(COURIER) }],
  ['MS-22 nobody', 'subject_missing', '', { policy: { subjectRequired: true } }],
  ['MS-20 no grant', 'grant_missing', '', by(COURIER, { sub: USER })],
  [
    'MS-10 expired, before anything else is asked',
    'token_expired',
    '',
    { claims: { aud: HERALD, iat: NOW - 66, exp: NOW - 6 } },
  ],
  [
    'MS-10 expired meanwhile',
    'token_expired',
    '',
    { policy: { allowedIssuers: [new SlowIssuers([HERALD])] } },
  ],
  [
    'MS-10 of the future',
    'token_not_yet_valid',
    'iat',
    { claims: { iat: NOW + 6, exp: NOW + 66 } },
  ],
  ['MS-10 valid later', 'token_not_yet_valid', 'nbf', { claims: { nbf: NOW + 6 } }],
  [
    'MS-10 over at once',
    'claim_invalid',
    'exp is not after',
    { claims: { nbf: NOW + 4, exp: NOW + 4 } },
  ],
  ['MS-10 too long', 'lifetime_too_long', '3601 s', { claims: { exp: NOW + 3601 } }],
  [
    'MS-10 delayed too long',
    'lifetime_too_long',
    '604801 s after iat',
    { message: job, claims: { nbf: NOW + 604_801, exp: NOW + 604_900 } },
  ],
];

const ACCEPTED: readonly [title: string, change: Change][] = [
  ['MS-01 a request', {}],
  ['MS-01 an event', { message: { verb: 'EMIT' } }],
  ['MS-01 a job', { message: job }],
  ['MS-14 an issuer trusted for messages', by(FORMER)],
  ['MS-12 a topic in an event', { claims: { aud: TOPIC }, message: { verb: 'EMIT' } }],
  [
    'MS-17 the bytes that were signed',
    { ...by(SCRIBE, { raw, bdy: undefined }), message: { bytes } },
  ],
  ['MS-21 an issuer that may', { policy: allow(HERALD) }],
  ['MS-22 somebody', { policy: { subjectRequired: true }, claims: { sub: USER } }],
  ['MS-20 nobody needs no grant', by(COURIER)],
  ['MS-10 at the tolerance', { claims: { iat: NOW - 64, exp: NOW - 4 } }],
  ['MS-10 a little early', { claims: { iat: NOW + 5, exp: NOW + 65 } }],
];

describe('verifyMessage()', () => {
  it.each(REFUSED)('%s: %s %s', async (_title, code, detail, change) => {
    expect(await verdictOf(change)).toEqual({ code, detail: saying(detail) });
  });

  it.each(ACCEPTED)('%s', async (_title, change) => {
    expect(await verdictOf(change)).toEqual({ code: 'accepted', detail: '' });
  });

  it('MS-08 the same message again', async () => {
    const claims = { jti: randomUUID() };
    expect(await verdictOf({ claims })).toMatchObject({ code: 'accepted' });
    expect(await verdictOf({ claims })).toMatchObject({ code: 'token_replayed' });
    expect(await verdictOf({})).toMatchObject({ code: 'accepted' });
  });

  it('MS-08 a use is remembered for another tolerance', async () => {
    await verdictOf({});
    expect(uses.at(-1)).toMatchObject({ forgetAtSeconds: NOW + 60 + 5 + 5 });
  });

  it('MS-25 what only reports uses up nothing', async () => {
    const claims = { jti: randomUUID() };
    expect(await verdictOf({ claims, enforcement: 'report' })).toMatchObject({ code: 'accepted' });
    expect(await verdictOf({ claims })).toMatchObject({ code: 'accepted' });
  });
});

it.each(['iat', 'exp'] as const)('MS-10 no times without %s', async (name) => {
  const times = { issuedAtSeconds: NOW, expiresAtSeconds: NOW + 60, notBeforeSeconds: undefined };
  const limits = { maxLifetimeSeconds: 60, clockToleranceSeconds: 5 };
  const check = (change: object) => {
    const claims = { ...times, ...change } as Parameters<typeof assertMessageTimes>[0];
    assertMessageTimes(claims, limits, NOW * 1000);
  };
  const missing = { [name === 'iat' ? 'issuedAtSeconds' : 'expiresAtSeconds']: undefined };
  expect(await outcomeOf(() => check(missing))).toMatchObject({ code: 'claim_missing' });
  expect(await outcomeOf(() => check({}))).toMatchObject({ code: 'accepted' });
});

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

class Point {
  readonly x = 1;
}

describe('the text of data', () => {
  it.each<[string, unknown, string]>([
    ['infinity', [Infinity], 'not finite'],
    ['negative zero', [-0], 'negative zero'],
    ['undefined', [undefined], 'type undefined'],
    ['an instance of a class', [new Point()], 'no JSON text'],
    ['a toJSON', [{ toJSON: () => 1 }], 'no JSON text'],
    ['65 levels', nested(65), 'nested deeper'],
    ['too many values', Array.from({ length: 1_000_000 }, () => 0), 'more than'],
  ])('MS-18 is not read from %s', async (_what, data, detail) => {
    const outcome = await outcomeOf(() => readMessageText(data));
    expect(outcome).toEqual({ code: 'body_unverifiable', detail: saying(detail) });
  });

  it('MS-18 is read from what JSON.parse() makes', () => {
    const text = `[0,"a",true,null,{"a":${JSON.stringify(nested(61))}}]`;
    expect(readMessageText(JSON.parse(text))).toBe(text);
    expect(writeMessageText(JSON.parse(text))).toBe(text);
  });

  it.each<[string, unknown, string]>([
    ['undefined', undefined, 'type undefined'],
    ['bytes', { file: Buffer.from('x') }, 'holds bytes'],
    ['65 levels', nested(65), 'nested deeper'],
    ['a BigInt', [1n], 'BigInt'],
  ])('MS-18 is not written from %s', async (_what, data, detail) => {
    const outcome = await outcomeOf(() => parseMessageText(writeMessageText(data)));
    expect(outcome).toEqual({ code: 'message_unsignable', detail: saying(detail) });
  });
});

describe('AnswerVerifier', () => {
  const about: AnsweredMessage = { answerer: CENSUS, asker: HERALD, tokenId: 'the message' };
  const part = { text: '1', seq: 0 };

  interface Part {
    readonly text?: string | undefined;
    readonly seq: number;
    readonly key?: TestKey;
    readonly header?: Json;
    readonly claims?: Json;
  }

  /** Sends parts, of which the last one counts. */
  async function send(...parts: readonly Part[]): Promise<Json> {
    const known = { keyId: key.keyId, key: key.publicKey, algorithms: new Set(['ES256'] as const) };
    const find = async (keyId?: string) =>
      await Promise.resolve(keyId === key.keyId ? known : undefined);
    const verifier = new AnswerVerifier(about, { find });
    let last: Json = {};
    for (const { text, seq, ...change } of parts) {
      const good = { iss: CENSUS, aud: HERALD, rid: about.tokenId, iat: NOW, seq };
      const bdy = text === undefined ? undefined : sha256(text);
      const header = { alg: key.algorithm, kid: key.keyId, typ: 'ans+jwt', ...change.header };
      const token = forge(header, { ...good, bdy, ...change.claims }, change.key ?? key);
      last = await outcomeOf(async () => verifier.verify(token, text));
    }
    return last;
  }

  it.each<[title: string, code: string, detail: string, change: Partial<Part>]>([
    ['MS-33 of another service', 'answer_mismatch', 'of another', { claims: { iss: HERALD } }],
    ['MS-33 for another service', 'answer_mismatch', 'for another', { claims: { aud: CENSUS } }],
    ['MS-33 to another message', 'answer_mismatch', 'to another', { claims: { rid: 'x' } }],
    ['MS-33 out of order', 'answer_mismatch', 'out of order', { seq: 1 }],
    ['MS-31 with other text', 'answer_invalid', 'data differs', { claims: { bdy: sha256('2') } }],
    [
      'MS-31 with a mark that is no mark',
      'answer_invalid',
      'end is not true',
      { claims: { end: 1 } },
    ],
    ['MS-07 with the type of a message', 'answer_invalid', 'typ', { header: { typ: 'msg+jwt' } }],
    ['MS-32 under an unknown key', 'answer_invalid', 'not known', { header: { kid: 'x' } }],
    ['MS-32 with another algorithm', 'answer_invalid', 'of the key', { header: { alg: 'ES384' } }],
    ['MS-32 of a forger', 'answer_invalid', 'signature', { key: strangerKey }],
  ])('%s: %s %s', async (_title, code, detail, change) => {
    expect(await send({ ...part, ...change })).toEqual({ code, detail: saying(detail) });
    expect(await send(part)).toMatchObject({ code: 'accepted' });
  });

  it('MS-31 nothing follows the end', async () => {
    const next = { text: '2', seq: 1 };
    expect(await send(part, next)).toMatchObject({ code: 'accepted' });
    for (const claims of [{ end: true }, { err: true }]) {
      const outcome = await send({ ...part, claims }, next);
      expect(outcome).toEqual({ code: 'answer_mismatch', detail: saying('follows its end') });
    }
  });
});
