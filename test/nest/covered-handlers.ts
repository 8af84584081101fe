import {
  applyDecorators,
  type CanActivate,
  Controller,
  Get,
  Inject,
  Injectable,
  Post,
  Scope,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireServiceAuth,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';

/** A guard of the application, which knows no service token. */
@Injectable()
export class OtherGuard implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

/** A guard that asks for more than a good token. */
@Injectable()
export class StricterGuard extends ServiceJwtGuard {}

type Method = (...args: unknown[]) => unknown;

/** Puts another function in the place of a method, and drops its metadata. */
function Wrapped(): MethodDecorator {
  return (_target, _name, descriptor) => {
    const inner = descriptor.value as Method;
    descriptor.value = function wrapped(this: unknown, ...args: unknown[]) {
      return inner.apply(this, args);
    } as never;
  };
}

const GuardedGet = (path: string) => applyDecorators(UseGuards(ServiceJwtGuard), Get(path));

@Controller('methods')
export class Methods {
  @Get('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {}
  @Post('open')
  open() {}
  @Get('skipped')
  @SkipServiceAuth()
  skipped() {}
  @Get('skipped-and-guarded')
  @UseGuards(ServiceJwtGuard)
  @SkipServiceAuth()
  skippedAndGuarded() {}
  @Get('optional')
  @UseGuards(ServiceJwtGuard)
  @OptionalServiceAuth()
  optional() {}
  @Get('optional-unguarded')
  @OptionalServiceAuth()
  optionalUnguarded() {}
  @GuardedGet('composed')
  composed() {}
  @Get('subclass')
  @UseGuards(StricterGuard)
  subclass() {}
  @Get('other')
  @UseGuards(OtherGuard)
  other() {}
  @Get('both')
  @UseGuards(OtherGuard, ServiceJwtGuard)
  both() {}
  /** The guard is on a function that Nest never calls. */
  @Get('wrapped')
  @Wrapped()
  @UseGuards(ServiceJwtGuard)
  wrapped() {}
  @Get('narrowed')
  @AllowIssuers('https://herald.service/')
  @SkipServiceAuth()
  narrowed() {}
  /** No route: nothing to guard. */
  helper() {}
}

@Controller('class')
@UseGuards(ServiceJwtGuard)
export class GuardedClass {
  @Get()
  list() {}
  @Get('skipped')
  @SkipServiceAuth()
  skipped() {}
}

@Controller('base')
abstract class Base {
  @Get('inherited')
  @UseGuards(ServiceJwtGuard)
  inherited() {}
  @Get('inherited-open')
  inheritedOpen() {}
  @Get('overridden')
  @UseGuards(ServiceJwtGuard)
  overridden(): unknown {
    return undefined;
  }
}

@Controller('child')
export class Child extends Base {
  /** Nest reads the guards of this function alone. */
  @Get('overridden')
  override overridden() {
    return 'child';
  }
}

@Controller('guarded-child')
export class ChildOfGuarded extends GuardedClass {
  @Get('own')
  own() {}
}

@Controller('skipped')
@SkipServiceAuth()
export class SkippedClass {
  @Get()
  list() {}
  @Get('required')
  @RequireServiceAuth()
  required() {}
}

/** Binds its methods, as some base classes do: Nest then reads no guard of them. */
@Controller('bound')
export class BoundMethods {
  constructor() {
    this.read = this.read.bind(this);
  }
  @Get()
  @UseGuards(ServiceJwtGuard)
  read(this: unknown): void {}
}

@Controller('plain')
export class Plain {
  @Get()
  list() {}
  @Get('skipped')
  @SkipServiceAuth()
  skipped() {}
  @Get('optional')
  @OptionalServiceAuth()
  optional() {}
}

@Controller('messages')
export class Messages {
  @MessagePattern('plain')
  plain() {}
  @EventPattern('event')
  event(_data: unknown) {}
  @MessagePattern('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {}
  @MessagePattern('skipped')
  @SkipServiceAuth()
  skipped() {}
  /** Both at once: two ways in. */
  @Get('twice')
  @MessagePattern('twice')
  twice() {}
}

@Controller()
@UseGuards(ServiceJwtGuard)
export class GuardedMessages {
  @EventPattern('guarded-event')
  event(_data: unknown) {}
}

/** Made anew for each message: Nest binds its guards only then. */
@Controller({ scope: Scope.REQUEST })
export class RequestMessages {
  constructor(@Inject(REQUEST) readonly request: unknown) {}
  @MessagePattern('request')
  plain() {}
  @MessagePattern('request-guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {}
}

@WebSocketGateway({ path: '/live' })
export class Live {
  @SubscribeMessage('plain')
  plain() {}
  @SubscribeMessage('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {}
  @SubscribeMessage('skipped')
  @SkipServiceAuth()
  skipped() {}
}

/**
 * The decorators of @nestjs/graphql, as far as they mark what is a resolver: `RESOLVER_TYPE_METADATA`,
 * `RESOLVER_PROPERTY_METADATA` of packages/graphql/lib/graphql.constants.ts in nestjs/graphql.
 */
const Query = () => SetMetadata('graphql:resolver_type', 'Query');
const Mutation = () => SetMetadata('graphql:resolver_type', 'Mutation');
const ResolveField = () => SetMetadata('graphql:resolve_property', true);

@Injectable()
export class Resolver {
  @Query()
  @UseGuards(ServiceJwtGuard)
  guarded() {}
  @Mutation()
  plain() {}
  @Query()
  @SkipServiceAuth()
  skipped() {}
  /** Reached by a query alone. */
  @ResolveField()
  field() {}
}
