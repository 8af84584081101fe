import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { HttpService } from '@nestjs/axios';
import {
  type ArgumentsHost,
  Body,
  type CanActivate,
  Catch,
  ConflictException,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Get,
  HttpException,
  type INestApplication,
  Inject,
  Injectable,
  Module,
  type PipeTransform,
  Post,
  type Provider,
  Req,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, HttpAdapterHost, REQUEST } from '@nestjs/core';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
  type ServiceUserResolver,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { forge, strictParts } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { callInMemory } from '../support/http/in-memory.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { rawRequest, useFirst } from '../support/services/middleware.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const OTHER_USER = 'https://census.service/user/42/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const stranger = new Caller('https://stranger.service/', CENSUS);
const options: ServiceAuthModuleOptions = {
  issuer: CENSUS,
  trustedIssuers: [herald.trusted, archive.trusted],
};
const serviceAuth = () => ServiceAuthModule.forRoot(options);
const applicationGuard: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };

/** The request as Express and Fastify both have it, with what applications put on it. */
type RequestWithUser = Record<'user', unknown>;
const userOf = (request: RequestWithUser) => ({
  hasUser: request.user !== undefined,
  user: request.user,
});

interface User {
  readonly uri: string;
  readonly roles: readonly string[];
}

@Injectable()
class UserDirectory {
  private readonly users = new Map<string, User>([
    [USER, { uri: USER, roles: ['clerk'] }],
    [OTHER_USER, { uri: OTHER_USER, roles: [] }],
  ]);

  async find(uri: string): Promise<User | null> {
    await setImmediate();
    return this.users.get(uri) ?? null;
  }
}

@Injectable()
class LoadUserPipe implements PipeTransform<string, Promise<User | null>> {
  constructor(@Inject(UserDirectory) private readonly directory: UserDirectory) {}

  async transform(subject: string): Promise<User | null> {
    return await this.directory.find(subject);
  }
}

class LastSegmentPipe implements PipeTransform<string | undefined, string | undefined> {
  transform(subject: string | undefined): string | undefined {
    return subject?.split('/').at(-2);
  }
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  /** Middleware that puts a user on the request before anything of Nest runs. */
  const presetUser =
    (user: (request: IncomingMessage) => unknown) =>
    (app: INestApplication): void =>
      useFirst(adapter, app, (request, _response, next) => {
        request.user = user(rawRequest(request));
        next();
      });

