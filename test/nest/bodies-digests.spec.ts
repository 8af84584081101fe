import { gzipSync } from 'node:zlib';
import { Controller, Post, Req, UseGuards } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { digest, forge, sha256, type Json } from '../support/tokens/forge.js';
import { createInbox, type Inbox } from '../support/services/inbox.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { type BodyRequest, bodyToken, sendBody } from '../support/tokens/signed-body.js';
import { expectVerdict } from '../support/http/verdict.js';

/** What `bdy` may be, and what parsers make of bodies that are signed as they are. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const veteran = new Caller('https://veteran.service/', CENSUS);
const KIB = 1024;
const JSON_TYPE = 'application/json';

const json = (body: string | Buffer, rest: Partial<BodyRequest> = {}): BodyRequest => ({
  method: 'POST',
  contentType: JSON_TYPE,
  body: Buffer.from(body),
  ...rest,
});
const small = json('{"name":"Ada Lovelace"}\n');
const text = (length: number): BodyRequest => ({
  method: 'POST',
  contentType: 'text/plain',
  body: Buffer.alloc(length, 'a'),
});

/** Read by a parser or by the guard (on Express, text is nobody's), kept whole or hashed as it comes. */
const BODIES: readonly (readonly [string, BodyRequest])[] = [
  ['small JSON', small],
  ['large JSON', json(`["${'x'.repeat(70 * KIB)}"]\n`)],
  ['large JSON in pieces', json(`["${'x'.repeat(90 * KIB)}"]\n`, { pieces: 9 })],
  ['small text', text(9)],
  ['large text', text(90 * KIB)],
];

let requests = 0;
const nextTarget = (): string => `/guarded?digest=${requests++}`;
const flip = (sent: BodyRequest): BodyRequest => {
  const body = Buffer.from(sent.body);
  const middle = body.length >> 1;
  body[middle] = (body[middle] ?? 0) ^ 1;
  return { ...sent, body };
};

/** A token in the format first published. */
const originalToken = (claims: Json): string =>
  forge(
    { alg: veteran.key.algorithm },
    { iss: veteran.issuer, aud: CENSUS, sub: 'https://census.service/user/1/', ...claims },
    veteran.key,
  );

