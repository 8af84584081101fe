import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import compress from '@fastify/compress';
import multipart from '@fastify/multipart';
import { UnsupportedMediaTypeException } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { fastify, type FastifyInstance } from 'fastify';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { createInbox, type Inbox, type Received } from '../support/services/inbox.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { type BodyRequest, bodyToken, sendBody } from '../support/tokens/signed-body.js';
import { form } from './uploads.js';
import { expectVerdict } from '../support/http/verdict.js';

/**
 * Coded bodies in front of decoders that run before the guard. What the handler gets is what was
 * signed, decoded or not, or the request is refused.
 */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);

const CODINGS = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  identity: (bytes: Buffer) => bytes,
} as const satisfies Record<string, (bytes: Buffer) => Buffer>;

type Coding = keyof typeof CODINGS;
const NAMES = Object.keys(CODINGS) as readonly Coding[];

interface Kind {
  readonly title: string;
  readonly path: '/guarded' | '/upload';
  readonly contentType: string;
  readonly plain: Buffer;
  /** What a handler gets of the plain bytes. */
  readonly decoded: unknown;
}

const file = Buffer.from('the bytes of a file');
const { contentType: formType = '', body: formBody } = form(file);
const text = Buffer.from('"some text"\n');

const JSON_KIND: Kind = {
  title: 'JSON',
  path: '/guarded',
  contentType: 'application/json',
  plain: Buffer.from('{"name":"Ada"}\n'),
  decoded: { name: 'Ada' },
};
const TEXT_KIND: Kind = {
  title: 'text',
  path: '/guarded',
  contentType: 'text/plain',
  plain: text,
  decoded: text.toString(),
};
const BYTES_KIND: Kind = {
  title: 'bytes',
  path: '/guarded',
  contentType: 'application/octet-stream',
  plain: file,
  decoded: file,
};
const FORM_KIND: Kind = {
  title: 'a form',
  path: '/upload',
  contentType: formType,
  plain: formBody,
  decoded: file,
};
const STREAM_KIND: Kind = {
  title: 'a stream that the handler reads',
  path: '/guarded',
  contentType: 'application/vnd.scan',
  plain: file,
  decoded: file,
};
const KINDS = [JSON_KIND, TEXT_KIND, BYTES_KIND, FORM_KIND, STREAM_KIND];

/** Where the decoders are: before the guard, in front of a parser or of the handler. Express has none for streams. */
const hasDecoder = (adapter: Adapter, kind: Kind): boolean =>
  adapter === 'fastify' || (kind !== FORM_KIND && kind !== STREAM_KIND);

/** Before 5.12.6, Fastify compares Content-Length with what the decoded text has in bytes: other text than UTF-8 is 400. */
const [major = 0, minor = 0, patch = 0] = fastify().version.split('.').map(Number);
const isTextCounted = major === 5 && (minor < 12 || (minor === 12 && patch < 6));

/** What is still coded is no JSON, and no UTF-8. */
const isRefusedByParser = (adapter: Adapter, kind: Kind): boolean =>
  kind === JSON_KIND || (kind === TEXT_KIND && adapter === 'fastify' && isTextCounted);

/** Whether somebody reads the body to its end before the guard runs. */
const isParsed = (kind: Kind): boolean => kind !== FORM_KIND && kind !== STREAM_KIND;

type Outcome = 'header_mismatch' | 400 | 415;

interface Change {
  readonly title: string;
  /** The Content-Encoding that is signed; undefined: none. */
  readonly signed: (coding: Coding) => string | undefined;
  readonly sent: (coding: Coding) => string | string[] | undefined;
  /** The bytes that are sent; default: those that were signed. */
  readonly body?: (kind: Kind) => Buffer;
  /** What answers: the guard, or before it the decoder of Express, the one of Fastify. Written before the first run. */
  readonly outcome: { readonly express: Outcome; readonly fastify: Outcome };
}

const itself = (coding: Coding): string => coding;
const absent = (): undefined => undefined;
const mismatch = 'header_mismatch';
const byTheGuard = { express: mismatch, fastify: mismatch } as const;
const byTheDecoder = { express: 415, fastify: 415 } as const;

const CHANGES: readonly Change[] = [
  { title: 'added', signed: absent, sent: itself, outcome: byTheGuard },
  { title: 'removed', signed: itself, sent: absent, outcome: byTheGuard },
  {
    title: 'removed and the bytes decoded',
    signed: itself,
    sent: absent,
    body: ({ plain }) => plain,
    outcome: byTheGuard,
  },
  {
    title: 'exchanged for another',
    signed: itself,
    sent: (coding) => (coding === 'gzip' ? 'br' : 'gzip'),
    outcome: { express: 400, fastify: 400 },
  },
  {
    title: 'doubled',
    signed: itself,
    sent: (coding) => `${coding}, ${coding}`,
    outcome: byTheDecoder,
  },
  {
    title: 'in two lines',
    signed: itself,
    sent: (coding) => [coding, coding],
    outcome: byTheDecoder,
  },
  {
    title: 'followed by an empty line',
    signed: itself,
    sent: (coding) => [coding, ''],
    outcome: byTheDecoder,
  },
  {
    // Express knows codings in any case, @fastify/compress in lower case alone.
    title: 'in upper case',
    signed: itself,
    sent: (coding) => coding.toUpperCase(),
    outcome: { express: mismatch, fastify: 415 },
  },
];

