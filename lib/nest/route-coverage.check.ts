import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ServiceAuthConfigError } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import { GlobalGuardReach } from './global-guard-reach.js';
import { coverageOf, type HandlerCoverage } from './handler-coverage.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

/**
 * Where in `globalThis` `doctor --routes` puts the function that receives the table of the application that it starts.
 * Not a channel of node:diagnostics_channel: Node 20 may forget one that has subscribers (nodejs/node#59910).
 */
const COVERAGE_LISTENER = Symbol.for('nestjs-service-auth:coverage');

/** The most handlers that a line names. */
const NAMED_HANDLERS = 10;

/** From lax to strict: if several services differ, the strictest counts. */
const STRICTNESS = ['off', 'warn', 'require'] as const;

/**
 * Finds at start the handlers that have neither a `ServiceJwtGuard` nor `@SkipServiceAuth()`. Names them in the log,
 * or refuses to start.
 */
@Injectable()
export class RouteCoverageCheck implements OnApplicationBootstrap {
  private readonly logger = new Logger('ServiceAuth');
  private readonly coverage: (typeof STRICTNESS)[number];
  private readonly receives: boolean;
  private known: ReadonlySet<string> | undefined;

  constructor(
    @Inject(GlobalGuardReach) private readonly reach: GlobalGuardReach,
    @Inject(MODULE_OPTIONS_TOKEN) options: ServiceAuthModuleOptions,
    @Inject(ServiceAuth) serviceAuth: ServiceAuth,
  ) {
    this.coverage = options.coverage ?? 'warn';
    this.receives = serviceAuth.settings.receiving !== undefined;
    reach.whenConnected(() => this.lookAgain());
  }

  /** Called when Nest configures the modules: it has bound the gateways by then, but no route. */
  noteGatewaysBound(): void {
    this.reach.noteGatewaysBound();
  }

  /** @throws ServiceAuthConfigError naming each open handler without a decorator, with `coverage: 'require'` */
  onApplicationBootstrap(): void {
    const checks = this.checks;
    // Once for an application, even with several services; a microservice calls this twice.
    if (checks[0] !== this || this.known) return;
    const handlers = coverageOf(this.reach.modules, this.reach);
    const listener: unknown = Reflect.get(globalThis, COVERAGE_LISTENER);
    if (typeof listener === 'function') Reflect.apply(listener, undefined, [handlers]);
    const open = handlers.filter(isOpen);
    this.known = new Set(handlers.map(judgementOn));
    const receiving = checks.filter(({ receives }) => receives);
    const coverage = STRICTNESS.findLast((word) =>
      receiving.some((each) => each.coverage === word),
    );
    if (coverage === undefined || coverage === 'off') return;
    if (coverage === 'require' && open.length > 0) {
      throw new ServiceAuthConfigError(open.map(problemOf));
    }
    this.warn(describeOpen(handlers));
    this.warn(describeResolvers(handlers));
    this.warn(describeMessages(handlers));
    this.warn(describeUnanswered(handlers));
    this.warn(describeNeeds(handlers));
  }

  /** A transport connected to a running application can no longer prevent its start. */
  private lookAgain(): void {
    const { known } = this;
    if (!known || !this.checks.some(({ receives, coverage }) => receives && coverage !== 'off')) {
      return;
    }
    const handlers = coverageOf(this.reach.modules, this.reach);
    this.known = new Set(handlers.map(judgementOn));
    const others = handlers.filter((handler) => !known.has(judgementOn(handler)));
    this.warn(describeOpen(others));
    this.warn(describeMessages(others));
    this.warn(describeUnanswered(others));
  }

  private get checks(): RouteCoverageCheck[] {
    return [...this.reach.modules.values()].flatMap(({ providers }) => {
      const instance: unknown = providers.get(RouteCoverageCheck)?.instance;
      return instance instanceof RouteCoverageCheck ? [instance] : [];
    });
  }

  private warn(text: string | undefined): void {
    if (text !== undefined) this.logger.warn(text);
  }
}

/** A handler and what was judged of it: known, until a transport that is connected later changes it. */
function judgementOn({ handler, verdict, refusesAll, cannotAnswer }: HandlerCoverage): string {
  return JSON.stringify([handler, verdict, refusesAll === true, cannotAnswer === true]);
}

function isOpen({ verdict }: HandlerCoverage): boolean {
  return verdict === 'open' || verdict === 'undecided';
}

function isMessage({ kind }: HandlerCoverage): boolean {
  return kind === 'message' || kind === 'event';
}

function isJob({ kind }: HandlerCoverage): boolean {
  return kind === 'job';
}

const JOBS = 'For jobs, write @ServiceProcessor() in the place of @Processor().';

const MADE = 'the class itself among the providers, in the place of useFactory or useValue';

const INHERIT =
  'No APP_GUARD reaches messages without connectMicroservice(options, { inheritAppConfig: true }).';

