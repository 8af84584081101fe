import {
  All,
  Body,
  type CanActivate,
  Controller,
  Delete,
  Get,
  type INestApplication,
  Injectable,
  Post,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  ApiBearerAuth,
  ApiForbiddenResponse,
  ApiHeader,
  ApiOperation,
  ApiProperty,
  ApiResponse,
  ApiSecurity,
  ApiWebhook,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireServiceAuth,
  RequireSubject,
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import {
  addServiceAuth,
  ApiServiceAuth,
  createServiceAuthDocument,
  SERVICE_AUTH_SCHEME,
} from 'nestjs-service-auth/openapi';
import { createKey } from '../support/keys/keys.js';
import { builderFor, operationAt, problemsOf, responseOf } from '../support/http/openapi.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { ADAPTERS, startService, type TestServiceOptions } from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const TOKEN = { [SERVICE_AUTH_SCHEME]: [] };
const WITHOUT_BODY = [401, 403, 431, 503];
const WITH_BODY = [401, 403, 413, 415, 431, 503];
const close = closeAfterEach();

const serviceAuth = ServiceAuthModule.forRoot({
  issuer: 'https://census.service/',
  trustedIssuers: [{ issuer: HERALD, publicKey: createKey().publicPem }],
});

async function start(options: TestServiceOptions): Promise<INestApplication> {
  return close(await startService({ imports: [serviceAuth], ...options })).app;
}

/** The statuses of an operation that are the guard's. */
function refusalsAt(document: OpenAPIObject, path: string, method?: 'get' | 'post' | 'delete') {
  const statuses = Object.keys(operationAt(document, path, method).responses).map(Number);
  return statuses.filter((status) => status >= 400);
}

class Order {
  @ApiProperty({ type: String })
  name = '';
}

@Controller('guarded')
@UseGuards(ServiceJwtGuard)
class GuardedController {
  @Get()
  find() {
    return 'found';
  }

  @Post()
  create(@Body() order: Order) {
    return order;
  }

  @Delete()
  remove() {
    return 'removed';
  }

  @Get('open')
  @SkipServiceAuth()
  open() {
    return 'open';
  }

  @Get('optional')
  @OptionalServiceAuth()
  optional() {
    return 'optional';
  }

  @Get('narrowed')
  @OptionalServiceAuth()
  @AllowIssuers(HERALD)
  narrowed() {
    return 'narrowed';
  }
}

@Controller('mixed')
class MixedController {
  @Get()
  open() {
    return 'open';
  }

  @Get('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {
    return 'guarded';
  }
}

@Controller('opened')
@UseGuards(ServiceJwtGuard)
@SkipServiceAuth()
class OpenedController {
  @Get()
  open() {
    return 'open';
  }

  @Get('required')
  @RequireServiceAuth()
  required() {
    return 'required';
  }

  @Get('for-user')
  @RequireSubject()
  forUser() {
    return 'for a user';
  }
}

/** Both heirs serve the same function, and under the same name. */
class ListController {
  @Get()
  list() {
    return [];
  }
}

function heir(path: string, ...decorators: ClassDecorator[]): Type {
  class HeirController extends ListController {}
  for (const decorate of [...decorators, Controller(path)]) decorate(HeirController);
  return HeirController;
}

describe.each(ADAPTERS)('createServiceAuthDocument() on %s', (adapter) => {
  const controllers = [GuardedController, MixedController, OpenedController];
  const create = (app: INestApplication, version?: string) =>
    createServiceAuthDocument(app, builderFor(version).build());

  it.each(['3.0.3', '3.1.0'])('makes a valid document of OpenAPI %s', async (version) => {
    const document = create(await start({ adapter, controllers }), version);
    expect(await problemsOf(document)).toEqual([]);
    expect(document.openapi).toBe(version);
    expect(document.components?.securitySchemes).toEqual({
      [SERVICE_AUTH_SCHEME]: expect.objectContaining({
        type: 'apiKey',
        in: 'header',
        name: 'JWT',
      }) as unknown,
    });
  });

  it('would notice one that is not valid', async () => {
    const document = create(await start({ adapter, controllers }));
    expect(await problemsOf({ ...document, info: { title: '', version: '' } })).toEqual([]);
    expect(await problemsOf({ ...document, info: { version: '1' } as never })).not.toEqual([]);
    const components = { ...document.components, responses: {} };
    expect(await problemsOf({ ...document, components })).not.toEqual([]);
  });

  it('describes the routes of a guarded controller, bodies where there are some', async () => {
    const document = create(await start({ adapter, controllers }));
    for (const method of ['get', 'post', 'delete'] as const) {
      expect(operationAt(document, '/guarded', method).security).toEqual([TOKEN]);
      const expected = method === 'post' ? WITH_BODY : WITHOUT_BODY;
      expect(refusalsAt(document, '/guarded', method)).toEqual(expected);
    }
    expect(operationAt(document, '/guarded', 'post').responses).toHaveProperty('201');
  });

  it('respects what routes ask for', async () => {
    const document = create(await start({ adapter, controllers }));
    const asked = (path: string) => operationAt(document, path).security;
    expect(asked('/guarded/open')).toBeUndefined();
    expect(asked('/guarded/optional')).toEqual([{}, TOKEN]);
    expect(asked('/guarded/narrowed')).toEqual([TOKEN]);
    expect(asked('/mixed')).toBeUndefined();
    expect(asked('/mixed/guarded')).toEqual([TOKEN]);
    expect(asked('/opened')).toBeUndefined();
    expect(asked('/opened/required')).toEqual([TOKEN]);
    expect(asked('/opened/for-user')).toEqual([TOKEN]);
    expect(refusalsAt(document, '/guarded/open')).toEqual([]);
    expect(refusalsAt(document, '/guarded/optional')).toEqual(WITHOUT_BODY);
  });

  it.each([
    ['APP_GUARD', { providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }] }],
    ['APP_GUARD by its class', { providers: [{ provide: APP_GUARD, useClass: ServiceJwtGuard }] }],
    [
      'useGlobalGuards()',
      { configure: (app: INestApplication) => app.useGlobalGuards(app.get(ServiceJwtGuard)) },
    ],
  ] as [string, Partial<TestServiceOptions>][])('sees %s', async (_title, options) => {
    const document = create(await start({ adapter, controllers, ...options }));
    expect(operationAt(document, '/mixed').security).toEqual([TOKEN]);
    expect(operationAt(document, '/guarded/open').security).toBeUndefined();
  });

  it('sees a guard that extends ours, and one given as an object', async () => {
    @Injectable()
    class StricterGuard extends ServiceJwtGuard {}
    const deny: CanActivate = { canActivate: () => false };
    const guards = [heir('class', UseGuards(StricterGuard)), heir('other', UseGuards(deny))];
    const document = create(await start({ adapter, controllers: guards }));
    expect(operationAt(document, '/class').security).toEqual([TOKEN]);
    expect(operationAt(document, '/other').security).toBeUndefined();
  });

  it('tells heirs apart that share a handler and a name', async () => {
    const heirs = [heir('open'), heir('guarded', UseGuards(ServiceJwtGuard))];
    const document = create(await start({ adapter, controllers: heirs }));
    expect(operationAt(document, '/open').security).toBeUndefined();
    expect(operationAt(document, '/guarded').security).toEqual([TOKEN]);
    expect(await problemsOf(document)).toEqual([]);
  });

  it.each(['before', 'after'])(
    'tells an heir from what it extends, registered %s it',
    async (order) => {
      @Controller('base')
      class BaseController extends ListController {}

      @Controller('heir')
      @UseGuards(ServiceJwtGuard)
      class HeirController extends BaseController {}
      const both = [BaseController, HeirController];
      const registered = order === 'before' ? both : both.toReversed();
      const document = create(await start({ adapter, controllers: registered }));
      expect(operationAt(document, '/base').security).toBeUndefined();
      expect(operationAt(document, '/heir').security).toEqual([TOKEN]);
    },
  );

  it('finds routes whatever their paths, versions and ids are', async () => {
    @Controller({ path: 'things', version: ['1', '2'] })
    @UseGuards(ServiceJwtGuard)
    class ThingController {
      @Get(['', 'all'])
      @ApiOperation({ operationId: 'named' })
      find() {
        return 'found';
      }

      @All('any')
      any() {
        return 'any';
      }
    }
    const configure = (app: INestApplication) => {
      app.setGlobalPrefix('api');
      app.enableVersioning();
    };
    const document = create(await start({ adapter, controllers: [ThingController], configure }));
    const operations = Object.values(document.paths).flatMap((item) => [item.get, item.put]);
    const described = operations.filter((operation) => operation !== undefined);
    expect(described).toHaveLength(4 + 2 * 2);
    for (const { security } of described) expect(security).toEqual([TOKEN]);
    expect(operationAt(document, '/api/v2/things/all').operationId).toBe('named');
  });

  it('describes the header of the grant where a proof is asked for', async () => {
    @Controller('proved')
    @UseGuards(ServiceJwtGuard)
    class ProvedController {
      @Get()
      @RequireSubjectProof({ maxAgeSeconds: 60, scope: 'user:delete', acr: ['mfa', 'hwk'] })
      proved() {
        return 'proved';
      }

      @Get('described')
      @RequireSubjectProof()
      @ApiHeader({ name: 'txn-token', description: 'As the page of the edge says.' })
      described() {
        return 'described';
      }

      @Get('plain')
      @RequireSubject()
      plain() {
        return 'plain';
      }
    }
    const document = create(await start({ adapter, controllers: [ProvedController] }));
    expect(await problemsOf(document)).toEqual([]);
    const operation = operationAt(document, '/proved');
    expect(operation.security).toEqual([TOKEN]);
    expect(operation.parameters).toEqual([
      {
        name: 'Txn-Token',
        in: 'header',
        required: true,
        description: expect.stringMatching(
          /at most 60 s old, with the scope `user:delete`, with the `acr` `mfa` or `hwk`\.$/,
        ) as unknown,
        schema: { type: 'string', maxLength: 4096 },
      },
    ]);
    expect(operationAt(document, '/proved/described').parameters).toEqual([
      expect.objectContaining({ name: 'txn-token', description: 'As the page of the edge says.' }),
    ]);
    expect(operationAt(document, '/proved/plain').parameters ?? []).toEqual([]);
    const refused = responseOf(document, operation, 403)?.content?.['application/json'];
    const grantCodes = Object.keys(refused?.examples ?? {}).filter((code) =>
      /grant|scope/.test(code),
    );
    expect(grantCodes).toEqual([
      'grant_missing',
      'grant_repeated',
      'grant_invalid',
      'grant_mismatch',
      'grant_expired',
      'grant_not_yet_valid',
      'scope_missing',
    ]);
  });

  it('adds to what an operation asks for and answers already', async () => {
    @Controller('both')
    @UseGuards(ServiceJwtGuard)
    @ApiBearerAuth()
    class BothController {
      @Get()
      @ApiForbiddenResponse({ description: 'The user may not see it.', type: Order })
      @ApiResponse({ status: 503, description: '' })
      find() {
        return 'found';
      }

      @Get('either')
      @OptionalServiceAuth()
      @ApiSecurity('other')
      either() {
        return 'either';
      }
    }
    const app = await start({ adapter, controllers: [BothController] });
    const config = builderFor()
      .addBearerAuth()
      .addSecurity('other', { type: 'apiKey', in: 'header', name: 'X-Other' })
      .build();
    const document = createServiceAuthDocument(app, config);
    expect(await problemsOf(document)).toEqual([]);

    expect(operationAt(document, '/both').security).toEqual([{ bearer: [], ...TOKEN }]);
    const eithers = operationAt(document, '/both/either').security;
    expect(eithers).toHaveLength(4);
    expect(eithers).toEqual(expect.arrayContaining([{ other: [] }, { other: [], ...TOKEN }]));

    const forbidden = responseOf(document, operationAt(document, '/both'), 403);
    expect(forbidden?.description).toMatch(/^The user may not see it\. Or: The service token/);
    expect(forbidden?.content?.['application/json']?.schema).toEqual({
      anyOf: [
        { $ref: '#/components/schemas/ServiceAuthRefusal403' },
        { $ref: '#/components/schemas/Order' },
      ],
    });
    expect(responseOf(document, operationAt(document, '/both'), 503)?.headers).toHaveProperty(
      'Retry-After',
    );
  });

  it('keeps what the whole document asks for', async () => {
    const app = await start({ adapter, controllers });
    const config = builderFor().addBearerAuth().addSecurityRequirements('bearer').build();
    const document = createServiceAuthDocument(app, config);
    expect(operationAt(document, '/guarded').security).toEqual([{ bearer: [], ...TOKEN }]);
    expect(operationAt(document, '/guarded/open').security).toBeUndefined();
    expect(document.security).toEqual([{ bearer: [] }]);
  });

  it('describes no webhook: whom this service calls has guards of its own', async () => {
    @Controller('hooked')
    @UseGuards(ServiceJwtGuard)
    class HookedController {
      @Post()
      create() {
        return 'created';
      }

      @Post('sent')
      @ApiWebhook('notified')
      sent() {
        return 'sent';
      }
    }
    const document = create(await start({ adapter, controllers: [HookedController] }), '3.1.0');
    const { webhooks = {} } = document as { webhooks?: OpenAPIObject['paths'] };
    expect(webhooks['notified']?.post).toMatchObject({ operationId: 'HookedController_sent' });
    expect(webhooks['notified']?.post).not.toHaveProperty('security');
    expect(refusalsAt({ ...document, paths: webhooks }, 'notified', 'post')).toEqual([]);
    expect(operationAt(document, '/hooked', 'post').security).toEqual([TOKEN]);
    expect(JSON.stringify(document)).not.toContain('nestjs-service-auth:');
  });

  it('leaves no trace: not in another document, not where nothing is guarded', async () => {
    const app = await start({ adapter, controllers });
    const before = SwaggerModule.createDocument(app, builderFor().build());
    const described = create(app);
    expect(SwaggerModule.createDocument(app, builderFor().build())).toEqual(before);
    expect(create(app)).toEqual(described);
    expect(JSON.stringify(described)).not.toContain('nestjs-service-auth:');

    const open = await start({ adapter, controllers: [heir('open')] });
    const bare = SwaggerModule.createDocument(open, builderFor().build());
    expect(create(open)).toEqual(bare);
  });

  it('leaves no trace of a document that could not be made', async () => {
    const app = await start({ adapter, controllers });
    const before = SwaggerModule.createDocument(app, builderFor().build());
    const operationIdFactory = () => {
      throw new Error('no id');
    };
    expect(() =>
      createServiceAuthDocument(app, builderFor().build(), { operationIdFactory }),
    ).toThrow('no id');
    expect(SwaggerModule.createDocument(app, builderFor().build())).toEqual(before);
  });

  it('describes nothing of what is no application', async () => {
    const app = await start({ adapter, controllers });
    const copy = Object.assign(Object.create(null) as INestApplication, { get: app.get.bind(app) });
    expect(() => create(copy)).toThrow(ServiceAuthUsageError);
  });
});