describe.each(ADAPTERS)('on %s', (adapter) => {
  let service: TestService;
  let inbox: Inbox;

  @Controller('replaced')
  class ReplacedController {
    @Post()
    @UseGuards(ServiceJwtGuard)
    see(@Req() request: { readonly body: unknown }): object {
      return { code: JSON.stringify(request.body) };
    }
  }

  beforeAll(async () => {
    inbox = createInbox(adapter);
    service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, { ...veteran.trusted, profile: 'original' }],
        }),
      ],
      controllers: [...inbox.controllers, ReplacedController],
      configure: (app) => {
        const replace = (request: { url?: string; originalUrl?: string; body?: unknown }) => {
          if ((request.originalUrl ?? request.url)?.startsWith('/replaced')) request.body = 'other';
        };
        if (adapter === 'fastify') {
          const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
          fastify.addHook('preValidation', (request, _reply, done) => {
            replace(request);
            done();
          });
          return;
        }
        app.useBodyParser('json', { limit: '200kb' });
        app.use((request: { url?: string }, _response: unknown, next: () => void) => {
          replace(request);
          next();
        });
      },
    });
  });
  afterAll(() => service.close());

  const send = (target: string, sent: BodyRequest, token: string) =>
    sendBody(service.port, target, sent, token);

  async function expectRefused(target: string, sent: BodyRequest, token: string, code: string) {
    expectVerdict(await send(target, sent, token), { status: 401, code });
    expect(inbox.take(target)).toBeUndefined();
  }

  async function expectPasses(target: string, sent: BodyRequest, token: string) {
    expectVerdict(await send(target, sent, token), { status: 200 });
    const received = inbox.take(target);
    expect(received).toBeDefined();
    return received?.body;
  }

  describe.each(BODIES)('%s', (_title, sent) => {
    it.each(['sha256', 'sha384', 'sha512'])('is bound by %s', async (algorithm) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent, { bdy: digest(algorithm, sent.body) });
      await expectRefused(target, flip(sent), token, 'body_mismatch');
      await expectPasses(target, sent, token);
    });

    it.each(['md5', 'sha1', 'sha224'])('is not bound by %s (BB-13, BB-14)', async (algorithm) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent, { bdy: digest(algorithm, sent.body) });
      await expectRefused(target, sent, token, 'claim_invalid');
      await expectPasses(target, sent, bodyToken(herald, target, sent));
    });

    it.each(['md5', 'sha256', 'sha384', 'sha512'])(
      'is bound by %s in the original profile',
      async (algorithm) => {
        const target = nextTarget();
        const token = originalToken({ bdy: digest(algorithm, sent.body) });
        await expectRefused(target, flip(sent), token, 'body_mismatch');
        await expectRefused(target, sent, originalToken({}), 'claim_missing');
        await expectPasses(target, sent, token);
      },
    );
  });

  const right = sha256(small.body);
  it.each([
    ['in upper case (BB-11)', right.toUpperCase(), 'claim_invalid'],
    ['in base64 (BB-11)', Buffer.from(right, 'hex').toString('base64'), 'claim_invalid'],
    ['in base64url (BB-11)', Buffer.from(right, 'hex').toString('base64url'), 'claim_invalid'],
    ['with a space before it (BB-11)', ` ${right}`, 'claim_invalid'],
    ['with a line end after it (BB-11)', `${right}\n`, 'claim_invalid'],
    ['with the name of the digest before it (BB-11)', `sha256:${right}`, 'claim_invalid'],
    ['without its last character (BB-12)', right.slice(0, -1), 'claim_invalid'],
    ['cut to the length of another digest (BB-12)', right.slice(0, 32), 'claim_invalid'],
    ['of one character (BB-12)', right.slice(0, 1), 'claim_invalid'],
    ['of 5 kB (BB-12)', right.repeat(80), 'claim_invalid'],
    ['that is empty (BB-10)', '', 'claim_invalid'],
    ['that is a number (BB-11)', 5, 'claim_invalid'],
    ['that is a list (BB-11)', [right], 'claim_invalid'],
    ['that is null (BB-11)', null, 'claim_invalid'],
    ['of the parsed value (BB-15)', sha256('{"name":"Ada Lovelace"}'), 'body_mismatch'],
  ])('refuses a bdy %s', async (_title, bdy, code) => {
    const target = nextTarget();
    await expectRefused(target, small, bodyToken(herald, target, small, { bdy }), code);
    await expectPasses(target, small, bodyToken(herald, target, small));
  });

  it('leaves the reading of duplicate keys to the one parser there is (BB-16)', async () => {
    const sent = json('{"a":1,"a":2}');
    const target = nextTarget();
    expect(await expectPasses(target, sent, bodyToken(herald, target, sent))).toEqual({ a: 2 });
  });

  it('leaves "__proto__" to the parser: Express passes it on, Fastify answers 400 (BB-17)', async () => {
    const sent = json('{"__proto__":{"admin":true}}');
    const target = nextTarget();
    const token = bodyToken(herald, target, sent);
    if (adapter === 'fastify') {
      expect(await send(target, sent, token)).toMatchObject({ status: 400 });
      expect(inbox.take(target)).toBeUndefined();
      return;
    }
    const body = await expectPasses(target, sent, token);
    expect(Object.keys(body as object)).toEqual(['__proto__']);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('hashes the bytes of UTF-16, not what they say; Fastify answers 400 (BB-19)', async () => {
    const contentType = 'application/json; charset=utf-16le';
    const sent = json(Buffer.from('{"name":"Ada"}', 'utf16le'), { contentType });
    const target = nextTarget();
    const ofText = bodyToken(herald, target, sent, { bdy: sha256('{"name":"Ada"}') });
    const token = bodyToken(herald, target, sent);
    if (adapter === 'fastify') {
      expect(await send(target, sent, token)).toMatchObject({ status: 400 });
      return;
    }
    await expectRefused(target, sent, ofText, 'body_mismatch');
    expect(await expectPasses(target, sent, token)).toEqual({ name: 'Ada' });
  });

  it('never takes the decoded form of gzip for what was sent (BB-20)', async () => {
    const sent = json(gzipSync(small.body), { headers: { 'content-encoding': 'gzip' } });
    const target = nextTarget();
    const ofDecoded = bodyToken(herald, target, sent, { bdy: right });
    const answer = await send(target, sent, ofDecoded);
    expect(answer.status).toBe(adapter === 'fastify' ? 400 : 401);
    expect(answer.code).toBe(adapter === 'fastify' ? undefined : 'body_mismatch');
    expect(inbox.take(target)).toBeUndefined();
  });

  const bomb = gzipSync(Buffer.alloc(5000 * KIB, ' '));
  it.each([
    ['a gzip bomb (BB-21)', json(bomb, { headers: { 'content-encoding': 'gzip' } }), [413, 400]],
    [
      'a body over the limit of the parser (BB-22)',
      json(Buffer.alloc(2000 * KIB, ' ')),
      [413, 413],
    ],
    ['malformed JSON (BB-23)', json('{"name":'), [400, 400]],
  ])('leaves %s to the framework', async (_title, sent, statuses) => {
    const target = nextTarget();
    const answer = await send(target, sent, bodyToken(herald, target, sent));
    expect(answer.status).toBe(statuses[ADAPTERS.indexOf(adapter)]);
    expect(answer.code).not.toBe('body_unverifiable');
    expect(inbox.take(target)).toBeUndefined();
    const next = nextTarget();
    await expectPasses(next, small, bodyToken(herald, next, small));
  });

  it('proves the bytes, not what other code puts in their place (BB-29)', async () => {
    const target = `/replaced?digest=${requests++}`;
    const token = bodyToken(herald, target, small);
    expect(await send(target, flip(small), token)).toMatchObject({ code: 'body_mismatch' });
    expect(await send(target, small, token)).toMatchObject({ status: 201, code: '"other"' });
  });
});
