import type { IncomingMessage } from 'node:http';
import type { Type } from '@nestjs/common';
import type { ServiceAuthOptions, ServiceIdentity, TrustedIssuerFinder } from '../core/index.js';

/** Turns the URI of a verified user into the application's own user object. */
export interface ServiceUserResolver {
  /**
   * @returns what the guard puts on `request.user`; null or undefined when there is no such user,
   *   which answers 403 `subject_unknown`
   */
  resolveUser(subject: string, identity: ServiceIdentity): unknown;
}

/** What `ServiceAuthModule` takes: the options of the core, and those that only Nest has. */
export interface ServiceAuthModuleOptions extends Omit<ServiceAuthOptions, 'trustedIssuers'> {
  /**
   * The services that may call: a list, or whoever looks them up, as an object or as a class that is a
   * provider of any module or can be built from the providers this module sees.
   */
  trustedIssuers?: ServiceAuthOptions['trustedIssuers'] | Type<TrustedIssuerFinder>;
  /**
   * Gives `request.user` for a verified subject: an object, or a class that is a provider of any
   * module or can be built from the providers this module sees. Runs once per request.
   */
  userResolver?: ServiceUserResolver | Type<ServiceUserResolver>;
  /**
   * Where bodies over `maxBufferedBodyBytes` wait for their verification, on routes that take them with
   * `@MaxBodyBytes()`: the absolute path of a folder on a disk. Default: the temporary folder of the system.
   */
  spoolDirectory?: string;
  /**
   * Gives the bytes of a body that the platform read before Nest got the request (Cloud Functions, Vercel): as they
   * travelled, not decoded; undefined if it kept none. Asked only when the stream is consumed already. Without it such
   * a request is refused with `body_consumed`.
   *
   * @example
   * `rawBody: (request) => (request as { rawBody?: Uint8Array }).rawBody`
   */
  rawBody?: (request: IncomingMessage) => Uint8Array | undefined;
  /**
   * How a call that is made while a request is served gets its user. Default `explicit`: it names the user with
   * `onBehalfOf(caller)`, or is refused. `ambient`: it takes the user of the request being served. That user may be the
   * wrong one wherever requests share a limiter, a queue or a bus.
   */
  subjectPropagation?: 'explicit' | 'ambient';
  /**
   * What becomes of a request that fails its verification. Default `enforce`: it is refused. `report`: it goes on to the
   * handler without an identity, and observers are called with `request_would_be_refused`. Ends at `reportUntil`.
   */
  enforcement?: 'enforce' | 'report';
  /**
   * From when on requests are refused on every route, `@ReportOnly()` or not: a Date, or ISO 8601 with its time zone, such
   * as `2027-03-31T08:00:00Z`; a date alone is midnight in UTC. Read at each request. `enforcement: 'report'` needs it.
   */
  reportUntil?: Date | string;
  /**
   * What happens at start where no `ServiceJwtGuard` stands before a handler that is not marked `@SkipServiceAuth()`.
   * Default `warn`: one line of the log names them. `require`: the application does not start. `off`: nothing.
   */
  coverage?: 'off' | 'warn' | 'require';
  /** Whether the token stays in the request's headers once the guard has read it. Default `remove`. */
  tokenAfterVerification?: 'remove' | 'keep';
}

/** For `forRootAsync({ useClass | useExisting })`. */
export interface ServiceAuthOptionsFactory {
  /** The options, once, when the application starts. */
  createServiceAuthOptions(): ServiceAuthModuleOptions | Promise<ServiceAuthModuleOptions>;
}