describe.each(ADAPTERS)('@ApiServiceAuth() on %s', (adapter) => {
  async function documentOf(...controllers: Type[]): Promise<OpenAPIObject> {
    const app = await start({ adapter, controllers });
    const document = SwaggerModule.createDocument(app, addServiceAuth(builderFor()).build());
    expect(await problemsOf(document)).toEqual([]);
    return document;
  }

  it('describes a controller, each route as what it is', async () => {
    @ApiServiceAuth()
    @Controller('told')
    class ToldController {
      @Get()
      find() {
        return 'found';
      }

      @Get('open')
      @SkipServiceAuth()
      open() {
        return 'open';
      }

      @Get('optional')
      @OptionalServiceAuth()
      optional() {
        return 'optional';
      }

      @Get('proved')
      @RequireSubjectProof()
      proved() {
        return 'proved';
      }
    }
    const document = await documentOf(ToldController);
    expect(operationAt(document, '/told/proved').parameters).toEqual([
      expect.objectContaining({ name: 'Txn-Token', in: 'header', required: true }),
    ]);
    expect(operationAt(document, '/told').parameters ?? []).toEqual([]);
    expect(operationAt(document, '/told').security).toEqual([TOKEN]);
    expect(operationAt(document, '/told/open').security).toBeUndefined();
    expect(operationAt(document, '/told/optional').security).toEqual([{}, TOKEN]);
    expect(refusalsAt(document, '/told')).toEqual(WITH_BODY);
    expect(refusalsAt(document, '/told/open')).toEqual([]);
  });

  it('describes one route', async () => {
    @Controller('one')
    class OneController {
      @Get()
      @ApiServiceAuth()
      find() {
        return 'found';
      }

      @Get('other')
      other() {
        return 'other';
      }
    }
    const document = await documentOf(OneController);
    expect(operationAt(document, '/one').security).toEqual([TOKEN]);
    expect(operationAt(document, '/one/other').security).toBeUndefined();
  });

  it('describes what a controller inherits, and no other heir of it', async () => {
    const document = await documentOf(heir('told', ApiServiceAuth()), heir('untold'));
    expect(operationAt(document, '/told').security).toEqual([TOKEN]);
    expect(operationAt(document, '/untold').security).toBeUndefined();
  });

  it('refuses to describe what it would describe for every heir', () => {
    class HeirController extends ListController {
      @Get('open')
      @SkipServiceAuth()
      open() {
        return 'open';
      }
    }
    expect(() => ApiServiceAuth()(HeirController)).toThrow(/HeirController\.list\(\)/);
  });

  it('says the same as createServiceAuthDocument(), and is left as it is by it', async () => {
    @ApiServiceAuth()
    @Controller('told')
    class ToldController {
      @Post()
      create() {
        return 'created';
      }
    }
    const app = await start({ adapter, controllers: [ToldController, GuardedController] });
    const document = createServiceAuthDocument(app, builderFor().build());
    expect(await problemsOf(document)).toEqual([]);
    const told = operationAt(document, '/told', 'post');
    const seen = operationAt(document, '/guarded', 'post');
    expect(told.security).toEqual(seen.security);
    for (const status of WITH_BODY) {
      const { content, ...rest } = responseOf(document, told, status) ?? {};
      const { content: media, ...others } = responseOf(document, seen, status) ?? {};
      expect(rest).toEqual(others);
      expect(content?.['application/json']?.examples).toEqual(
        media?.['application/json']?.examples,
      );
      expect(content?.['application/json']?.schema).toEqual(
        document.components?.schemas?.[`ServiceAuthRefusal${status}`],
      );
    }
  });
});