  describe('@ServiceSubject()', () => {
    @Controller('subject')
    @UseGuards(ServiceJwtGuard)
    class SubjectController {
      @Get('plain')
      plain(@ServiceSubject() subject: string) {
        return { subject };
      }
      @Get('pipe-class')
      pipeClass(@ServiceSubject(LastSegmentPipe) id: string) {
        return { id };
      }
      @Get('pipe-instance')
      pipeInstance(@ServiceSubject(new LastSegmentPipe()) id: string) {
        return { id };
      }
      @Get('two-pipes')
      twoPipes(
        @ServiceSubject(LastSegmentPipe, { transform: (id: string) => `#${id}` }) id: string,
      ) {
        return { id };
      }
      @Get('async-pipe')
      asyncPipe(@ServiceSubject(LoadUserPipe) user: User) {
        return { user };
      }
      @Get('optional')
      optional(@ServiceSubject({ optional: true }) subject: string | undefined) {
        return { isUndefined: subject === undefined, subject };
      }
      @Get('not-optional')
      notOptional(@ServiceSubject({ optional: false }) subject: string) {
        return { subject };
      }
      @Get('optional-pipe')
      optionalPipe(@ServiceSubject({ optional: true }, LastSegmentPipe) id: string | undefined) {
        return { isUndefined: id === undefined, id };
      }
      @Post('claimed')
      claimed(@Body() body: unknown, @ServiceSubject() subject: string) {
        return { subject, body };
      }
      @Get('claimed-optional')
      claimedOptional(@ServiceSubject({ optional: true }) subject?: string) {
        return { isUndefined: subject === undefined };
      }
    }
    @Controller('unguarded')
    class UnguardedController {
      @Get('subject')
      subject(@ServiceSubject() subject: string) {
        return { subject };
      }
      @Get('optional-subject')
      optionalSubject(@ServiceSubject({ optional: true }) subject?: string) {
        return { subject };
      }
      @Get('caller')
      caller(@ServiceCaller() caller: ServiceIdentity) {
        return { caller };
      }
    }

    let census: TestService;
    const logger = new LogRecorder();
    beforeAll(async () => {
      census = await startService({
        adapter,
        logger,
        imports: [serviceAuth()],
        controllers: [SubjectController, UnguardedController],
        providers: [UserDirectory],
        configure: presetUser(() => OTHER_USER),
      });
    });
    afterAll(async () => await census.close());

    it.each<[string, string, object]>([
      ['as it was signed', 'plain', { subject: USER }],
      ['through a pipe class', 'pipe-class', { id: '21' }],
      ['through a pipe instance', 'pipe-instance', { id: '21' }],
      ['through two pipes in their order', 'two-pipes', { id: '#21' }],
      ['through an async pipe that needs injection', 'async-pipe', { user: { uri: USER } }],
      ['where it is optional', 'optional', { isUndefined: false, subject: USER }],
      ['where it is said not to be optional', 'not-optional', { subject: USER }],
      ['where it is optional, through a pipe', 'optional-pipe', { isUndefined: false, id: '21' }],
    ])('injects the subject %s', async (_title, route, expected) => {
      const answer = await herald.get(census.port, `/subject/${route}`, USER);
      expect(answer).toMatchObject({ status: 200, json: expected });
    });

    it.each(['plain', 'pipe-class', 'pipe-instance', 'async-pipe', 'not-optional'])(
      'answers 403 subject_missing to a caller that acts for itself (%s)',
      async (route) => {
        expect(await herald.get(census.port, `/subject/${route}`)).toMatchObject({
          status: 403,
          code: 'subject_missing',
          json: { statusCode: 403, error: 'Forbidden' },
        });
      },
    );

    it.each(['optional', 'optional-pipe'])(
      'injects undefined for a caller that acts for itself where it is optional (%s)',
      async (route) => {
        expect(await herald.get(census.port, `/subject/${route}`)).toMatchObject({
          status: 200,
          json: { isUndefined: true },
        });
      },
    );

    it('TF-11, TF-12 never takes a subject from the body, the query, a header, or request.user', async () => {
      const target = `/subject/claimed?user=${OTHER_USER}&subject=${OTHER_USER}&sub=${OTHER_USER}`;
      const claimed = { user: OTHER_USER, sub: OTHER_USER, subject: OTHER_USER };
      const body = JSON.stringify(claimed);
      const headers = { user: OTHER_USER, sub: OTHER_USER, 'x-user': OTHER_USER };
      const request = { method: 'POST', target, body, contentType: 'application/json', headers };
      const answer = await herald.send(census.port, { ...request, subject: USER });
      expect(answer).toMatchObject({ status: 201, json: { subject: USER, body: claimed } });
      expect(await herald.send(census.port, request)).toMatchObject({ code: 'subject_missing' });
      const optional = { target: `/subject/claimed-optional?user=${OTHER_USER}`, headers };
      expect((await herald.send(census.port, optional)).json).toEqual({ isUndefined: true });
    });

    it.each(['subject', 'optional-subject', 'caller'])(
      'TF-10 on a route without a guard is a 500 whose log says what to add, token or not (%s)',
      async (route) => {
        const before = logger.texts('error').length;
        const target = `/unguarded/${route}`;
        const answers = [
          await call(census.port, { target, headers: { user: OTHER_USER } }),
          await herald.get(census.port, target, USER),
        ];
        for (const { status, text } of answers) {
          expect(status).toBe(500);
          expect(text).not.toMatch(/census|ServiceJwtGuard/);
        }
        const errors = logger.texts('error').slice(before);
        expect(errors).toHaveLength(2);
        for (const error of errors) {
          expect(error).toContain('@UseGuards(ServiceJwtGuard)');
          expect(error).toContain('{ provide: APP_GUARD, useExisting: ServiceJwtGuard }');
          expect(error).toContain(route === 'caller' ? '@ServiceCaller()' : '@ServiceSubject()');
        }
      },
    );
  });

