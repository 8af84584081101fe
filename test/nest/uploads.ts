import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  Controller,
  HttpCode,
  Post,
  Req,
  type Type,
  UploadedFile,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { FileInterceptor } from '@nestjs/platform-express';
import { MaxBodyBytes, ServiceJwtGuard } from 'nestjs-service-auth';
import type { Adapter } from '../support/services/service.js';
import type { BodyRequest } from '../support/tokens/signed-body.js';

export const KIB = 1024;
/** What the routes take, and what is kept in memory where they are tested. */
export const MAX_BODY = 1024 * KIB;
export const MAX_BUFFERED = 64 * KIB;

const BOUNDARY = 'a-boundary-that-occurs-nowhere-else';

/** Bytes of which no two pieces are the same, so that none can be lost or take another's place. */
export function content(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4)
    bytes.writeUInt32LE((at * 2654435761 + seed) >>> 0, at);
  return bytes;
}

export const binary = (body: Buffer): BodyRequest => ({
  method: 'POST',
  contentType: 'application/octet-stream',
  body,
});

/** A form with one file in it. */
export function form(file: Buffer): BodyRequest {
  const head =
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n` +
    'Content-Type: application/octet-stream\r\n\r\n';
  return {
    method: 'POST',
    contentType: `multipart/form-data; boundary=${BOUNDARY}`,
    body: Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]),
  };
}

export const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function digestOfStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

interface FrameworkRequest {
  readonly originalUrl: string;
  readonly raw?: IncomingMessage;
  /** Of `@fastify/multipart`. */
  file?(): Promise<{ readonly file: Readable; toBuffer(): Promise<Buffer> } | undefined>;
}

const rawOf = (request: FrameworkRequest): IncomingMessage =>
  request.raw ?? (request as unknown as IncomingMessage);

/** A way in which a handler reads the stream itself: the digest of what it got. */
type Reading = (raw: IncomingMessage) => Promise<string>;

/** Every way in which a stream can be read. */
export const READINGS = {
  'in a pipe': async (raw) => {
    const hash = createHash('sha256');
    await pipeline(raw, hash);
    return hash.digest('hex');
  },
  'in a pipe through others': async (raw) => {
    const through = raw.pipe(new PassThrough({ highWaterMark: 100 }));
    return await digestOfStream(through);
  },
  'in a loop': async (raw) => await digestOfStream(raw),
  'by events': async (raw) => {
    const hash = createHash('sha256');
    raw.on('data', (chunk: Buffer) => hash.update(chunk));
    await new Promise((resolve, reject) => raw.on('end', resolve).on('error', reject));
    return hash.digest('hex');
  },
  'by read()': async (raw) => {
    const hash = createHash('sha256');
    raw.on('readable', () => {
      for (let chunk: unknown = raw.read(); chunk !== null; chunk = raw.read()) {
        hash.update(chunk as Buffer);
      }
    });
    await new Promise((resolve, reject) => raw.on('end', resolve).on('error', reject));
    return hash.digest('hex');
  },
  'with pauses': async (raw) => {
    const hash = createHash('sha256');
    raw.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      raw.pause();
      setImmediate(() => raw.resume());
    });
    await new Promise((resolve, reject) => raw.on('end', resolve).on('error', reject));
    return hash.digest('hex');
  },
} as const satisfies Record<string, Reading>;

/** What handlers received, by request target. */
export interface Uploads {
  readonly controllers: Type[];
  /** The digest of what the one handler for `target` received; undefined where none ran. */
  take(target: string): string | undefined;
  /** Resolves when a handler has received something for `target`. */
  received(target: string): Promise<string>;
  close(): void;
}

/** The routes of {@link createUploads} that read the body in their handler: one for each of READINGS. */
export const readingPath = (reading: string): string => `/read/${reading.replaceAll(/\W+/g, '-')}`;

/** Guarded routes that take up to {@link MAX_BODY}, each of which does something else with it. */
export function createUploads(adapter: Adapter): Uploads {
  const received = new Map<string, string>();
  const waiting = new Map<string, (digest: string) => void>();
  const folder = mkdtempSync(join(tmpdir(), 'uploads-'));

  function note({ originalUrl }: FrameworkRequest, digest: string): object {
    received.set(originalUrl, digest);
    waiting.get(originalUrl)?.(digest);
    return { received: true };
  }

  @Controller()
  @UseGuards(ServiceJwtGuard)
  @MaxBodyBytes(MAX_BODY)
  class HandlerController {
    @Post('unread')
    @HttpCode(200)
    unread(@Req() request: FrameworkRequest): object {
      return note(request, 'not read');
    }

    @Post('throws')
    throws(@Req() request: FrameworkRequest): never {
      note(request, 'not read');
      throw new Error('of the handler');
    }

    @Post('rejects')
    async rejects(@Req() request: FrameworkRequest): Promise<never> {
      for await (const chunk of rawOf(request)) {
        note(request, `${(chunk as Buffer).length > 0}`);
        break; // which destroys the stream
      }
      throw new Error('of the handler');
    }

    @Post('read-in-part')
    async readInPart(@Req() request: FrameworkRequest): Promise<never> {
      const raw = rawOf(request);
      await new Promise((resolve) => raw.once('data', resolve));
      raw.pause();
      note(request, 'in part');
      throw new Error('of the handler');
    }

    /** Answers first and reads then. */
    @Post('early')
    @HttpCode(202)
    early(@Req() request: FrameworkRequest): object {
      const reading = READINGS['with pauses'](rawOf(request));
      reading.then(
        (digest) => note(request, digest),
        () => note(request, 'broken off'),
      );
      return { accepted: true };
    }

    @Post('smaller')
    @HttpCode(200)
    @MaxBodyBytes(MAX_BODY / 2)
    async smaller(@Req() request: FrameworkRequest): Promise<object> {
      return note(request, await READINGS['in a loop'](rawOf(request)));
    }

    @Post('tiny')
    @HttpCode(200)
    @MaxBodyBytes(KIB)
    async tiny(@Req() request: FrameworkRequest): Promise<object> {
      return note(request, await READINGS['in a loop'](rawOf(request)));
    }
  }

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class OrdinaryController {
    @Post('ordinary')
    @HttpCode(200)
    async ordinary(@Req() request: FrameworkRequest): Promise<object> {
      return note(request, await READINGS['in a loop'](rawOf(request)));
    }

    @Post('larger')
    @HttpCode(200)
    @MaxBodyBytes(MAX_BODY)
    async larger(@Req() request: FrameworkRequest): Promise<object> {
      return note(request, await READINGS['in a loop'](rawOf(request)));
    }
  }

  const readers = Object.entries(READINGS).map(([title, read]) => {
    @Controller(readingPath(title))
    @UseGuards(ServiceJwtGuard)
    @MaxBodyBytes(MAX_BODY)
    class ReadingController {
      @Post()
      @HttpCode(200)
      async read(@Req() request: FrameworkRequest): Promise<object> {
        return note(request, await read(rawOf(request)));
      }
    }
    return ReadingController;
  });

  @Controller('form')
  @UseGuards(ServiceJwtGuard)
  @MaxBodyBytes(MAX_BODY)
  class MulterController {
    @Post('memory')
    @HttpCode(200)
    @UseInterceptors(FileInterceptor('file'))
    memory(@Req() request: FrameworkRequest, @UploadedFile() file: { buffer: Buffer }): object {
      return note(request, digestOf(file.buffer));
    }

    @Post('disk')
    @HttpCode(200)
    @UseInterceptors(FileInterceptor('file', { dest: folder }))
    async disk(
      @Req() request: FrameworkRequest,
      @UploadedFile() file: { path: string },
    ): Promise<object> {
      return note(request, await digestOfStream(createReadStream(file.path)));
    }
  }

  @Controller('form')
  @UseGuards(ServiceJwtGuard)
  @MaxBodyBytes(MAX_BODY)
  class FastifyMultipartController {
    @Post('memory')
    @HttpCode(200)
    async memory(@Req() request: FrameworkRequest): Promise<object> {
      const part = await request.file?.();
      return note(request, digestOf((await part?.toBuffer()) ?? Buffer.alloc(0)));
    }

    @Post('disk')
    @HttpCode(200)
    async disk(@Req() request: FrameworkRequest): Promise<object> {
      const part = await request.file?.();
      const path = join(folder, `upload-${received.size}`);
      if (part) await pipeline(part.file, createWriteStream(path));
      return note(request, await digestOfStream(createReadStream(path)));
    }
  }

  const forms = adapter === 'express' ? MulterController : FastifyMultipartController;
  return {
    controllers: [HandlerController, OrdinaryController, ...readers, forms],
    take: (target) => {
      const digest = received.get(target);
      received.delete(target);
      return digest;
    },
    received: async (target) =>
      received.get(target) ?? (await new Promise((resolve) => waiting.set(target, resolve))),
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}
