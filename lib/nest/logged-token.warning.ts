import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { GRANT_HEADER, SIGNED_HEADERS, TOKEN_HEADER } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** Under which nestjs-pino provides what its module is given. */
const PINO_PARAMETERS = 'pino-params';

/** A path of pino's `redact` that may cover both headers: a wildcard, or all of the headers. */
const COVERING_PATH = /\*|^req(?:\.headers|\[.headers.\])?$/i;

/** Options of pino-http with which an application may hide the token in a way that cannot be told from here. */
const OTHER_WAYS = ['logger', 'formatters', 'hooks', 'serializers', 'customAttributeKeys'];

/**
 * Warns at start where nestjs-pino logs requests with the token in their headers, or with the grant of a user. It reads them when a request
 * comes, before any guard can take the token off.
 */
@Injectable()
export class LoggedTokenWarning implements OnApplicationBootstrap {
  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {}

  onApplicationBootstrap(): void {
    const { receiving, sending } = this.serviceAuth.settings;
    if (!receiving) return;
    // A service of a trust domain gets grants, be it that it asks for them or sends them on.
    const getsGrants = receiving.grants !== undefined || sending?.trustDomain !== undefined;
    const names = getsGrants ? SIGNED_HEADERS : ([TOKEN_HEADER] as const);
    const parameters = [...this.modules.values()].flatMap(({ providers }) =>
      providers.has(PINO_PARAMETERS) ? [providers.get(PINO_PARAMETERS)?.instance as unknown] : [],
    );
    const logged = names.filter((name) => parameters.some((given) => logsHeader(given, name)));
    if (logged.length === 0) return;
    const what = logged.map((name) => WHAT[name]).join(' and ');
    new Logger('ServiceAuth').warn(
      `nestjs-pino logs ${what} of every request before the guard sees it. Write pinoHttp: { redact: ['req.headers.jwt', 'req.headers["txn-token"]'] }.`,
    );
  }
}

const WHAT = { [TOKEN_HEADER]: 'the token', [GRANT_HEADER]: 'the grant' } as const;

/** Only where it is certain: a warning that nobody can act upon teaches not to read warnings. */
function logsHeader(parameters: unknown, header: string): boolean {
  if (!isObject(parameters) || Reflect.get(parameters, 'useExisting')) return false;
  const given: unknown = Reflect.get(parameters, 'pinoHttp');
  const options: unknown = Array.isArray(given) ? given[0] : given;
  if (!isObject(options)) return true; // the defaults of pino-http log all headers
  if (OTHER_WAYS.some((name) => Reflect.get(options, name) !== undefined)) return false;
  return !pathsOf(Reflect.get(options, 'redact')).some(
    (path) => COVERING_PATH.test(path) || path.toLowerCase().includes(header),
  );
}

function pathsOf(redact: unknown): string[] {
  const paths: unknown =
    isObject(redact) && !Array.isArray(redact) ? Reflect.get(redact, 'paths') : redact;
  return Array.isArray(paths) ? paths.map(String) : [];
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
