import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type VersioningOptions,
  VersioningType,
} from '@nestjs/common';
import { HOST_METADATA, VERSION_METADATA } from '@nestjs/common/constants.js';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import {
  controllersIn,
  guardsEveryRoute,
  handlerOf,
  modeOf,
  type RoutePlace,
  routeNamesOf,
} from './guarded-routes.js';

/** The metadata key of `@RouteConstraints()` of @nestjs/platform-fastify. */
const CONSTRAINTS_METADATA = '__fastify_route_constraints__';

/** A choice of a handler besides method and target: by a header, or by the application's own rule. */
interface Choice {
  readonly by: string;
  /** In lower case; undefined if the header is unknown. */
  readonly header: string | undefined;
}

/**
 * Warns at start if a header chooses between guarded handlers, but tokens need not bind it. Then a token for one
 * version, or one host, opens the handlers of another.
 */
@Injectable()
export class UnboundRoutingWarning implements OnApplicationBootstrap {
  private readonly logger = new Logger('ServiceAuth');

  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {}

  onApplicationBootstrap(): void {
    const { receiving } = this.serviceAuth.settings;
    if (!receiving) return;
    const routes = guardedRoutesIn(this.modules, guardsEveryRoute(this.config));
    const choices = [
      ...choicesOfVersions(routes, this.config.getVersioning()),
      ...choicesOfRoutes(routes),
    ];
    const { requiredHeaders } = receiving;
    const texts = choices
      .filter(({ header }) => !isBound(header, requiredHeaders))
      .map((choice) => describe(choice, requiredHeaders));
    for (const text of new Set(texts)) this.logger.warn(text);
  }
}

function guardedRoutesIn(modules: ModulesContainer, guardedThroughout: boolean): RoutePlace[] {
  return controllersIn(modules)
    .flatMap((controller) =>
      routeNamesOf(controller).map((name) => ({
        controller,
        handler: handlerOf(controller, name),
      })),
    )
    .filter((route) => modeOf(route, guardedThroughout) !== 'skip');
}

function choicesOfVersions(
  routes: readonly RoutePlace[],
  versioning: VersioningOptions | undefined,
): Choice[] {
  const isVersioned =
    versioning?.defaultVersion !== undefined ||
    routes.some(({ handler, controller }) =>
      [handler, controller].some((place) => read(VERSION_METADATA, place) !== undefined),
    );
  if (!versioning || !isVersioned || routes.length === 0) return [];
  switch (versioning.type) {
    case VersioningType.HEADER:
      return [{ by: 'enableVersioning()', header: versioning.header.toLowerCase() }];
    case VersioningType.MEDIA_TYPE:
      return [{ by: 'enableVersioning()', header: 'accept' }];
    case VersioningType.CUSTOM:
      return [{ by: 'the extractor of enableVersioning()', header: undefined }];
    default:
      return []; // the version is in the target, which every token binds
  }
}

/** Controllers with a `host`, and the constraints of Fastify. */
function choicesOfRoutes(routes: readonly RoutePlace[]): Choice[] {
  return routes.flatMap(({ handler, controller }) => {
    const constraints: unknown = read(CONSTRAINTS_METADATA, handler);
    const isObject = typeof constraints === 'object' && constraints !== null;
    const names = isObject ? Object.keys(constraints).filter((name) => name !== 'version') : [];
    return [
      ...(read(HOST_METADATA, controller) === undefined
        ? []
        : [{ by: '@Controller({ host })', header: 'host' }]),
      ...names.map((name) => ({
        by: `@RouteConstraints({ ${name} })`,
        header: name === 'host' ? 'host' : undefined,
      })),
    ];
  });
}

/** If the options require any header, the application has considered what its own extractor reads. */
function isBound(header: string | undefined, requiredHeaders: readonly string[]): boolean {
  return header === undefined ? requiredHeaders.length > 0 : requiredHeaders.includes(header);
}

function describe({ by, header }: Choice, requiredHeaders: readonly string[]): string {
  if (header === undefined) {
    return `Tokens need not bind what ${by} reads: if it reads a header, a token for one handler opens another. Name that header in requiredHeaders here, and in signedHeaders of each calling service.`;
  }
  const list = [...requiredHeaders, header].map((name) => `'${name}'`).join(', ');
  return `Tokens need not bind the header ${header}, by which ${by} chooses handlers: a token for one handler opens another. Write requiredHeaders: [${list}] here, and signedHeaders: ['${header}'] in each calling service.`;
}

function read(key: string, place: object): unknown {
  return Reflect.getMetadata(key, place);
}