  describe('@ServiceCaller()', () => {
    const mutations: [string, (caller: ServiceIdentity) => unknown][] = [
      ['the subject', (caller) => Object.assign(caller, { subject: OTHER_USER })],
      ['a new member', (caller) => Object.assign(caller, { admin: true })],
      ['a claim', (caller) => Object.assign(caller.claims, { sub: OTHER_USER })],
      ['a nested claim', (caller) => Object.assign(caller.claims['extra'] as object, { deep: 1 })],
      ['a list in a claim', (caller) => (caller.claims['list'] as unknown[]).push('admin')],
      [
        'a member of an object in a list',
        (caller) => Object.assign((caller.claims['list'] as object[])[1] ?? {}, { role: 'admin' }),
      ],
      ['the prototype', (caller) => void Object.setPrototypeOf(caller, { admin: true })],
    ];

    @Controller('caller')
    @UseGuards(ServiceJwtGuard)
    class CallerController {
      @Get()
      read(@ServiceCaller() caller: ServiceIdentity) {
        return caller;
      }
      @Get('mutate')
      mutate(@ServiceCaller() caller: ServiceIdentity) {
        const refused = mutations.map(([, mutate]) => {
          try {
            mutate(caller);
            return false;
          } catch (error) {
            return error instanceof TypeError;
          }
        });
        return { refused, caller };
      }
      @Get('merge')
      merge(@ServiceCaller() caller: ServiceIdentity) {
        const copy = Object.assign({}, caller.claims) as { admin?: unknown };
        const fresh = {} as { polluted?: unknown; admin?: unknown };
        return { inherits: [copy.admin, fresh.polluted, fresh.admin].some(Boolean) };
      }
    }

    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [CallerController],
      });
    });
    afterAll(async () => await census.close());

    const extraClaims = { extra: { deep: 0 }, list: ['a', { role: 'clerk' }] };

    it('injects the whole identity', async () => {
      const claims = { ...extraClaims, jti: 'a-token-id-of-some-length' };
      const now = Math.floor(Date.now() / 1000);
      const answer = await herald.send(census.port, {
        target: '/caller',
        subject: USER,
        claims: { ...claims, iat: now, exp: now + 30 },
      });
      expect(answer.json).toEqual({
        issuer: herald.issuer,
        audience: CENSUS,
        subject: USER,
        tokenId: claims.jti,
        issuedAtSeconds: now,
        expiresAtSeconds: now + 30,
        keyId: herald.key.keyId,
        profile: 'strict',
        claims: {
          ...claims,
          iss: herald.issuer,
          aud: CENSUS,
          sub: USER,
          iat: now,
          exp: now + 30,
          req: 'GET /caller',
        },
      });
    });

    it('has no subject for a caller that acts for itself', async () => {
      const { json } = await herald.get(census.port, '/caller');
      expect(json).toMatchObject({ issuer: herald.issuer, audience: CENSUS });
      expect(json).not.toHaveProperty('subject');
    });

    it(`is frozen: handlers cannot change ${mutations.map(([name]) => name).join(', ')}`, async () => {
      const request = { target: '/caller/mutate', subject: USER, claims: extraClaims };
      for (let times = 0; times < 2; times++) {
        const { json } = await herald.send(census.port, request);
        expect(json).toEqual({
          refused: mutations.map(() => true),
          caller: expect.objectContaining({
            subject: USER,
            claims: expect.objectContaining({ sub: USER, ...extraClaims }) as unknown,
          }) as unknown,
        });
      }
    });

    it.each<[string, string, unknown]>([
      ['__proto__', '"__proto__":{"admin":true}', { status: 401, code: 'claim_invalid' }],
      [
        'constructor.prototype',
        '"constructor":{"prototype":{"polluted":true}}',
        { status: 401, code: 'claim_invalid' },
      ],
      [
        'a nested __proto__',
        '"extra":{"__proto__":{"admin":true}}',
        { status: 401, code: 'claim_invalid' },
      ],
      ['prototype, an ordinary name', '"prototype":{"admin":true}', { status: 200 }],
    ])('claims called %s pollute nothing', async (_title, member, expected) => {
      const { header, claims } = strictParts({
        key: herald.key,
        issuer: herald.issuer,
        audience: CENSUS,
        subject: USER,
        target: '/caller/merge',
      });
      const payload = JSON.stringify(claims).replace(/}$/, `,${member}}`);
      const jwt = forge(header, payload, herald.key);
      const answer = await call(census.port, { target: '/caller/merge', headers: { jwt } });
      expect(answer).toMatchObject(expected as object);
      expect(answer.json?.['inherits'] ?? false).toBe(false);
      expect({}).not.toHaveProperty('polluted');
    });
  });

  describe('requirements', () => {
    const ok = () => ({ ok: true });

    @Controller('class-allows-herald')
    @AllowIssuers(herald.issuer)
    class ClassAllowsController {
      @Get('inherits')
      inherits() {
        return ok();
      }
      @Get('widens')
      @AllowIssuers(herald.issuer, archive.issuer)
      widens() {
        return ok();
      }
      @Get('disjoint')
      @AllowIssuers(archive.issuer)
      disjoint() {
        return ok();
      }
      @Get('same')
      @AllowIssuers(herald.issuer)
      same() {
        return ok();
      }
    }
    @Controller('method')
    class MethodController {
      @Get('any')
      any() {
        return ok();
      }
      @Get('archive')
      @AllowIssuers(archive.issuer)
      archiveOnly() {
        return ok();
      }
      @Get('both')
      @AllowIssuers(archive.issuer, herald.issuer)
      both() {
        return ok();
      }
      @Get('stranger')
      @AllowIssuers(stranger.issuer)
      strangerOnly() {
        return ok();
      }
      @Get('subject')
      @RequireSubject()
      subject() {
        return ok();
      }
    }
    @Controller('subclass')
    @AllowIssuers(archive.issuer, herald.issuer)
    class SubclassController extends ClassAllowsController {}
    /** As a decorator composed of others may come to name issuers again. */
    @Controller('class-twice')
    @AllowIssuers(archive.issuer, herald.issuer)
    @AllowIssuers(herald.issuer)
    class TwiceController {
      @Get()
      read() {
        return ok();
      }
      @Get('method')
      @AllowIssuers(archive.issuer)
      @AllowIssuers(archive.issuer, herald.issuer)
      method() {
        return ok();
      }
    }
    @Controller('class-subject')
    @RequireSubject()
    class SubjectClassController {
      @Get()
      read() {
        return ok();
      }
    }

    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [
          ClassAllowsController,
          SubclassController,
          TwiceController,
          MethodController,
          SubjectClassController,
        ],
        providers: [applicationGuard],
      });
    });
    afterAll(async () => await census.close());

    const allowed = { status: 200 };
    const notAllowed = { status: 403, code: 'issuer_not_allowed' };
    it.each<[string, string, object, object]>([
      ['no @AllowIssuers()', '/method/any', allowed, allowed],
      ['@AllowIssuers(archive) on the method', '/method/archive', notAllowed, allowed],
      ['@AllowIssuers(archive, herald) on the method', '/method/both', allowed, allowed],
      ['an issuer that is not trusted', '/method/stranger', notAllowed, notAllowed],
      ['@AllowIssuers(herald) on the class', '/class-allows-herald/inherits', allowed, notAllowed],
      ['the method repeats its class', '/class-allows-herald/same', allowed, notAllowed],
      ['the method cannot widen its class', '/class-allows-herald/widens', allowed, notAllowed],
      ['a subclass cannot widen the class it extends', '/subclass/inherits', allowed, notAllowed],
      ['two on one class intersect', '/class-twice', allowed, notAllowed],
      [
        'two on one method intersect, and with its class',
        '/class-twice/method',
        notAllowed,
        notAllowed,
      ],
      ['class and method intersect', '/class-allows-herald/disjoint', notAllowed, notAllowed],
    ])('%s', async (_title, target, forHerald, forArchive) => {
      expect(await herald.get(census.port, target, USER)).toMatchObject(forHerald);
      expect(await archive.get(census.port, target, USER)).toMatchObject(forArchive);
    });

    it('naming an issuer in @AllowIssuers() does not make it trusted', async () => {
      expect(await stranger.get(census.port, '/method/stranger', USER)).toMatchObject({
        status: 401,
        code: 'issuer_unknown',
      });
    });

    it('@AllowIssuers() without an issuer fails where it is written', () => {
      const write: (...issuers: string[]) => unknown = AllowIssuers as never;
      expect(() => write()).toThrow(/names nobody/);
      expect(() => write(herald.issuer)).not.toThrow();
    });

    it.each(['/method/subject', '/class-subject'])('@RequireSubject() %s', async (target) => {
      expect(await herald.get(census.port, target)).toMatchObject({
        status: 403,
        code: 'subject_missing',
      });
      expect(await herald.get(census.port, target, USER)).toMatchObject({ status: 200 });
    });

    it('a refusal by policy does not use the token up, nor does it admit it elsewhere', async () => {
      const headers = herald.headers({ target: '/method/archive', subject: USER });
      for (let times = 0; times < 2; times++) {
        expect(await call(census.port, { target: '/method/archive', headers })).toMatchObject(
          notAllowed,
        );
      }
    });
  });

  describe('route modes under a global guard', () => {
    const seen = (caller: ServiceIdentity | undefined, subject: string | undefined) => ({
      isAnonymous: caller === undefined,
      subject: subject ?? null,
    });

    @Controller('default')
    class DefaultController {
      @Get()
      read() {
        return { served: true };
      }
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {
        return { served: true };
      }
      @Get('skipped-guarded')
      @SkipServiceAuth()
      @UseGuards(ServiceJwtGuard)
      skippedGuarded() {
        return { served: true };
      }
      @Get('skipped-allow')
      @SkipServiceAuth()
      @AllowIssuers(herald.issuer)
      skippedAllow() {
        return { served: true };
      }
      @Get('skipped-subject')
      @SkipServiceAuth()
      @RequireSubject()
      skippedSubject() {
        return { served: true };
      }
      @Get('skipped-reads-subject')
      @SkipServiceAuth()
      skippedReadsSubject(@ServiceSubject({ optional: true }) subject?: string) {
        return { served: true, subject };
      }
      @Get('optional')
      @OptionalServiceAuth()
      optional(
        @ServiceCaller() caller: ServiceIdentity | undefined,
        @ServiceSubject({ optional: true }) subject: string | undefined,
      ) {
        return { served: true, ...seen(caller, subject) };
      }
      @Get('optional-allow')
      @OptionalServiceAuth()
      @AllowIssuers(herald.issuer)
      optionalAllow() {
        return { served: true };
      }
      @Get('optional-strict-subject')
      @OptionalServiceAuth()
      optionalStrictSubject(@ServiceSubject() subject: string) {
        return { served: true, subject };
      }
    }
    @Controller('skipped-class')
    @SkipServiceAuth()
    class SkippedController {
      @Get()
      read() {
        return { served: true };
      }
      @Get('guarded')
      @UseGuards(ServiceJwtGuard)
      guarded() {
        return { served: true };
      }
      @Get('required')
      @RequireServiceAuth()
      required() {
        return { served: true };
      }
      @Get('optional')
      @OptionalServiceAuth()
      optional(@ServiceCaller() caller: ServiceIdentity | undefined) {
        return { served: true, ...seen(caller, caller?.subject) };
      }
      @Get('allow')
      @AllowIssuers(herald.issuer)
      allow() {
        return { served: true };
      }
      @Get('subject')
      @RequireSubject()
      subject() {
        return { served: true };
      }
    }
    @Controller('optional-class')
    @OptionalServiceAuth()
    class OptionalController {
      @Get()
      read(@ServiceCaller() caller: ServiceIdentity | undefined) {
        return { served: true, ...seen(caller, caller?.subject) };
      }
      @Get('required')
      @RequireServiceAuth()
      required() {
        return { served: true };
      }
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {
        return { served: true };
      }
    }
    @Controller('required-class')
    @RequireServiceAuth()
    @UseGuards(ServiceJwtGuard)
    class RequiredController {
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {
        return { served: true };
      }
    }
    @Controller('allow-skipped-class')
    @SkipServiceAuth()
    @AllowIssuers(herald.issuer)
    class AllowSkippedController {
      @Get()
      read() {
        return { served: true };
      }
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {
        return { served: true };
      }
    }

    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [
          DefaultController,
          SkippedController,
          OptionalController,
          RequiredController,
          AllowSkippedController,
        ],
        providers: [applicationGuard],
      });
    });
    afterAll(async () => await census.close());

    const needsToken = { anonymous: 401, garbage: 401, good: 200 };
    const takesBoth = { anonymous: 200, garbage: 401, good: 200 };
    const looksAtNothing = { anonymous: 200, garbage: 200, good: 200 };
    it.each<[string, string, typeof needsToken]>([
      ['nothing said: a token is required', '/default', needsToken],
      ['@SkipServiceAuth() on the method', '/default/skipped', looksAtNothing],
      [
        '@SkipServiceAuth() beats @UseGuards on the method',
        '/default/skipped-guarded',
        looksAtNothing,
      ],
      ['@AllowIssuers() beats @SkipServiceAuth()', '/default/skipped-allow', needsToken],
      ['@RequireSubject() beats @SkipServiceAuth()', '/default/skipped-subject', needsToken],
      ['@OptionalServiceAuth() on the method', '/default/optional', takesBoth],
      ['@AllowIssuers() beats @OptionalServiceAuth()', '/default/optional-allow', needsToken],
      ['@SkipServiceAuth() on the class', '/skipped-class', looksAtNothing],
      [
        '@SkipServiceAuth() on the class beats @UseGuards on the method',
        '/skipped-class/guarded',
        looksAtNothing,
      ],
      [
        '@RequireServiceAuth() on the method beats @SkipServiceAuth() on the class',
        '/skipped-class/required',
        needsToken,
      ],
      [
        '@OptionalServiceAuth() on the method beats @SkipServiceAuth() on the class',
        '/skipped-class/optional',
        takesBoth,
      ],
      [
        '@AllowIssuers() on the method beats @SkipServiceAuth() on the class',
        '/skipped-class/allow',
        needsToken,
      ],
      [
        '@RequireSubject() on the method beats @SkipServiceAuth() on the class',
        '/skipped-class/subject',
        needsToken,
      ],
      ['@OptionalServiceAuth() on the class', '/optional-class', takesBoth],
      [
        '@RequireServiceAuth() on the method beats @OptionalServiceAuth() on the class',
        '/optional-class/required',
        needsToken,
      ],
      [
        '@SkipServiceAuth() on the method beats @OptionalServiceAuth() on the class',
        '/optional-class/skipped',
        looksAtNothing,
      ],
      [
        '@SkipServiceAuth() on the method beats @RequireServiceAuth() and @UseGuards on the class',
        '/required-class/skipped',
        looksAtNothing,
      ],
      [
        '@AllowIssuers() beats @SkipServiceAuth() on the same class',
        '/allow-skipped-class',
        needsToken,
      ],
      [
        '@AllowIssuers() on the class beats @SkipServiceAuth() on the method',
        '/allow-skipped-class/skipped',
        needsToken,
      ],
    ])('TF-14 %s', async (_title, target, expected) => {
      expect({
        anonymous: (await call(census.port, { target })).status,
        garbage: (await call(census.port, { target, headers: { jwt: 'garbage' } })).status,
        good: (await herald.get(census.port, target, USER)).status,
      }).toEqual(expected);
    });

    describe('@OptionalServiceAuth()', () => {
      const target = '/default/optional';

      it.each<[string, Record<string, string>]>([
        ['no token', {}],
        ['a blank header', { jwt: '' }],
        ['a header of white space', { jwt: '   ' }],
      ])('%s is anonymous', async (_title, headers) => {
        expect(await call(census.port, { target, headers })).toMatchObject({
          status: 200,
          json: { isAnonymous: true, subject: null },
          headers: { vary: expect.stringContaining('JWT') as unknown },
        });
      });

      it('a good token is its caller', async () => {
        expect((await herald.get(census.port, target, USER)).json).toEqual({
          served: true,
          isAnonymous: false,
          subject: USER,
        });
        expect((await herald.get(census.port, target)).json).toEqual({
          served: true,
          isAnonymous: false,
          subject: null,
        });
      });

      it.each<[string, () => Record<string, string | string[]>, string]>([
        ['a malformed token', () => ({ jwt: 'x' }), 'token_malformed'],
        ['two blank headers', () => ({ jwt: ['', ''] }), 'token_repeated'],
        [
          'two good tokens',
          () => ({ jwt: [herald.token({ target }), herald.token({ target })] }),
          'token_repeated',
        ],
        [
          'a token for another request',
          () => ({ jwt: herald.token({ target: '/default' }) }),
          'request_mismatch',
        ],
        ['an unknown issuer', () => ({ jwt: stranger.token({ target }) }), 'issuer_unknown'],
        [
          'an expired token',
          () => ({ jwt: herald.token({ target, claims: { iat: 1, exp: 61 } }) }),
          'token_expired',
        ],
      ])('%s is refused, never anonymous', async (_title, headers, code) => {
        expect(await call(census.port, { target, headers: headers() })).toMatchObject({
          status: 401,
          code,
        });
      });

      it('@ServiceSubject() without optional refuses the anonymous caller', async () => {
        const strict = '/default/optional-strict-subject';
        expect(await call(census.port, { target: strict })).toMatchObject({
          status: 403,
          code: 'subject_missing',
        });
        expect(await herald.get(census.port, strict, USER)).toMatchObject({
          status: 200,
          json: { subject: USER },
        });
      });
    });

    it('@SkipServiceAuth() proves nothing: reading the subject there is a 500, even with a good token', async () => {
      const target = '/default/skipped-reads-subject';
      expect(await call(census.port, { target })).toMatchObject({ status: 500 });
      expect(await herald.get(census.port, target, USER)).toMatchObject({ status: 500 });
    });
  });

  describe('userResolver', () => {
    const notAnError: unknown = 'the directory is down';
    let calls: { subject: string; issuer: string }[] = [];
    beforeEach(() => (calls = []));

    @Injectable()
    class DirectoryResolver implements ServiceUserResolver {
      constructor(@Inject(UserDirectory) private readonly directory: UserDirectory) {}

      async resolveUser(subject: string, { issuer }: ServiceIdentity): Promise<User | null> {
        calls.push({ subject, issuer });
        return await this.directory.find(subject);
      }
    }

    @Injectable()
    class AdapterAwareResolver implements ServiceUserResolver {
      constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}

      resolveUser(subject: string): User {
        calls.push({ subject, issuer: this.host.httpAdapter.getType() });
        return { uri: subject, roles: ['clerk'] };
      }
    }

    /** An application's own guard: it knows nothing of this library, only `request.user`. */
    @Injectable()
    class ClerkGuard implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        const { user } = context.switchToHttp().getRequest<{ user?: User }>();
        return user?.roles.includes('clerk') ?? false;
      }
    }

    @Controller('user')
    class UserController {
      @Get('me')
      me(@Req() request: RequestWithUser) {
        return userOf(request);
      }
      @Get('clerk')
      @UseGuards(ClerkGuard)
      clerk(@Req() request: RequestWithUser) {
        return userOf(request);
      }
      @Get('twice')
      @UseGuards(ServiceJwtGuard)
      twice(@Req() request: RequestWithUser) {
        return userOf(request);
      }
      @Get('optional')
      @OptionalServiceAuth()
      optional(@Req() request: RequestWithUser) {
        return userOf(request);
      }
    }

    @Module({
      providers: [UserDirectory, DirectoryResolver],
      exports: [UserDirectory, DirectoryResolver],
    })
    class DirectoryModule {}

    const withCensus = async <T>(
      imports: NonNullable<Parameters<typeof startService>[0]['imports']>,
      use: (port: number, census: TestService) => Promise<T>,
      logger?: LogRecorder,
    ): Promise<T> => {
      const census = await startService({
        adapter,
        imports,
        ...(logger ? { logger } : {}),
        controllers: [UserController],
        providers: [applicationGuard],
        configure: presetUser(() => ({ uri: OTHER_USER, roles: ['clerk', 'admin'] })),
      });
      try {
        return await use(census.port, census);
      } finally {
        await census.close();
      }
    };
    const withResolver = (userResolver: ServiceUserResolver | Type<ServiceUserResolver>) => [
      ServiceAuthModule.forRoot({ ...options, userResolver }),
    ];
    const alice = { hasUser: true, user: { uri: USER, roles: ['clerk'] } };

    const kinds: [string, () => Parameters<typeof withCensus>[0]][] = [
      [
        'a class that is a provider elsewhere',
        () => [DirectoryModule, ...withResolver(DirectoryResolver)],
      ],
      [
        'a class that is no provider, built with injection',
        () => withResolver(AdapterAwareResolver),
      ],
      [
        'an object',
        () =>
          withResolver({
            resolveUser: (subject, { issuer }) => {
              calls.push({ subject, issuer });
              return { uri: subject, roles: ['clerk'] };
            },
          }),
      ],
      [
        'an async object',
        () =>
          withResolver({
            resolveUser: async (subject, { issuer }) => {
              calls.push({ subject, issuer });
              await setImmediate();
              return { uri: subject, roles: ['clerk'] };
            },
          }),
      ],
      [
        'a provider injected into forRootAsync',
        () => [
          ServiceAuthModule.forRootAsync({
            imports: [DirectoryModule],
            inject: [DirectoryResolver],
            useFactory: (userResolver: DirectoryResolver) => ({ ...options, userResolver }),
          }),
        ],
      ],
      [
        'a class named in forRootAsync',
        () => [
          DirectoryModule,
          ServiceAuthModule.forRootAsync({
            useFactory: () => ({ ...options, userResolver: DirectoryResolver }),
          }),
        ],
      ],
    ];
    it.each(kinds)(
      'TF-12 %s: its result is request.user, resolved once',
      async (_title, imports) => {
        await withCensus(imports(), async (port) => {
          for (const route of ['me', 'clerk', 'twice']) {
            calls = [];
            const answer = await herald.get(port, `/user/${route}`, USER);
            expect(answer).toMatchObject({ status: 200, json: alice });
            expect(calls).toHaveLength(1);
            expect(calls[0]).toMatchObject({ subject: USER });
          }
        });
      },
    );

    it("an application's own role guard reads it", async () => {
      await withCensus([DirectoryModule, ...withResolver(DirectoryResolver)], async (port) => {
        expect(await herald.get(port, '/user/clerk', USER)).toMatchObject({ status: 200 });
        // The user that middleware had put there is a clerk, this one is not.
        expect(await herald.get(port, '/user/clerk', OTHER_USER)).toMatchObject({ status: 403 });
      });
    });

    it.each<[string, ServiceUserResolver['resolveUser'], object]>([
      ['gives a user', () => ({ uri: USER }), { status: 200 }],
      ['gives null', () => null, { status: 403, code: 'subject_unknown' }],
      ['gives undefined', () => undefined, { status: 403, code: 'subject_unknown' }],
      [
        'gives a promise of null',
        async () => await Promise.resolve(null),
        { status: 403, code: 'subject_unknown' },
      ],
      [
        'throws an HttpException',
        () => {
          throw new ConflictException('two of them');
        },
        { status: 409, json: { message: 'two of them' } },
      ],
      [
        'rejects with an HttpException',
        async () => await Promise.reject(new HttpException('gone', 410)),
        { status: 410 },
      ],
      [
        'throws an Error',
        () => {
          throw new Error('the directory is down');
        },
        { status: 500, json: { statusCode: 500, message: 'Internal server error' } },
      ],
      [
        'rejects with what is no Error',
        async () => await Promise.reject(notAnError),
        { status: 500 },
      ],
    ])('%s', async (_title, resolveUser, expected) => {
      await withCensus(withResolver({ resolveUser }), async (port) => {
        expect(await herald.get(port, '/user/me', USER)).toMatchObject(expected);
        expect(await herald.get(port, '/user/twice', USER)).toMatchObject(expected);
      });
    });

    it.each<[string, () => Promise<Record<string, string>>]>([
      [
        'for a caller that acts for itself',
        async () => {
          const jwt = herald.token({ target: '/user/optional' });
          return await Promise.resolve({ jwt });
        },
      ],
      ['for an anonymous caller', async () => await Promise.resolve({})],
    ])(
      'TF-12 is not called %s, who is no user: not even the one that middleware had set',
      async (_title, createHeaders) => {
        await withCensus([DirectoryModule, ...withResolver(DirectoryResolver)], async (port) => {
          const headers = await createHeaders();
          const answer = await call(port, { target: '/user/optional', headers });
          expect(answer).toMatchObject({ status: 200, json: { hasUser: false } });
          expect(calls).toEqual([]);
          expect(await herald.get(port, '/user/optional', USER)).toMatchObject({ json: alice });
        });
      },
    );

    it('is not called for a request that is refused', async () => {
      await withCensus([DirectoryModule, ...withResolver(DirectoryResolver)], async (port) => {
        const other = { target: '/user/me', signedTarget: '/user/you', subject: USER };
        expect(await herald.send(port, other)).toMatchObject({ status: 401 });
        expect(await call(port, { target: '/user/me' })).toMatchObject({ status: 401 });
        expect(calls).toEqual([]);
      });
    });

    it('leaves request.user alone where there is none', async () => {
      await withCensus([serviceAuth()], async (port) => {
        expect((await herald.get(port, '/user/me', USER)).json).toMatchObject({
          user: { uri: OTHER_USER },
        });
      });
    });

    it('a class that cannot be built fails the start and says so', async () => {
      await expect(
        withCensus(withResolver(DirectoryResolver), async () => await Promise.resolve()),
      ).rejects.toThrow(/UserDirectory/);
    });

    it('a request-scoped class fails the start: it would have no request', async () => {
      @Injectable({ scope: Scope.REQUEST })
      class RequestResolver implements ServiceUserResolver {
        constructor(@Inject(REQUEST) private readonly request: object) {}

        resolveUser(subject: string): User {
          return { uri: subject, roles: Object.keys(this.request) };
        }
      }
      @Module({ providers: [RequestResolver], exports: [RequestResolver] })
      class RequestResolverModule {}
      await expect(
        withCensus(
          [RequestResolverModule, ...withResolver(RequestResolver)],
          async () => await Promise.resolve(),
        ),
      ).rejects.toThrow(/request-scoped|scoped/i);
    });

    it('may itself call another service, on behalf of the user it looks up', async () => {
      const DIRECTORY = 'https://directory.service/';
      const censusKey = createKey();

      @Controller('users')
      class DirectoryController {
        @Get()
        @UseGuards(ServiceJwtGuard)
        find(@ServiceSubject() subject: string, @ServiceCaller() { issuer }: ServiceIdentity) {
          return { uri: subject, roles: ['clerk'], askedBy: issuer };
        }
      }
      const directory = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: DIRECTORY,
            trustedIssuers: [{ issuer: CENSUS, publicKey: censusKey.publicPem }],
          }),
        ],
        controllers: [DirectoryController],
      });

      @Injectable()
      class RemoteResolver implements ServiceUserResolver {
        constructor(@Inject(HttpService) private readonly http: HttpService) {}

        async resolveUser(): Promise<unknown> {
          return (await firstValueFrom(this.http.get<unknown>('/users'))).data;
        }
      }
      @Module({
        imports: [ServiceHttpModule.register({ baseURL: directory.url })],
        providers: [RemoteResolver],
      })
      class RemoteModule {}
      try {
        await withCensus(
          [
            RemoteModule,
            ServiceAuthModule.forRoot({
              ...options,
              signingKey: { privateKey: censusKey.privatePem },
              targets: [{ baseUrl: directory.url, audience: DIRECTORY }],
              userResolver: RemoteResolver,
            }),
          ],
          async (port) => {
            for (const uri of [USER, OTHER_USER]) {
              expect((await herald.get(port, '/user/me', uri)).json).toEqual({
                hasUser: true,
                user: { uri, roles: ['clerk'], askedBy: CENSUS },
              });
            }
          },
        );
      } finally {
        await directory.close();
      }
    });
  });

  describe('tokenAfterVerification', () => {
    let readEarly = false;
    /** Everything on a request that could hold a header. */
    const headersOf = (request: IncomingMessage) =>
      JSON.stringify([request.headers, request.rawHeaders, request.headersDistinct]);

    @Controller('headers')
    @UseGuards(ServiceJwtGuard)
    class HeadersController {
      @Get()
      read(@Req() request: { headers: object }) {
        const raw = rawRequest(request);
        return { headers: headersOf(raw) + JSON.stringify(request.headers), names: raw.headers };
      }
      @Get('throws')
      throws() {
        throw new ForbiddenException();
      }
    }

    @Catch()
    class HeadersFilter implements ExceptionFilter {
      constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}

      catch(error: unknown, host: ArgumentsHost) {
        const http = host.switchToHttp();
        const status = error instanceof HttpException ? error.getStatus() : 500;
        const body = { filtered: headersOf(rawRequest(http.getRequest<object>())) };
        this.host.httpAdapter.reply(http.getResponse(), body, status);
      }
    }

    const start = async (tokenAfterVerification: 'remove' | 'keep' | undefined) =>
      await startService({
        adapter,
        imports: [ServiceAuthModule.forRoot({ ...options, tokenAfterVerification })],
        controllers: [HeadersController],
        providers: [{ provide: APP_FILTER, useClass: HeadersFilter }],
        configure: presetUser((raw) => {
          if (readEarly) headersOf(raw);
        }),
      });

    describe.each([
      ['nothing had read them', false],
      ['middleware had read them before', true],
    ])('where %s', (_title, early) => {
      beforeEach(() => (readEarly = early));

      it.each<['remove' | 'keep' | undefined, boolean]>([
        [undefined, false],
        ['remove', false],
        ['keep', true],
      ])('TF-22 %s', async (option, isKept) => {
        const census = await start(option);
        try {
          const requests = ['/headers', '/headers/throws'].map((target) => ({
            target,
            jwt: herald.token({ target, subject: USER }),
          }));
          const refused = {
            target: '/headers',
            jwt: herald.token({ target: '/x', subject: USER }),
          };
          for (const { target, jwt } of [...requests, refused]) {
            const headers = { jwt, 'x-other': 'stays' };
            const [signature = ''] = jwt.split('.').toReversed();
            const { text } = await call(census.port, { target, headers });
            expect(text).toContain('stays');
            expect(text.includes(signature)).toBe(isKept);
            expect(text.includes(jwt)).toBe(isKept);
          }
        } finally {
          await census.close();
        }
      });
    });

    it('TF-22 removes it from in-memory requests as well', async () => {
      const census = await start(undefined);
      try {
        const jwt = herald.token({ target: '/headers', subject: USER });
        const answer = await callInMemory(census.app, { target: '/headers', headers: { jwt } });
        expect(answer.status).toBe(200);
        expect(JSON.stringify(answer.body)).not.toContain(jwt.split('.')[2]);
        expect(await callInMemory(census.app, { target: '/headers' })).toMatchObject({
          status: 401,
        });
      } finally {
        await census.close();
      }
    });
  });
});
