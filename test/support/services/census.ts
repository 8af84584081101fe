import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  type DynamicModule,
  HttpCode,
  Inject,
  Injectable,
  Module,
  Param,
  Post,
  Put,
  Req,
  Res,
  UseGuards,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { ExternalContextCreator, NestFactory, RouterModule } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import type { Algorithm } from 'nestjs-service-auth/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ALGORITHMS } from '../../../lib/core/algorithms.js';
import { type Attempt, honestly } from '../attacks/attempt.js';
import { stoppedStore } from '../clocks/clocks.js';
import { createKey, type TestKey } from '../keys/keys.js';
import { ProvedRoutes } from './proved-routes.js';
import {
  type Adapter,
  startService,
  type TestService,
  type TestServiceOptions,
} from './service.js';

/** The service that is called in the tests of refusals, and those that call it. */
export const CENSUS = 'https://census.service/';
export const CENSUS_ALIAS = 'https://people.service/';
export const HERALD = 'https://herald.service/';
/** Another trusted service, with a key of another kind that may be used with `Ed25519` alone. */
export const SCRIBE = 'https://scribe.service/';
/** May speak for users under `https://census.service/user/` only. */
export const CLERK = 'https://clerk.service/';
/** Speaks the original profile. */
export const VETERAN = 'https://veteran.service/';
/** Has two keys, under key ids of its own choice. */
export const TWINS = 'https://twins.service/';
/** The same in the original profile. */
export const OLD_TWINS = 'https://old-twins.service/';
export const USER = 'https://census.service/user/canary-subject/';
export const CANARY = 'canary-claim-7c1f';

/** The clock of every service here stands still, so that tables can name times. */
export const NOW_SECONDS = 1_800_000_000;

export const heraldKey = createKey();
export const scribeKey = createKey('Ed25519');
export const censusKey = createKey();
export const strangerKey = createKey();
export const twinKey: TestKey = { ...createKey(), keyId: 'twin' };
export const accentedKey: TestKey = { ...createKey(), keyId: 'cl\u00e9' };
const rsaKey = createKey('RS256');
const keysByKind: Record<string, TestKey> = {
  ES256: heraldKey,
  ES384: createKey('ES384'),
  ES512: createKey('ES512'),
  EdDSA: scribeKey,
  Ed25519: scribeKey,
};

/** One key for every algorithm of the protocol, each under the issuer of {@link issuerFor}. */
export const keyFor = (algorithm: Algorithm): TestKey => ({
  ...(keysByKind[algorithm] ?? rsaKey),
  algorithm,
});
export const issuerFor = (algorithm: Algorithm): string =>
  `https://${algorithm.toLowerCase()}.signer.service/${algorithm}/`;
export const ALL_ALGORITHMS = Object.keys(ALGORITHMS) as Algorithm[];

const twinKeys = [twinKey, accentedKey].map(({ publicPem, keyId }) => ({
  publicKey: publicPem,
  keyId,
}));

const listed: TrustedIssuerOptions[] = [
  { issuer: HERALD, publicKey: heraldKey.publicPem },
  { issuer: SCRIBE, keys: [{ publicKey: scribeKey.publicPem, algorithms: ['Ed25519'] }] },
  {
    issuer: CLERK,
    publicKey: heraldKey.publicPem,
    subjects: ['https://census.service/user/', 'urn:census:'],
  },
  { issuer: TWINS, keys: twinKeys },
  { issuer: OLD_TWINS, keys: twinKeys, profile: 'original' },
  { issuer: VETERAN, publicKey: heraldKey.publicPem, profile: 'original' },
  ...ALL_ALGORITHMS.map((algorithm) => ({
    issuer: issuerFor(algorithm),
    keys: [{ publicKey: keyFor(algorithm).publicPem, algorithms: [algorithm] }],
  })),
];

/** Who may call, where nobody vouches for users. */
export const trustedIssuers: readonly TrustedIssuerOptions[] = listed.map((issuer) => ({
  ...issuer,
  subjectProof: { mode: 'off' },
}));

/** Authenticates users and vouches for those of Census; calls itself too. */
export const EDGE = 'https://edge.service/';
/** Vouches for users of Census, for one scope alone. Its key is of another kind. */
export const SCHEDULER = 'https://scheduler.service/';
/** Vouches for its own users, and may not call. */
export const PARTNER = 'https://partner.example/';
/** Vouches for its own users, and calls for them. */
export const BRANCH = 'https://branch.service/';
/** Must prove that its users asked, and never acts for itself. */
export const COURIER = 'https://courier.service/';
/** Must prove it, with grants of up to a day where a route takes them, and may act for itself. */
export const MAILER = 'https://mailer.service/';
export const TRUST_DOMAIN = 'https://test.example.org/';
export const DAY_SECONDS = 86_400;