function refusalOf(adapter: Adapter, kind: Kind, coding: Coding, change: Change): Outcome {
  const isStillCoded = coding !== 'identity' && change.title === 'removed';
  if (isStillCoded && isRefusedByParser(adapter, kind)) return 400;
  if (!hasDecoder(adapter, kind)) return mismatch;
  const outcome = change.outcome[adapter];
  // The bytes are decoded when they are read, which the guard comes before.
  return outcome === 400 && !isParsed(kind) ? mismatch : outcome;
}

let requests = 0;

const coded = (kind: Kind, coding: string | string[] | undefined, body: Buffer): BodyRequest => ({
  method: 'POST',
  contentType: kind.contentType,
  headers: coding === undefined ? {} : { 'Content-Encoding': coding },
  body,
});

const CONFIGURE = {
  express: (app: NestExpressApplication) => {
    app.useBodyParser('json');
    app.useBodyParser('text');
    app.useBodyParser('raw', { type: BYTES_KIND.contentType });
  },
  fastify: async (app: NestFastifyApplication) => {
    // Nest answers 500 to an error of the plugin's own.
    const onUnsupportedRequestEncoding = () => new UnsupportedMediaTypeException();
    await app.register(compress as never, { onUnsupportedRequestEncoding });
    await app.register(multipart as never);
    const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
    fastify.addContentTypeParser(
      BYTES_KIND.contentType,
      { parseAs: 'buffer' },
      (_request, body, done) => done(null, body),
    );
    fastify.addContentTypeParser('*', (_request, stream, done) => done(null, stream));
  },
};

describe.each(ADAPTERS)('on %s', (adapter) => {
  let service: TestService;
  let inbox: Inbox;

  beforeAll(async () => {
    inbox = createInbox(adapter);
    service = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] })],
      controllers: inbox.controllers,
      configure: CONFIGURE[adapter],
    });
  });
  afterAll(() => service.close());

  async function send(kind: Kind, signed: BodyRequest, sent: BodyRequest) {
    const target = `${kind.path}?request=${requests++}`;
    const answer = await sendBody(service.port, target, sent, bodyToken(herald, target, signed));
    return { answer, received: inbox.take(target) };
  }

  const contentOf = ({ body, streamed }: Received): unknown => streamed ?? body;

  function expectRefused(outcome: Outcome, { answer, received }: Awaited<ReturnType<typeof send>>) {
    expect(received).toBeUndefined();
    if (outcome === mismatch) expectVerdict(answer, { status: 401, code: outcome });
    else expectVerdict(answer, { status: outcome });
  }

  describe.each(KINDS)('$title', (kind) => {
    describe.each(NAMES)('in %s', (coding) => {
      const body = CODINGS[coding](kind.plain);
      const asSigned = coded(kind, coding, body);

      if (kind !== FORM_KIND || coding === 'identity') {
        it('CH-13 reaches the handler as signed, decoded where there is a decoder', async () => {
          const { answer, received } = await send(kind, asSigned, asSigned);
          expectVerdict(answer, { status: 200 });
          const isPlain = coding === 'identity' || hasDecoder(adapter, kind);
          const expected = isPlain ? kind.decoded : body;
          expect(received && contentOf(received)).toEqual(expected);
        });
      } else {
        // Multer and @fastify/multipart read the request itself, whatever its coding.
        it('CH-13 as signed leaves the handler no file, since no reader of forms decodes', async () => {
          const { answer, received } = await send(kind, asSigned, asSigned);
          expectVerdict(answer, { status: adapter === 'express' ? 400 : 200 });
          expect(received && contentOf(received)).toBeUndefined();
        });
      }

      it.each(CHANGES)('CH-13 is refused with the coding $title', async (change) => {
        const signed = coded(kind, change.signed(coding), body);
        const sent = coded(kind, change.sent(coding), change.body?.(kind) ?? body);
        const outcome = refusalOf(adapter, kind, coding, change);
        expectRefused(outcome, await send(kind, signed, sent));
      });
    });

    describe('in gzip twice', () => {
      const twice = gzipSync(gzipSync(kind.plain));
      const asSigned = coded(kind, 'gzip, gzip', twice);

      it('CH-13 as signed reaches no handler undone by half', async () => {
        const { answer, received } = await send(kind, asSigned, asSigned);
        if (hasDecoder(adapter, kind)) expectVerdict(answer, { status: 415 });
        else if (kind === FORM_KIND) expectVerdict(answer, { status: 400 });
        else expect(received && contentOf(received)).toEqual(twice);
        expect(received === undefined).toBe(answer.status !== 200);
      });

      it('CH-13 is refused with the coding once', async () => {
        const outcome = kind === JSON_KIND ? 400 : mismatch;
        expectRefused(outcome, await send(kind, asSigned, coded(kind, 'gzip', twice)));
      });
    });
  });

  it('CH-13 a .gz file that was sent as it is stays as it is', async () => {
    const archive = gzipSync(file);
    const signed = coded(BYTES_KIND, undefined, archive);
    expectRefused(mismatch, await send(BYTES_KIND, signed, coded(BYTES_KIND, 'gzip', archive)));
    const { answer, received } = await send(BYTES_KIND, signed, signed);
    expectVerdict(answer, { status: 200 });
    expect(received && contentOf(received)).toEqual(archive);
  });
});
