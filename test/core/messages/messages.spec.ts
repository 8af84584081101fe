import {
  createServiceAuth,
  type ServiceAuth,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { AnswerVerifier, type IncomingMessage } from '../../../lib/core/index.js';
import { decodeToken } from '../../../lib/testing/decode-token.js';
import { createKey } from '../../support/keys/keys.js';
import { ObservedEvents } from '../../support/observed/observed-events.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const TOPIC = 'https://events.example/users/';
const heraldKey = createKey();
const censusKey = createKey();
const NOW = 1_700_000_000;
let nowSeconds = NOW;
const now = (): number => nowSeconds * 1000;

const events = new ObservedEvents();

let herald: ServiceAuth;
let census: ServiceAuth;

beforeAll(async () => {
  herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    observer: events,
    now,
  });
  census = await createServiceAuth({
    issuer: CENSUS,
    signingKey: { privateKey: censusKey.privatePem },
    trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
    observer: events,
    topics: [TOPIC],
    now,
  });
});

beforeEach(() => {
  nowSeconds = NOW;
  events.decisions.splice(0);
});

const TARGET = { audience: CENSUS, grants: 'never' } as const;
const MESSAGE = { verb: 'SEND', route: 'user.get', text: '{"id":42}', subject: USER } as const;

function received(token: string, more: Partial<IncomingMessage> = {}): IncomingMessage {
  return {
    verb: 'SEND',
    route: 'user.get',
    headerValues: (name) => (name === 'jwt' ? [token] : []),
    data: { id: 42 },
    ...more,
  };
}

async function codeOf(message: IncomingMessage): Promise<string> {
  try {
    await census.verifyMessage(message);
    return 'accepted';
  } catch (error) {
    if (error instanceof ServiceTokenRefusedError) return error.code;
    throw error;
  }
}

describe('signMessage() and verifyMessage()', () => {
  it('prove who sends what for whom, once', async () => {
    const { token } = await herald.signMessage(MESSAGE, TARGET);
    const identity = await census.verifyMessage(received(token));
    expect(identity).toMatchObject({ issuer: HERALD, audience: CENSUS, subject: USER });
    expect(decodeToken(token)).toMatchObject({ header: { typ: 'msg+jwt' } });
    expect(await codeOf(received(token))).toBe('token_replayed');
  });

  it.each<[string, Partial<IncomingMessage>, string]>([
    ['as it was signed', {}, 'accepted'],
    ['with other data', { data: { id: 43 } }, 'body_mismatch'],
    ['under another pattern', { route: 'user.delete' }, 'request_mismatch'],
    ['to a handler of events', { verb: 'EMIT' }, 'request_mismatch'],
    ['with data that is no JSON', { data: { id: Number.NaN } }, 'body_unverifiable'],
    ['without its token', { headerValues: () => [] }, 'token_missing'],
  ])('a message that arrives %s', async (_how, change, code) => {
    const { token } = await herald.signMessage(MESSAGE, TARGET);
    expect(await codeOf(received(token, change))).toBe(code);
  });

  it.each<['SEND' | 'EMIT' | 'JOB', number]>([
    ['SEND', 60],
    ['EMIT', 600],
    ['JOB', 3600],
  ])('%s lives for %d seconds and the tolerance', async (verb, seconds) => {
    const sign = async () => (await herald.signMessage({ ...MESSAGE, verb }, TARGET)).token;
    const [inTime, late] = [await sign(), await sign()];
    nowSeconds = NOW + seconds + 4;
    expect(await codeOf(received(inTime, { verb }))).toBe('accepted');
    nowSeconds = NOW + seconds + 5;
    expect(await codeOf(received(late, { verb }))).toBe('token_expired');
  });

  it('a delayed job is valid from the end of its delay, for its lifetime', async () => {
    const job = { ...MESSAGE, verb: 'JOB', delaySeconds: 86_400 } as const;
    const { token } = await herald.signMessage(job, TARGET);
    expect(await codeOf(received(token, { verb: 'JOB' }))).toBe('token_not_yet_valid');
    nowSeconds = NOW + 86_400 + 3_600;
    expect(await codeOf(received(token, { verb: 'JOB' }))).toBe('accepted');
    const late = { ...job, delaySeconds: 604_801 };
    await expect(herald.signMessage(late, TARGET)).rejects.toMatchObject({
      code: 'message_unsignable',
    });
  });

  it.each([
    ['SEND', 'messages'],
    ['EMIT', 'messages'],
    ['JOB', 'jobs'],
  ] as const)('%s is of the transport %s in each event', async (verb, transport) => {
    const sign = async () => (await herald.signMessage({ ...MESSAGE, verb }, TARGET)).token;
    expect(await codeOf(received(await sign(), { verb }))).toBe('accepted');
    expect(await codeOf(received(await sign(), { verb, data: 1 }))).toBe('body_mismatch');
    expect(await codeOf(received('', { verb }))).toBe('token_missing');
    const unsignable = { ...MESSAGE, verb, route: '' };
    await expect(herald.signMessage(unsignable, TARGET)).rejects.toThrow('cannot be signed');
    expect(events.decisions.map(({ type }) => type)).toEqual([
      'request_signed',
      'request_accepted',
      'request_signed',
      'request_refused',
      'request_refused',
      'signing_failed',
    ]);
    for (const event of events.decisions) expect(event).toMatchObject({ transport });
  });

  it.each(['', 'user\nget', 'user\u0080get'])('the pattern %j is not signed', async (route) => {
    await expect(herald.signMessage({ ...MESSAGE, route }, TARGET)).rejects.toMatchObject({
      code: 'message_unsignable',
    });
  });

  it.each<['SEND' | 'EMIT' | 'JOB', string]>([
    ['EMIT', 'accepted'],
    ['SEND', 'audience_mismatch'],
    ['JOB', 'audience_mismatch'],
  ])('%s for a topic: %s', async (verb, code) => {
    const target = { ...TARGET, audience: TOPIC };
    const { token } = await herald.signMessage({ ...MESSAGE, verb }, target);
    expect(await codeOf(received(token, { verb }))).toBe(code);
  });

  it('no token of a request passes for one of a message, nor the reverse', async () => {
    const service = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      targets: [{ baseUrl: CENSUS }],
      now,
    });
    const headers = {};
    const body = Buffer.alloc(0);
    const ofRequest = await service.sign({ method: 'GET', url: CENSUS, headers, body });
    // Its `req` begins with no word of messages, which is seen before its type is.
    expect(await codeOf(received(String(ofRequest)))).toBe('claim_invalid');
    const { token } = await herald.signMessage(MESSAGE, TARGET);
    const request = { method: 'GET', target: '/', rawHeaders: ['JWT', token], body };
    await expect(census.verify(request)).rejects.toMatchObject({ code: 'header_invalid' });
  });
});