export const edgeKey = createKey();
export const schedulerKey = createKey('Ed25519');
export const partnerKey = createKey();
export const branchKey = createKey();
export const courierKey = createKey();
export const mailerKey = createKey();

const CENSUS_USERS = 'https://census.service/user/';
const required = { mode: 'required', withoutSubject: 'refused' } as const;

/** The same services, and more that call, where some vouch for users. */
export const provingTrust = {
  trustDomain: TRUST_DOMAIN,
  originators: [
    { issuer: EDGE, subjects: [CENSUS_USERS, 'urn:census:'] },
    {
      issuer: SCHEDULER,
      publicKey: schedulerKey.publicPem,
      subjects: [CENSUS_USERS],
      scopes: ['digest:send', 'digest:read'],
    },
    { issuer: PARTNER, publicKey: partnerKey.publicPem, subjects: ['https://partner.example/'] },
    { issuer: BRANCH, subjects: ['https://branch.service/user/'] },
  ],
  trustedIssuers: [
    ...trustedIssuers,
    { issuer: EDGE, publicKey: edgeKey.publicPem, subjectProof: required },
    { issuer: COURIER, publicKey: courierKey.publicPem, subjectProof: required },
    {
      issuer: MAILER,
      publicKey: mailerKey.publicPem,
      subjectProof: { mode: 'required', withoutSubject: 'allowed', maxAgeSeconds: DAY_SECONDS },
    },
    {
      issuer: BRANCH,
      publicKey: branchKey.publicPem,
      subjects: ['https://branch.service/user/'],
      subjectProof: required,
    },
  ],
} as const satisfies Partial<ServiceAuthModuleOptions>;

/** The good request that every row changes. */
export const BASELINE: Attempt = {
  key: heraldKey,
  issuer: HERALD,
  audience: CENSUS,
  subject: USER,
  method: 'GET',
  target: '/api/thing/1',
  body: undefined,
  contentType: undefined,
  headers: {},
  madeFor: {},
  header: {},
  claims: { canary: CANARY },
  build: honestly,
  send: (token) => ({ JWT: token }),
  grant: undefined,
  sendGrant: (grant) => ({ 'Txn-Token': grant }),
};

/** A good request with a body that both frameworks parse. */
export const POSTED = {
  method: 'POST',
  target: '/api/thing',
  body: '{"name":"canary-body"}',
  contentType: 'application/json',
} as const;

/** A good request in the original profile: no `kid`, no times, no binding but the body's. */
export const ORIGINAL = {
  issuer: VETERAN,
  header: { kid: undefined, typ: 'JWT' },
  claims: { iat: undefined, exp: undefined, jti: undefined, req: undefined, hdr: undefined },
} as const;

@Controller('thing')
@UseGuards(ServiceJwtGuard)
class ThingController {
  @Get('for-user')
  @RequireSubject()
  forUser() {
    return 'for a user';
  }

  @Get('for-scribe')
  @AllowIssuers(SCRIBE)
  forScribe() {
    return 'for scribe';
  }

  @Get('anonymous')
  @OptionalServiceAuth()
  anonymous(@ServiceSubject({ optional: true }) subject?: string) {
    return { subject: subject ?? 'anonymous' };
  }

  @Get('cached')
  @Header('Cache-Control', 'public, max-age=60')
  cached() {
    return 'for everybody';
  }

  @Get('translated')
  @Header('Vary', 'Accept-Language')
  translated() {
    return 'in the language of the reader';
  }

  @Get('failing')
  fail() {
    throw new Error('canary-failure');
  }

  @Get('greedy')
  greedy(@ServiceCaller() caller: ServiceIdentity) {
    const claims = caller.claims as Record<string, unknown>;
    try {
      claims['admin'] = true;
    } catch {
      // Frozen: an assignment throws in strict mode.
    }
    return { admin: claims['admin'] ?? 'none', inherited: 'toString' in claims };
  }

  @Get(['tree/:one', 'tree/:one/:other'])
  tree() {
    return 'from the tree';
  }

  @Get(':id')
  find(@Param('id') id: string, @ServiceSubject({ optional: true }) subject?: string) {
    return { id, subject };
  }

  @Post()
  @HttpCode(201)
  create(@Body() body: unknown) {
    return { body };
  }

