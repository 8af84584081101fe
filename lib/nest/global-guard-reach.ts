import { type CanActivate, Inject, Injectable } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { globalGuards, isServiceGuard } from './guarded-routes.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';

/** Whether a global guard protects a handler; `undecided` if Nest does not show it at start. */
export type Reach = 'guarded' | 'open' | 'undecided';

/** A transport of messages, and whether Nest binds its handlers to the guards of the application. */
interface Transport {
  /** Undefined: handlers of every transport. */
  readonly id: unknown;
  /** Whether a `ServiceJwtGuard` was global when the handlers were bound. */
  readonly isGuardThere: boolean;
  /** Whether Nest read the guards of the application when it bound the handlers. */
  inherits: boolean;
  /** Whether Nest has bound handlers yet; if not, `inherits` is unknown. */
  isBound: boolean;
}

/** The members of a server of @nestjs/microservices that this library reads. */
interface RpcServer {
  readonly transportId?: unknown;
  getHandlers?(): ReadonlyMap<unknown, unknown>;
}

/**
 * Not a real guard, but in the list of the application's guards. When Nest binds a handler to them, it reads
 * `canActivate` of each, and drops this one. So it shows whether a transport, or the gateways, get the guards of the
 * application.
 */
export class BindingWitness {
  constructor(private readonly note: () => void) {}

  get canActivate(): undefined {
    this.note();
    return undefined;
  }
}

/** Finds out which handlers other than HTTP the global guards protect. */
@Injectable()
export class GlobalGuardReach {
  private readonly transports: Transport[] = [];
  private binding: Transport | undefined;
  private areGatewaysBound = false;
  private gatewaysInherit = false;

  private connected: () => void = () => undefined;

  // A private field, so that a logger that prints the module does not show the application's container.
  readonly #modules: ModulesContainer;
  readonly #config: ApplicationConfig;
  readonly #host: HttpAdapterHost;

  constructor(
    @Inject(ModulesContainer) modules: ModulesContainer,
    @Inject(ApplicationConfig) config: ApplicationConfig,
    @Inject(HttpAdapterHost) host: HttpAdapterHost,
  ) {
    this.#modules = modules;
    this.#config = config;
    this.#host = host;
    const witness: unknown = new BindingWitness(() => this.noteBinding());
    config.addGlobalGuard(witness as CanActivate);
    modules.getRpcTargetRegistry<RpcServer>().subscribe((server) => this.connect(server));
  }

  /** The modules of the application. */
  get modules(): ModulesContainer {
    return this.#modules;
  }

  /** Calls `connected` each time a transport has been connected. */
  whenConnected(connected: () => void): void {
    this.connected = connected;
  }

  /** Nest binds gateways before it configures modules, and all other handlers later. */
  noteGatewaysBound(): void {
    this.areGatewaysBound = true;
  }

  /** Whether the application serves HTTP. */
  get servesHttp(): boolean {
    return Boolean(this.#host.httpAdapter);
  }

  /** Whether the application serves anything: a standalone context does not. */
  get serves(): boolean {
    return this.servesHttp || this.transports.length > 0;
  }

  /** All global guards, not only ours; for guards that Nest makes for each request, their classes. */
  get globalGuards(): readonly unknown[] {
    const { made, perRequest } = globalGuards(this.#config);
    return [...made, ...perRequest];
  }

  /** Whether no global guard refuses all calls of a type of execution context. */
  verifies(type: string): boolean {
    return globalGuards(this.#config).made.every(
      (guard) => !(guard instanceof ServiceJwtGuard) || guard.verifies(type),
    );
  }

  /** Whether the service of each global guard has a key, which signs the answers to messages. */
  get signs(): boolean {
    return globalGuards(this.#config).made.every(
      (guard) => !(guard instanceof ServiceJwtGuard) || guard.signs,
    );
  }

  /** Whether global guards protect HTTP handlers. */
  get http(): Reach {
    return this.isGuardThere(true) ? 'guarded' : 'open';
  }

  /**
   * Whether global guards protect GraphQL resolvers. @param isStatic whether Nest makes the provider once, and not
   * for each request
   */
  resolvers(isStatic: boolean): Reach {
    return this.isGuardThere(!isStatic) ? 'guarded' : 'open';
  }

  /**
   * Whether global guards protect gateways. @param isStatic whether Nest makes the provider once, and not for each
   * request
   */
  gateways(isStatic: boolean): Reach {
    if (!this.isGuardThere(!isStatic)) return 'open';
    // A pure microservice binds gateways together with its message handlers.
    if (!this.servesHttp) return 'undecided';
    if (this.gatewaysInherit) return 'guarded';
    return isStatic ? 'open' : 'undecided';
  }

  /**
   * Whether global guards protect a message handler, on every transport that serves it; undefined if none does.
   *
   * @param isStatic whether Nest makes the controller once, and not for each message
   */
  messages(transportId: unknown, isStatic: boolean): Reach | undefined {
    const reaches = this.transports
      .filter(({ id }) => id === undefined || transportId === undefined || id === transportId)
      .map((transport) => this.through(transport, isStatic));
    if (reaches.length === 0) return undefined;
    const worst = ['open', 'undecided'] as const;
    return worst.find((reach) => reaches.includes(reach)) ?? 'guarded';
  }

  private through(transport: Transport, isStatic: boolean): Reach {
    // A pure microservice has only the configuration of the application.
    if (!this.servesHttp) return this.http;
    if (isStatic && transport.isBound) {
      return transport.inherits && transport.isGuardThere ? 'guarded' : 'open';
    }
    if (!this.isGuardThere(true)) return 'open';
    return transport.inherits ? 'guarded' : 'undecided';
  }

  private isGuardThere(perRequestToo: boolean): boolean {
    const { made, perRequest } = globalGuards(this.#config);
    return made.some(isServiceGuard) || (perRequestToo && perRequest.some(isServiceGuard));
  }

  private connect(server: RpcServer): void {
    const transport: Transport = {
      id: server.transportId,
      isGuardThere: this.isGuardThere(false),
      inherits: false,
      isBound: false,
    };
    this.transports.push(transport);
    this.binding = transport;
    // `connectMicroservice()` binds all handlers before it returns.
    queueMicrotask(() => {
      if (this.binding === transport) this.binding = undefined;
      transport.isBound = (server.getHandlers?.().size ?? 0) > 0;
      this.connected();
    });
  }

  private noteBinding(): void {
    if (this.binding) this.binding.inherits = true;
    else if (!this.areGatewaysBound) this.gatewaysInherit = true;
  }
}
