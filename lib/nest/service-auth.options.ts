import type { IncomingMessage } from 'node:http';
import type { Type } from '@nestjs/common';
import type { ServiceAuthOptions, ServiceIdentity, TrustedIssuerFinder } from '../core/index.js';

/** Turns the URI of a verified user into the application's own user object. */
export interface ServiceUserResolver {
  /**
   * @returns the value for `request.user`; null or undefined if the user does not exist, which answers 403
   *   `subject_unknown`
   */
  resolveUser(subject: string, identity: ServiceIdentity): unknown;
}

/** The options of `ServiceAuthModule`: those of the core, and those for Nest. */
export interface ServiceAuthModuleOptions extends Omit<ServiceAuthOptions, 'trustedIssuers'> {
  /**
   * The services that may call: a list, or a finder. A finder is an object or a class. The class is a provider of any
   * module, or is built from the providers visible to this module.
   */
  trustedIssuers?: ServiceAuthOptions['trustedIssuers'] | Type<TrustedIssuerFinder>;
  /**
   * Finds `request.user` for a verified subject: an object or a class. The class is a provider of any module, or is
   * built from the providers visible to this module. Called once per request.
   */
  userResolver?: ServiceUserResolver | Type<ServiceUserResolver>;
  /**
   * The folder for bodies over `maxBufferedBodyBytes` until they are verified, on routes with `@MaxBodyBytes()`. An
   * absolute path on a disk. Default: the temporary folder of the system.
   */
  spoolDirectory?: string;
  /**
   * Returns the bytes of a body that the platform read before Nest got the request (Cloud Functions, Vercel): as
   * sent, not decoded; undefined if the platform kept none. Called only if the stream is already consumed. Without
   * this option the guard refuses the request with `body_consumed`.
   *
   * @example
   * `rawBody: (request) => (request as { rawBody?: Uint8Array }).rawBody`
   */
  rawBody?: (request: IncomingMessage) => Uint8Array | undefined;
  /**
   * How a call gets its user while a request is served. Default `explicit`: it names the user with
   * `onBehalfOf(caller)`, or fails. `ambient`: it takes the user of the request being served. That user may be wrong
   * if requests share a limiter, a queue or a bus.
   */
  subjectPropagation?: 'explicit' | 'ambient';
  /**
   * What the guard does with a request that fails verification. Default `enforce`: it refuses the request. `report`:
   * it passes the request to the handler without an identity, and calls observers with `request_would_be_refused`.
   * This ends at `reportUntil`.
   */
  enforcement?: 'enforce' | 'report';
  /**
   * From this time on the guard refuses requests on every route, even with `@ReportOnly()`. A Date, or ISO 8601 with
   * its time zone, such as `2027-03-31T08:00:00Z`; a date alone is midnight in UTC. Compared at each request.
   * `enforcement: 'report'` requires it.
   */
  reportUntil?: Date | string;
  /**
   * What happens at start if handlers have neither a `ServiceJwtGuard` nor `@SkipServiceAuth()`. Default `warn`: one
   * line of the log names them. `require`: the application fails to start. `off`: nothing.
   */
  coverage?: 'off' | 'warn' | 'require';
  /** Whether the token stays in the request's headers after the guard has read it. Default `remove`. */
  tokenAfterVerification?: 'remove' | 'keep';
}

/** For `forRootAsync({ useClass | useExisting })`. */
export interface ServiceAuthOptionsFactory {
  /** Called once, when the application starts. */
  createServiceAuthOptions(): ServiceAuthModuleOptions | Promise<ServiceAuthModuleOptions>;
}
