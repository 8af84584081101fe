import {
  Body,
  Controller,
  type DynamicModule,
  ForbiddenException,
  Get,
  Inject,
  Module,
  Param,
  Post,
  UseGuards,
} from '@nestjs/common';
import type { ServiceAuthOptions, ServiceIdentity } from '../core/index.js';
import { onBehalfOf } from '../for-whom/call-options.js';
import { RequireSubject } from '../for-whom/require-subject.decorator.js';
import { ServiceCallContext } from '../for-whom/service-call.context.js';
import { ServiceCaller } from '../for-whom/service-caller.decorator.js';
import { ServiceSubject } from '../for-whom/service-subject.decorator.js';
import { ServiceAuthModule } from '../nest/service-auth.module.js';
import { ServiceJwtGuard } from '../nest/service-jwt.guard.js';
import { ServiceFetch } from '../nest/fetch/service-fetch.js';
import { ServiceFetchModule } from '../nest/fetch/service-fetch.module.js';

/** What tokens say in `iss` and `aud`. The three listen on 127.0.0.1. */
export const URIS = {
  edge: 'https://edge.service/',
  herald: 'https://herald.service/',
  census: 'https://census.service/',
} as const;

export type DemoService = keyof typeof URIS;

/** The URI of a user begins with this. */
export const USERS = `${URIS.census}user/`;
/** The user who is logged in at Edge: may read every user. */
export const OPERATOR = `${USERS}21/`;
const SCOPE = 'notification:create';

/** Where each service listens, with a final slash. */
export type BaseUrls = Readonly<Record<DemoService, string>>;

const BASE_URLS = Symbol('BASE_URLS');

/** Users log in here. In this demo user 21 is logged in already: your own session takes this place. */
@Controller('welcome')
class WelcomeController {
  constructor(
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
    @Inject(ServiceCallContext) private readonly calls: ServiceCallContext,
    @Inject(BASE_URLS) private readonly urls: BaseUrls,
  ) {}

  @Post()
  async welcome(@Body() order: unknown): Promise<unknown> {
    const body = JSON.stringify(order);
    const headers = { 'content-type': 'application/json' };
    const call = { method: 'POST', headers, body };
    return await this.calls.runOnBehalfOf(
      OPERATOR,
      async () => await answerOf(this.fetch(`${this.urls.herald}notification/`, call)),
      { originate: { scope: SCOPE } },
    );
  }
}

/** Notifies a user. Census decides who may read that user: it is asked for the user of the caller. */
@Controller('notification')
@UseGuards(ServiceJwtGuard)
@RequireSubject()
class NotificationController {
  constructor(
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
    @Inject(BASE_URLS) private readonly urls: BaseUrls,
  ) {}

  @Post()
  async notify(@Body() order: unknown, @ServiceCaller() caller: ServiceIdentity): Promise<unknown> {
    const { user } = Object(order) as { user?: unknown };
    const id = /^https:\/\/census\.service\/user\/(\d{1,9})\/$/.exec(String(user))?.[1] ?? '0';
    const found = await answerOf(this.fetch(`${this.urls.census}user/${id}/`, onBehalfOf(caller)));
    return { notified: found };
  }
}

/** Knows the users: everybody may read themself, the operator may read everybody. */
@Controller('user')
@UseGuards(ServiceJwtGuard)
@RequireSubject()
class UserController {
  @Get(':id')
  find(@Param('id') id: string, @ServiceSubject() subject: string): object {
    const uri = `${USERS}${id}/`;
    if (subject !== uri && subject !== OPERATOR) throw new ForbiddenException();
    return { uri, email: `user${id}@census.service` };
  }
}

/** @throws ForbiddenException when the service that was called does not answer with success */
async function answerOf(call: Promise<Response>): Promise<unknown> {
  const response = await call;
  if (!response.ok) throw new ForbiddenException('A service that was called does not allow this.');
  return (await response.json()) as unknown;
}

/** One application. Which one it is, its controllers and options say. */
@Module({})
export class DemoApplication {}

/** @param keys the private key of each service that calls: PKCS#8 PEM */
export function applicationOf(
  service: DemoService,
  urls: BaseUrls,
  keys: Readonly<Record<'edge' | 'herald', string>>,
): DynamicModule {
  const controllers = {
    edge: [WelcomeController],
    herald: [NotificationController],
    census: [UserController],
  }[service];
  return {
    module: DemoApplication,
    imports: [
      ServiceAuthModule.forRoot(optionsOf(service, urls, keys)),
      ...(service === 'census' ? [] : [ServiceFetchModule.register({})]),
    ],
    controllers,
    providers: [{ provide: BASE_URLS, useValue: urls }],
  };
}

/** What tokens and grants carry between the services: one environment, one originator. */
const TRUST_DOMAIN = 'https://demo.example/';

/** Edge makes grants. Herald and Census ask for them: a caller must prove that the user asked. */
function optionsOf(
  service: DemoService,
  urls: BaseUrls,
  keys: Readonly<Record<'edge' | 'herald', string>>,
): ServiceAuthOptions {
  const trustDomain = TRUST_DOMAIN;
  const subjects = [USERS];
  const jwksUriOf = (caller: 'edge' | 'herald') => `${urls[caller]}.well-known/jwks.json`;
  const trust = (caller: 'edge' | 'herald') => ({
    issuer: URIS[caller],
    jwksUri: jwksUriOf(caller),
    subjects,
    subjectProof: { mode: 'required', withoutSubject: 'refused' } as const,
  });
  const originators = [{ issuer: URIS.edge, jwksUri: jwksUriOf('edge'), subjects }];
  const target = (called: 'herald' | 'census') => ({
    baseUrl: urls[called],
    audience: URIS[called],
  });
  switch (service) {
    case 'edge':
      return {
        ...signerOf('edge', keys.edge),
        targets: [target('herald')],
      };
    case 'herald':
      return {
        issuer: URIS.herald,
        signingKey: { privateKey: keys.herald },
        targets: [target('census')],
        trustDomain,
        originators,
        trustedIssuers: [trust('edge')],
      };
    case 'census':
      return { issuer: URIS.census, trustDomain, originators, trustedIssuers: [trust('herald')] };
  }
}

/** What signs tokens, and grants, in the name of a service. */
export function signerOf(
  service: 'edge' | 'herald',
  privateKey: string,
): Pick<ServiceAuthOptions, 'issuer' | 'signingKey' | 'trustDomain' | 'originate'> {
  const originate = service === 'edge' ? { originate: { subjects: [USERS] } } : {};
  return {
    issuer: URIS[service],
    signingKey: { privateKey },
    trustDomain: TRUST_DOMAIN,
    ...originate,
  };
}
