import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import {
  type IncomingRequest,
  type OutgoingRequest,
  type RequestBody,
  type ServiceAuthEvent,
  ServiceAuthUsageError,
} from 'nestjs-service-auth/core';
import { sha256 } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { createPeers, outgoing, type Peers, received, signed } from '../support/services/peers.js';

/** Stands in everything that is given: no message may quote it. */
const CANARY = 'canary-content';
const BYTES = Buffer.from(CANARY);

/** Bytes whose memory a transfer has taken away. */
function detached(): Uint8Array {
  const bytes = Uint8Array.from(BYTES);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** Bytes whose memory has become smaller than where they were. */
function shrunk(): unknown {
  return runInNewContext(
    'const buffer = new ArrayBuffer(8, { maxByteLength: 8 }); const bytes = new Uint8Array(buffer, 4, 4);' +
      'buffer.resize(2); bytes',
  );
}

function formData(): FormData {
  const form = new FormData();
  form.set(CANARY, CANARY);
  return form;
}

const { buffer } = Uint8Array.from(BYTES);
/** What is no bytes, with the kind that the message names. */
const NO_BYTES: [title: string, body: unknown, kind: string][] = [
  ['a string', CANARY, 'string'],
  ['an empty string', '', 'string'],
  ['a String object', Object(CANARY), 'String'],
  ['a parsed object', { name: CANARY }, 'Object'],
  [
    'a parsed object whose class is made up',
    JSON.parse(`{"constructor":{"name":"${CANARY}"}}`),
    'Object',
  ],
  ['an object without a prototype', Object.assign(Object.create(null), { CANARY }), 'object'],
  ['an empty object', {}, 'Object'],
  ['an array of bytes', [...BYTES], 'Array'],
  ['an empty array', [], 'Array'],
  ['an array of Buffers', [BYTES], 'Array'],
  ['a Buffer as JSON', BYTES.toJSON(), 'Object'],
  ['an ArrayBuffer', buffer, 'ArrayBuffer'],
  ['a SharedArrayBuffer', new SharedArrayBuffer(4), 'SharedArrayBuffer'],
  ['a DataView', new DataView(buffer), 'DataView'],
  ['a Uint8ClampedArray', new Uint8ClampedArray(buffer), 'Uint8ClampedArray'],
  ['an Int8Array', new Int8Array(buffer), 'Int8Array'],
  ['a Uint16Array', new Uint16Array(4), 'Uint16Array'],
  ['a Blob', new Blob([BYTES]), 'Blob'],
  ['a stream', Readable.from([BYTES]), 'Readable'],
  ['a stream of the web', new Blob([BYTES]).stream(), 'ReadableStream'],
  ['URLSearchParams', new URLSearchParams({ name: CANARY }), 'URLSearchParams'],
  ['FormData', formData(), 'FormData'],
  ['null', null, 'null'],
  ['undefined', undefined, 'undefined'],
  ['a number', 1, 'number'],
  ['zero', 0, 'number'],
  ['a bigint', 1n, 'bigint'],
  ['a boolean', false, 'boolean'],
  ['a symbol', Symbol(CANARY), 'symbol'],
  ['a function', () => BYTES, 'function'],
  ['a promise of bytes', Promise.resolve(BYTES), 'Promise'],
  ['an iterator of bytes', BYTES.values(), 'object'],
  ['what inherits from Uint8Array', Object.create(Uint8Array.prototype), 'Uint8Array'],
  ['a proxy of bytes', new Proxy(Uint8Array.from(BYTES), {}), 'Uint8Array'],
  ['a Map', new Map([[CANARY, CANARY]]), 'Map'],
];

const digestOfBytes = (): string => sha256(BYTES);
/** Body objects with one member that is not of its type. */
const NO_BODIES: [title: string, body: unknown, about: RegExp][] = [
  ['without digest', { hasContent: false }, /`body` must be/],
  [
    'with a digest that is no function',
    { hasContent: true, digest: digestOfBytes() },
    /`body` must/,
  ],
  ['without hasContent', { digest: digestOfBytes }, /`body.hasContent`/],
  ['with a number for hasContent', { hasContent: 0, digest: digestOfBytes }, /`body.hasContent`/],
  [
    'with a function for hasContent',
    { hasContent: () => true, digest: digestOfBytes },
    /hasContent/,
  ],
  [
    'with a promise for hasContent',
    { hasContent: Promise.resolve(true), digest: digestOfBytes },
    /hasContent/,
  ],
  [
    'with a settle that is no function',
    { hasContent: true, settle: true, digest: digestOfBytes },
    /`body.settle`/,
  ],
  ...[
    undefined,
    null,
    1,
    BYTES,
    Promise.resolve(undefined),
    '',
    CANARY,
    sha256(BYTES).toUpperCase(),
    sha256(BYTES).slice(2),
  ].map((answer): (typeof NO_BODIES)[number] => [
    `with a digest that answers ${typeof answer === 'string' ? `'${answer}'` : typeof answer}`,
    { hasContent: true, digest: () => answer },
    /`body.digest`/,
  ]),
  ['that forgets hasContent once it has settled', forgetful(), /`body.hasContent`/],
];

function forgetful(): unknown {
  const body: Record<string, unknown> = { hasContent: true, digest: digestOfBytes };
  body['settle'] = async () => {
    await setImmediate();
    body['hasContent'] = undefined;
  };
  return body;
}

/** Bytes, and what answers for them. */
const BODIES: [title: string, body: () => Uint8Array | RequestBody][] = [
  ['a Buffer', () => BYTES],
  ['a Uint8Array', () => Uint8Array.from(BYTES)],
  ['part of a larger one', () => Buffer.from(`<${CANARY}>`).subarray(1, -1)],
  ['bytes in shared memory', () => sharedBytes()],
  [
    'bytes of another realm',
    () => runInNewContext('Uint8Array.from(bytes)', { bytes: [...BYTES] }) as Uint8Array,
  ],
  ['a body object', () => ({ hasContent: true, digest: digestOfBytes })],
  [
    'a body object that answers later',
    () => ({
      hasContent: true,
      settle: async () => await setImmediate(),
      digest: async () => await Promise.resolve(digestOfBytes()),
    }),
  ],
];
const NO_CONTENT: [title: string, body: () => Uint8Array | RequestBody][] = [
  ['no bytes', () => new Uint8Array()],
  ['an empty Buffer', () => Buffer.alloc(0)],
  ['an empty part of bytes', () => BYTES.subarray(3, 3)],
  ['a body object without content', () => ({ hasContent: false, digest: () => sha256('') })],
];

function sharedBytes(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(BYTES.length));
  bytes.set(BYTES);
  return bytes;
}