describe('AnswerVerifier', () => {
  const about = { answerer: CENSUS, asker: HERALD, tokenId: 'the id of the message' };
  const keys = { find: async () => await Promise.resolve(verificationKey()) };
  const value = (text: string) => ({ text, isError: false, isEnd: false });
  const end = { text: undefined, isError: false, isEnd: true };

  it('believes the parts in their order, up to the end', async () => {
    const [signer, verifier] = [census.answerSigner(about), new AnswerVerifier(about, keys)];
    const nothing = { text: undefined, isError: false, isEnd: false };
    for (const part of [value('1'), nothing, value('2'), end]) {
      expect(await verifier.verify(await signer.sign(part), part.text)).toEqual(part);
    }
    expect(verifier.isComplete).toBe(true);
  });

  it.each<[string, (parts: string[]) => [string, string | undefined][], string]>([
    ['another text', ([one = '']) => [[one, '9']], 'answer_invalid'],
    ['no text', ([one = '']) => [[one, undefined]], 'answer_invalid'],
    [
      'a part twice',
      ([one = '']) => [
        [one, '1'],
        [one, '1'],
      ],
      'answer_mismatch',
    ],
    ['a part missing', ([, two = '']) => [[two, '2']], 'answer_mismatch'],
    [
      'something after the end',
      ([one = '', two = '', last = '']) => [
        [one, '1'],
        [two, '2'],
        [last, undefined],
        [last, undefined],
      ],
      'answer_mismatch',
    ],
    ['no token', () => [['x', '1']], 'answer_invalid'],
  ])('refuses %s', async (_what, send, code) => {
    const signer = census.answerSigner(about);
    const parts = [
      await signer.sign(value('1')),
      await signer.sign(value('2')),
      await signer.sign(end),
    ];
    const verifier = new AnswerVerifier(about, keys);
    const sent = send(parts);
    const last = sent.pop() ?? ['', undefined];
    for (const [token, text] of sent) await verifier.verify(token, text);
    await expect(verifier.verify(...last)).rejects.toMatchObject({ code });
  });

  it.each<[string, Partial<typeof about>, string]>([
    ['of another service', { answerer: HERALD }, 'answer_mismatch'],
    ['for another service', { asker: CENSUS }, 'answer_mismatch'],
    ['to another message', { tokenId: 'another id' }, 'answer_mismatch'],
  ])('refuses an answer %s', async (_what, change, code) => {
    const token = await census.answerSigner({ ...about, ...change }).sign(value('1'));
    await expect(new AnswerVerifier(about, keys).verify(token, '1')).rejects.toMatchObject({
      code,
    });
  });

  it('refuses an answer under a key that is not known, and one of a forger', async () => {
    const token = await census.answerSigner(about).sign(value('1'));
    const unknown = new AnswerVerifier(about, {
      find: async () => await Promise.resolve(undefined),
    });
    await expect(unknown.verify(token, '1')).rejects.toMatchObject({ code: 'answer_invalid' });
    const forged = await herald.answerSigner(about).sign(value('1'));
    const verifier = new AnswerVerifier(about, keys);
    await expect(verifier.verify(forged, '1')).rejects.toMatchObject({ code: 'answer_invalid' });
  });
});

function verificationKey() {
  return {
    keyId: censusKey.keyId,
    key: censusKey.publicKey,
    algorithms: new Set(['ES256'] as const),
  };
}
