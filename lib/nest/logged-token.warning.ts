import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';

/** Under which nestjs-pino provides what its module is given. */
const PINO_PARAMETERS = 'pino-params';

/** A path of pino's `redact` that may cover the header of the token: by its name, a wildcard, or all of the headers. */
const COVERING_PATH = /jwt|\*|^req(?:\.headers|\[.headers.\])?$/i;

/** Options of pino-http with which an application may hide the token in a way that cannot be told from here. */
const OTHER_WAYS = ['logger', 'formatters', 'hooks', 'serializers', 'customAttributeKeys'];

/**
 * Warns at start where nestjs-pino logs requests with the token in their headers. It reads them when a request
 * comes, before any guard can take the token off.
 */
@Injectable()
export class LoggedTokenWarning implements OnApplicationBootstrap {
  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.serviceAuth.settings.receiving) return;
    const isLogged = [...this.modules.values()].some(({ providers }) => {
      const parameters = providers.get(PINO_PARAMETERS);
      return parameters !== undefined && logsHeaders(parameters.instance);
    });
    if (!isLogged) return;
    new Logger('ServiceAuth').warn(
      "nestjs-pino logs the token of every request before the guard sees it. Write pinoHttp: { redact: ['req.headers.jwt'] }.",
    );
  }
}

/** Only where it is certain: a warning that nobody can act upon teaches not to read warnings. */
function logsHeaders(parameters: unknown): boolean {
  if (!isObject(parameters) || Reflect.get(parameters, 'useExisting')) return false;
  const given: unknown = Reflect.get(parameters, 'pinoHttp');
  const options: unknown = Array.isArray(given) ? given[0] : given;
  if (!isObject(options)) return true; // the defaults of pino-http log all headers
  if (OTHER_WAYS.some((name) => Reflect.get(options, name) !== undefined)) return false;
  return !pathsOf(Reflect.get(options, 'redact')).some((path) => COVERING_PATH.test(path));
}

function pathsOf(redact: unknown): string[] {
  const paths: unknown =
    isObject(redact) && !Array.isArray(redact) ? Reflect.get(redact, 'paths') : redact;
  return Array.isArray(paths) ? paths.map(String) : [];
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