const GUARD = 'Write @UseGuards(ServiceJwtGuard) (option coverage).';
const GUARD_OR_SKIP =
  'Write @UseGuards(ServiceJwtGuard), or @SkipServiceAuth() where everybody may call (option coverage).';

function describeOpen(handlers: readonly HandlerCoverage[]): string | undefined {
  const open = handlers.filter(isOpen);
  if (open.length === 0) return undefined;
  const served = handlers.filter(({ verdict }) => verdict !== 'unserved');
  const isNoneGuarded = !served.some(
    ({ verdict }) => verdict === 'guarded' || verdict === 'optional',
  );
  // Handlers without any guard come first.
  const names = open
    .toSorted((one, other) => one.otherGuards.length - other.otherGuards.length)
    .map(nameOf);
  return [
    `ServiceJwtGuard does not guard ${open.length} of ${served.length} handlers: ${listed(names)}.`,
    ...(isNoneGuarded ? ['None is guarded.'] : []),
    ...(open.some(isMessage) ? [INHERIT] : []),
    ...(open.some(isJob) ? [JOBS] : []),
    ...(open.some(({ losesGuards }) => losesGuards)
      ? [`Nest runs no guard of a resolver that a factory has made: write ${MADE}.`]
      : []),
    open.some((handler) => !lacksVerification(handler)) ? GUARD_OR_SKIP : GUARD,
  ].join(' ');
}

function describeResolvers(handlers: readonly HandlerCoverage[]): string | undefined {
  const names = handlers
    .filter(({ refusesAll, kind }) => refusesAll && kind === 'GraphQL')
    .map(({ handler }) => handler);
  if (names.length === 0) return undefined;
  return `ServiceJwtGuard refuses every operation of ${listed(names)}: the GraphQL endpoint verifies no request. Write driver: guardedDriver(...) from 'nestjs-service-auth/graphql' in GraphQLModule, or @SkipServiceAuth() where everybody may call (option coverage).`;
}

function describeMessages(handlers: readonly HandlerCoverage[]): string | undefined {
  const names = handlers
    .filter((handler) => handler.refusesAll && isMessage(handler))
    .map(({ handler }) => handler);
  if (names.length === 0) return undefined;
  return `ServiceJwtGuard refuses every message to ${listed(names)}: its service verifies no messages. Import ServiceMessagesModule from 'nestjs-service-auth/microservices' where ServiceAuthModule is imported (option coverage).`;
}

function describeUnanswered(handlers: readonly HandlerCoverage[]): string | undefined {
  const names = handlers.filter(({ cannotAnswer }) => cannotAnswer).map(({ handler }) => handler);
  if (names.length === 0) return undefined;
  const count = `${names.length} guarded message handler${names.length === 1 ? '' : 's'}`;
  return `No signingKey signs the answers of ${count}: ${listed(names)}. Each send that asks for a signed answer fails before its handler runs (admission_error). Write signingKey in the options of their service, or answers: 'unsigned' in forClients() of their callers (option coverage).`;
}

/** Whether a parameter needs a verified request, but no guard verifies it. */
function lacksVerification({ needs, kind, verdict, refusesAll }: HandlerCoverage): boolean {
  const isVerifiable = kind !== 'WebSocket' && kind !== 'job' && !refusesAll;
  const isVerified = isVerifiable && (verdict === 'guarded' || verdict === 'optional');
  return needs.length > 0 && !isVerified && verdict !== 'unserved';
}

function describeNeeds(handlers: readonly HandlerCoverage[]): string | undefined {
  const names = handlers
    .filter((handler) => lacksVerification(handler) && !(handler.refusesAll && isMessage(handler)))
    .map(({ handler, needs }) => `${handler} with ${needs.join(' and ')}`);
  if (names.length === 0) return undefined;
  return `No ServiceJwtGuard verifies the calls of ${listed(names)}: every call fails. Write @UseGuards(ServiceJwtGuard) on the HTTP route or on the message handler, and no @SkipServiceAuth() (option coverage).`;
}

function problemOf(handler: HandlerCoverage): string {
  const how = handler.verdict === 'open' ? 'is open' : 'may be open: Nest does not show its guards';
  const inherit = isMessage(handler) ? ` ${INHERIT}` : '';
  const guard = handler.losesGuards
    ? MADE
    : isJob(handler)
      ? '@ServiceProcessor() in the place of @Processor()'
      : '@UseGuards(ServiceJwtGuard) on it';
  return `coverage: ${nameOf(handler)} ${how}; write ${guard}, or @SkipServiceAuth() where everybody may call.${inherit}`;
}

function nameOf({ handler, otherGuards }: HandlerCoverage): string {
  return otherGuards.length > 0 ? `${handler} (behind ${otherGuards.join(', ')})` : handler;
}

function listed(names: readonly string[]): string {
  const left = names.length - NAMED_HANDLERS;
  return `${names.slice(0, NAMED_HANDLERS).join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
}
