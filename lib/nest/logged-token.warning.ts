import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { GRANT_HEADER, SIGNED_HEADERS, TOKEN_HEADER } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** The token of the provider with the options of nestjs-pino. */
const PINO_PARAMETERS = 'pino-params';

/** A path of pino's `redact` that may cover both headers: a wildcard, or all of the headers. */
const COVERING_PATH = /\*|^req(?:\.headers|\[.headers.\])?$/i;

/** Options of pino-http that may hide the token in a way that this check cannot see. */
const OTHER_WAYS = ['logger', 'formatters', 'hooks', 'serializers', 'customAttributeKeys'];

/**
 * Warns at start if nestjs-pino logs requests with the token, or the grant of a user, in their headers. It reads the
 * headers when a request arrives, before any guard can remove the token.
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
    // A service in a trust domain gets grants, because it requires them or passes them on.
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

/** Only if it is certain: useless warnings teach people to ignore warnings. */
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