  @Put(':id')
  replace(@Param('id') id: string) {
    return { id };
  }

  @Delete(':id')
  remove(@Param('id') id: string) {
    return { id };
  }
}

@Controller({ path: 'versioned', version: ['1', VERSION_NEUTRAL] })
@UseGuards(ServiceJwtGuard)
class VersionedController {
  @Get()
  one() {
    return 'of a version';
  }

  @Get('neutral')
  neutral() {
    return 'of none';
  }
}

@Controller('nested')
@UseGuards(ServiceJwtGuard)
class NestedController {
  @Get()
  nested() {
    return 'below two modules';
  }
}

@Module({ controllers: [NestedController] })
class InnerModule {}

/** Stands for any handler that Nest runs outside its router, of a kind that the guard does not know. */
@Injectable()
class Resolver {
  @UseGuards(ServiceJwtGuard)
  resolve(): string {
    return 'resolved';
  }
}

/** Runs the resolver as a given type of context, the way modules of other transports do. */
@Controller('outcome')
class OutcomeController {
  constructor(
    @Inject(Resolver) private readonly resolver: Resolver,
    @Inject(ExternalContextCreator) private readonly contexts: ExternalContextCreator,
  ) {}

  @Get(':contextType')
  @UseGuards(ServiceJwtGuard)
  async outcome(
    @Param('contextType') contextType: string,
    @Req() request: object,
    @Res({ passthrough: true }) response: object,
  ): Promise<unknown> {
    const { resolver } = this;
    const handler = Reflect.get(resolver, 'resolve') as (...args: unknown[]) => unknown;
    const run = this.contexts.create(
      resolver,
      handler,
      'resolve',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      contextType,
    );
    return (await run(request, response)) as unknown;
  }
}

@Controller('proved')
@UseGuards(ServiceJwtGuard)
class ProvedController extends ProvedRoutes {}

@Controller('twice')
@UseGuards(ServiceJwtGuard)
class TwiceController {
  @Get()
  @UseGuards(ServiceJwtGuard, ServiceJwtGuard)
  guardedTwice() {
    return 'guarded three times, in fact';
  }
}

export interface CensusOptions {
  readonly adapter: Adapter;
  readonly options?: Partial<ServiceAuthModuleOptions>;
  readonly service?: Partial<TestServiceOptions>;
}

/** The service that is called, as a module. */
const metadataOf = (options?: CensusOptions['options']) => ({
  imports: [
    ServiceAuthModule.forRoot({
      issuer: CENSUS,
      audience: [CENSUS_ALIAS],
      signingKey: { privateKey: censusKey.privatePem },
      targets: [{ baseUrl: HERALD }],
      ...(options?.trustedIssuers ? {} : provingTrust),
      maxBufferedBodyBytes: 1024,
      now: () => NOW_SECONDS * 1000,
      replayStore: stoppedStore(),
      ...options,
    }),
    InnerModule,
    RouterModule.register([{ path: 'outer/inner', module: InnerModule }]),
  ],
  controllers: [
    ThingController,
    ProvedController,
    VersionedController,
    OutcomeController,
    TwiceController,
  ],
  providers: [Resolver],
});

/** Starts the service that is called, with the prefix `/api` and a clock that stands still. */
export async function startCensus({
  adapter,
  options,
  service,
}: CensusOptions): Promise<TestService> {
  return await startService({
    ...metadataOf(options),
    ...service,
    adapter,
    configure: async (app) => {
      app.setGlobalPrefix('api');
      if (adapter === 'fastify') leaveOtherBodiesUnread(app);
      await service?.configure?.(app);
    },
  });
}

/** What Express does by itself: a body that no parser takes reaches the handler as a stream. */
function leaveOtherBodiesUnread(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
}

@Module({})
class CensusModule {}

/** The same on Express, behind a server of the application's own that hands requests on. */
export async function startCensusBehind(
  front: (request: IncomingMessage, handOn: () => void) => void,
): Promise<Pick<TestService, 'port' | 'close'>> {
  const adapter = new ExpressAdapter();
  const module: DynamicModule = { module: CensusModule, ...metadataOf() };
  const app = await NestFactory.create(module, adapter, { logger: false, abortOnError: false });
  app.setGlobalPrefix('api');
  await app.init();
  const serve = adapter.getInstance<RequestListener>();
  const server = createServer((request, response) => {
    front(request, () => serve(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    await new Promise((resolve) => server.close(resolve));
    await app.close();
  };
  return { port, close };
}