describe('what is given to sign and verify', () => {
  const key = createKey();
  const events: ServiceAuthEvent[] = [];
  let peers: Peers;
  beforeAll(async () => {
    const observer = { observe: (event: ServiceAuthEvent) => void events.push(event) };
    peers = await createPeers(key, { herald: { observer }, census: { observer } });
  });
  beforeEach(() => events.splice(0));

  const good = (body: Uint8Array | RequestBody = BYTES): OutgoingRequest =>
    outgoing({ headers: {}, body });
  const empty = (): OutgoingRequest => good(new Uint8Array());

  /** Signs `request` with one member replaced. */
  const sign = async (changed: object, request = good()): Promise<unknown> =>
    await peers.herald.sign({ ...request, ...changed });

  /** Verifies what arrived, with a good token for `request`, with one member replaced. */
  const verify = async (changed: object, request = good()): Promise<unknown> => {
    const token = await signed(peers.herald, request);
    events.splice(0);
    return await peers.census.verify({ ...received(request, token), ...changed });
  };

  const expectUsageError = async (outcome: Promise<unknown>, about: RegExp): Promise<void> => {
    const error: unknown = await outcome.then(
      () => 'it was let through',
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ServiceAuthUsageError);
    const { message } = error as ServiceAuthUsageError;
    expect(message).toMatch(about);
    expect(message).not.toContain(CANARY);
  };
  const ofKind = (kind: string): RegExp =>
    new RegExp(`\`body\` must be .*Its kind is: ${kind}\\.$`);

  describe.each(NO_BYTES)('a body that is %s', (_title, body, kind) => {
    it('BB-61 is a mistake of the receiver, whatever the token says of the body', async () => {
      await expectUsageError(verify({ body }), ofKind(kind));
      await expectUsageError(verify({ body }, empty()), ofKind(kind));
      expect(events).toEqual([
        expect.objectContaining({ type: 'request_failed', reason: 'usage_error' }),
      ]);
    });

    it('OS-61 is not signed', async () => {
      await expectUsageError(sign({ body }), ofKind(kind));
      expect(events).toEqual([
        expect.objectContaining({ type: 'signing_failed', code: 'unexpected_error' }),
      ]);
    });
  });

  it.each([
    ['was transferred', detached],
    ['shrank', shrunk],
  ])('BB-61 OS-61 bytes whose memory %s are no empty body', async (_title, body) => {
    await expectUsageError(verify({ body: body() }, empty()), /has lost its bytes/);
    await expectUsageError(sign({ body: body() }), /has lost its bytes/);
  });

  it.each(NO_BODIES)('BB-62 OS-61 a body object %s', async (_title, body, about) => {
    await expectUsageError(verify({ body }), about);
    await expectUsageError(sign({ body }), about);
  });

  it.each(NO_BODIES.filter(([, , about]) => !about.source.includes('digest')).slice(0, -1))(
    'BB-62 a body object %s, before a token is looked at',
    async (_title, body, about) => {
      await expectUsageError(verify({ body, rawHeaders: [] }), about);
    },
  );

  it.each(BODIES)('BB-63 OS-62 %s is signed and verified', async (_title, body) => {
    expect(await verify({ body: body() })).toMatchObject({ issuer: 'https://herald.service/' });
    expect(await verify({}, good(body()))).toMatchObject({ claims: { bdy: sha256(BYTES) } });
    await expect(verify({ body: body() }, empty())).rejects.toMatchObject({
      code: 'claim_missing',
    });
    await expect(verify({ body: body() }, good(Buffer.from('other')))).rejects.toMatchObject({
      code: 'body_mismatch',
    });
  });

  it.each(NO_CONTENT)('BB-63 OS-62 %s is an empty body', async (_title, body) => {
    const identity = await verify({ body: body() }, good(body()));
    expect(identity).not.toHaveProperty('claims.bdy');
    await expect(verify({ body: body() })).rejects.toMatchObject({ code: 'body_mismatch' });
  });

  const rawHeaders = (change: (raw: readonly unknown[]) => unknown) => async () => {
    const token = await signed(peers.herald, good());
    const arrived = received(good(), token);
    return await peers.census.verify({
      ...arrived,
      rawHeaders: change(arrived.rawHeaders),
    } as IncomingRequest);
  };
  it.each<[title: string, change: (raw: readonly unknown[]) => unknown, about: RegExp]>([
    ['a value without a name', (raw) => [...raw, 'X-Odd'], /odd number/],
    ['a number', (raw) => [...raw, 'Content-Length', 14], /each item of `rawHeaders`.*number\.$/],
    [
      'a name without a value',
      (raw) => [...raw, 'X-Empty', undefined],
      /each item of `rawHeaders`/,
    ],
    ['pairs', (raw) => [[...raw]], /each item of `rawHeaders`.*Array\.$/],
    ['an object', () => ({ jwt: CANARY }), /`rawHeaders` must be an array.*Object\.$/],
    ['Headers', () => new Headers({ jwt: CANARY }), /`rawHeaders` must be an array.*Headers\.$/],
    ['a string', () => CANARY, /`rawHeaders` must be an array.*string\.$/],
    ['undefined', () => undefined, /`rawHeaders` must be an array.*undefined\.$/],
  ])('RB-61 rawHeaders with %s', async (_title, change, about) => {
    await expectUsageError(rawHeaders(change)(), about);
    expect(await rawHeaders((raw) => raw)()).toMatchObject({ issuer: 'https://herald.service/' });
  });

  it.each<[title: string, changed: object, about: RegExp]>([
    ['no method', { method: undefined }, /`method`.*undefined\.$/],
    ['a method that is an object', { method: { toString: () => 'POST' } }, /`method`.*Object\.$/],
    ['no target', { target: undefined }, /`target`.*undefined\.$/],
    ['a target that is a URL', { target: new URL(`https://${CANARY}/`) }, /`target`.*URL\.$/],
    ['a limit of NaN lines', { maxHeadersCount: Number.NaN }, /`maxHeadersCount`.*number\.$/],
    ['a limit below 0', { maxHeadersCount: -1 }, /`maxHeadersCount`.*number\.$/],
    ['a limit that is text', { maxHeadersCount: '2000' }, /`maxHeadersCount`.*string\.$/],
  ])('RB-61 a received request with %s', async (_title, changed, about) => {
    await expectUsageError(verify(changed), about);
    expect(await verify({ maxHeadersCount: 2000 })).toMatchObject({
      issuer: 'https://herald.service/',
    });
  });

  it.each([undefined, null, CANARY])('RB-61 OS-61 %p for a request', async (request) => {
    const given = request as unknown as IncomingRequest & OutgoingRequest;
    await expectUsageError(peers.census.verify(given), /the request must be an object/);
    await expectUsageError(peers.herald.sign(given), /the request must be an object/);
  });

  const type = { 'content-type': CANARY };
  it.each<[title: string, changed: object, about: RegExp]>([
    ['no method', { method: undefined }, /`method`.*undefined\.$/],
    ['no URL', { url: undefined }, /`url`.*undefined\.$/],
    ['a URL that is an object', { url: { href: CANARY } }, /`url`.*Object\.$/],
    ['no headers', { headers: undefined }, /`headers`.*undefined\.$/],
    ['null for headers', { headers: null }, /`headers`.*null\.$/],
    ['Headers', { headers: new Headers(type) }, /`headers`.*Headers\.$/],
    ['a Map of headers', { headers: new Map(Object.entries(type)) }, /`headers`.*Map\.$/],
    ['raw headers', { headers: Object.entries(type).flat() }, /`headers`.*Array\.$/],
    [
      'a header without a value',
      { headers: { 'content-type': undefined } },
      /each value.*undefined\.$/,
    ],
    ['a number for a header', { headers: { 'content-type': 1 } }, /each value.*number\.$/],
    ['numbers for a header', { headers: { 'content-type': [1] } }, /each value.*Array\.$/],
    [
      'text and a number for a header',
      { headers: { 'content-type': ['text/plain', 1] } },
      /each value.*Array\.$/,
    ],
    ['null for a user', { subject: null }, /`subject`.*null\.$/],
    ['a URL for a user', { subject: new URL(`https://${CANARY}/`) }, /`subject`.*URL\.$/],
    ['null for a grant', { grant: null }, /`grant`.*null\.$/],
  ])('OS-61 a request to sign with %s', async (_title, changed, about) => {
    await expectUsageError(sign(changed), about);
    expect(typeof (await sign({}))).toBe('string');
  });
});
