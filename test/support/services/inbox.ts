import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import {
  All,
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
import { ServiceJwtGuard } from 'nestjs-service-auth';
import type { Adapter } from './service.js';

/** What a handler got of one request. */
export interface Received {
  /** What a parser made of the body; undefined where none did. */
  readonly body: unknown;
  readonly rawBody: unknown;
  /** What the handler read from the stream itself, where no parser had: that of a parser that hands one on, or the request. */
  readonly streamed: Buffer | undefined;
}

interface FrameworkRequest {
  readonly originalUrl: string;
  readonly raw?: IncomingMessage;
  readonly body?: unknown;
  readonly rawBody?: unknown;
  /** Of `@fastify/multipart`. */
  file?(): Promise<{ toBuffer(): Promise<Buffer> } | undefined>;
}

/** An application that remembers what its handlers received, by request target. */
export interface Inbox {
  readonly controllers: Type[];
  /** The one request a handler received for `target`; undefined where none ran. */
  take(target: string): Received | undefined;
}

/** Handlers on `/guarded`, `/twice` (two guards), `/open` (no guard) and `/upload` (guarded, multipart). */
export function createInbox(adapter: Adapter, only?: 'without the guard'): Inbox {
  const letters = new Map<string, Received>();

  async function receive(request: FrameworkRequest): Promise<object> {
    const { body: given, rawBody, originalUrl } = request;
    const stream = given instanceof Readable ? given : undefined;
    const body = stream ? undefined : given;
    const streamed = body === undefined ? await readAll(stream ?? rawOf(request)) : undefined;
    letters.set(originalUrl, { body, rawBody, streamed });
    return { received: true };
  }

  function receiveFile({ originalUrl, rawBody }: FrameworkRequest, file: unknown): object {
    letters.set(originalUrl, { body: file, rawBody, streamed: undefined });
    return { received: true };
  }

  @Controller()
  class InboxController {
    @All('guarded')
    @UseGuards(ServiceJwtGuard)
    async guarded(@Req() request: FrameworkRequest) {
      return await receive(request);
    }

    @All('twice')
    @UseGuards(ServiceJwtGuard, ServiceJwtGuard)
    async twice(@Req() request: FrameworkRequest) {
      return await receive(request);
    }
  }

  @Controller()
  class OpenController {
    @All('open')
    async open(@Req() request: FrameworkRequest) {
      return await receive(request);
    }
  }

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class MulterController {
    @Post('upload')
    @HttpCode(200)
    @UseInterceptors(FileInterceptor('file'))
    upload(
      @Req() request: FrameworkRequest,
      @UploadedFile() file: { readonly buffer: Buffer } | undefined,
    ): object {
      return receiveFile(request, file?.buffer);
    }
  }

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class FastifyMultipartController {
    @Post('upload')
    @HttpCode(200)
    async upload(@Req() request: FrameworkRequest) {
      const file = await request.file?.();
      return receiveFile(request, await file?.toBuffer());
    }
  }

  const uploads = adapter === 'express' ? MulterController : FastifyMultipartController;
  return {
    controllers: only ? [OpenController] : [OpenController, InboxController, uploads],
    take: (target) => {
      const letter = letters.get(target);
      letters.delete(target);
      return letter;
    },
  };
}

function rawOf(request: FrameworkRequest): AsyncIterable<Uint8Array> {
  return (request.raw ?? request) as AsyncIterable<Uint8Array>;
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
