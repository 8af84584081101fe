// The application that every host runs.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import multipart from '@fastify/multipart';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  Inject,
  Injectable,
  Module,
  Post,
  Query,
  Req,
  UploadedFile,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { FileInterceptor } from '@nestjs/platform-express';
import type { FastifyInstance } from 'fastify';
import {
  MaxBodyBytes,
  OptionalServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';

const { FORMS = '', CENSUS_KEY = '', PEER_URL = '', RAW_BODY } = process.env;
const UPLOAD_BYTES = 4 * 1024 * 1024;

/** Express's request, or Fastify's with Node's in it. */
type FrameworkRequest = IncomingMessage & { raw?: Readable; user?: unknown };
type KeptRequest = IncomingMessage & { rawBody?: Buffer };
type FastifyUpload = IncomingMessage & { file(): Promise<{ toBuffer(): Promise<Buffer> }> };

@Controller()
@UseGuards(ServiceJwtGuard)
export class CallController {
  constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

  @Get('user')
  user(
    @ServiceSubject() subject: string,
    @Query() query: object,
    @Req() request: FrameworkRequest,
  ) {
    return { subject, query, user: request.user };
  }

  @Get('relay')
  async relay(@ServiceCaller() caller: ServiceIdentity) {
    const answer = await this.fetch(`${PEER_URL}/whoami`, onBehalfOf(caller));
    return { status: answer.status, ...((await answer.json()) as object) };
  }

  @Get('optional')
  @OptionalServiceAuth()
  optional(@ServiceSubject({ optional: true }) subject: string | undefined) {
    return { subject: subject ?? 'anonymous' };
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
export class BodyController {
  @Post('parsed')
  @HttpCode(200)
  parsed(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { body, subject };
  }

  @Post('bytes')
  @HttpCode(200)
  bytes(@Req() request: FrameworkRequest, @Body() body: unknown) {
    return describe(request, body);
  }

  @Post('large/bytes')
  @MaxBodyBytes(UPLOAD_BYTES)
  @HttpCode(200)
  largeBytes(@Req() request: FrameworkRequest, @Body() body: unknown) {
    return describe(request, body);
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
export class ExpressFormController {
  @Post('form')
  @HttpCode(200)
  @UseInterceptors(FileInterceptor('file'))
  form(@UploadedFile() file?: { buffer: Buffer }) {
    return digestOf(file?.buffer);
  }

  @Post('large/form')
  @MaxBodyBytes(UPLOAD_BYTES)
  @HttpCode(200)
  @UseInterceptors(FileInterceptor('file'))
  largeForm(@UploadedFile() file?: { buffer: Buffer }) {
    return digestOf(file?.buffer);
  }
}

/** Where the host has read the body, it is in `rawBody`, and there is no stream to read it from. */
@Controller()
@UseGuards(ServiceJwtGuard)
export class KeptFormController {
  @Post(['form', 'large/form'])
  @HttpCode(200)
  async form(@Req() request: KeptRequest & { raw?: KeptRequest }) {
    const { headers, rawBody } = request.raw ?? request;
    const type = { 'content-type': headers['content-type'] ?? '' };
    const form = await new Response(rawBody, { headers: type }).formData();
    const file = form.get('file');
    return digestOf(file instanceof Blob ? Buffer.from(await file.arrayBuffer()) : undefined);
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
export class FastifyFormController {
  @Post('form')
  @HttpCode(200)
  async form(@Req() request: FastifyUpload) {
    return digestOf(await (await request.file()).toBuffer());
  }

  @Post('large/form')
  @MaxBodyBytes(UPLOAD_BYTES)
  @HttpCode(200)
  async largeForm(@Req() request: FastifyUpload) {
    return digestOf(await (await request.file()).toBuffer());
  }
}

/** What Fastify needs to leave multipart and bytes unread. */
@Injectable()
export class FastifyUploads {
  constructor(@Inject(HttpAdapterHost) { httpAdapter }: HttpAdapterHost) {
    if (httpAdapter.getType() !== 'fastify') return;
    const fastify = httpAdapter.getInstance<FastifyInstance>();
    if (fastify.hasContentTypeParser('*')) return;
    void fastify.register(multipart, { limits: { fileSize: UPLOAD_BYTES } });
    const leave = (_request: unknown, _raw: unknown, done: (error: null) => void) => done(null);
    fastify.addContentTypeParser('application/octet-stream', leave);
  }
}

async function describe(request: FrameworkRequest, body: unknown) {
  if (body instanceof Buffer || typeof body === 'string') return digestOf(Buffer.from(body));
  return digestOf(await buffer(request.raw ?? request));
}

function digestOf(bytes: Buffer = Buffer.alloc(0)) {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const options: ServiceAuthModuleOptions = {
  issuer: 'https://census.service/',
  signingKey: { privateKey: CENSUS_KEY },
  trustedIssuers: [{ issuer: 'https://herald.service/', jwksUri: `${PEER_URL}/keys` }],
  userResolver: { resolveUser: (subject) => ({ uri: subject }) },
  targets: [{ baseUrl: `${PEER_URL}/`, audience: 'https://peer.service/' }],
};

/** The bytes that the host kept, as Google's Functions Framework names them. */
const kept = { rawBody: (request: KeptRequest) => request.rawBody };

const formControllers = {
  express: ExpressFormController,
  fastify: FastifyFormController,
  kept: KeptFormController,
};

function isFormReader(name: string): name is keyof typeof formControllers {
  return Object.hasOwn(formControllers, name);
}

@Module({
  imports: [
    ServiceAuthModule.forRoot(RAW_BODY ? Object.assign(options, kept) : options),
    ServiceFetchModule,
  ],
  controllers: [
    CallController,
    BodyController,
    ...(isFormReader(FORMS) ? [formControllers[FORMS]] : []),
  ],
  providers: [FastifyUploads],
})
export class AppModule {}
