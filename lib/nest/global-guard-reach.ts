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
  isGuardThere: boolean;
  /** Whether Nest read the guards of the application when it bound the handlers. */
  inherits: boolean;
  /** Whether Nest has bound handlers yet; if not, `inherits` is unknown. */
  isBound: boolean;
  /** Whether Nest binds them when the transport starts, not when it is connected: `deferInitialization`. */
  isDeferred: boolean;
}

/** The members of a server of @nestjs/microservices that this library uses. */
interface RpcServer {
  readonly transportId?: unknown;
  addHandler?(...handler: unknown[]): unknown;
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
  /** Whether Nest has just read the guards of the application, to bind a handler to them. */
  private areGuardsRead = false;
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
    // Such a transport binds the gateways too, with guards of its own.
    if (this.transports.some(({ isDeferred }) => isDeferred)) return 'undecided';
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
      isGuardThere: false,
      inherits: false,
      isBound: false,
      isDeferred: false,
    };
    this.transports.push(transport);
    // Unless that is deferred, `connectMicroservice()` binds all handlers before it returns.
    let isConnected = false;
    queueMicrotask(() => {
      isConnected = true;
      this.connected();
    });
    whenBinding(server, () => this.noteHandler(transport, isConnected));
  }

  /** Nest reads the guards of a handler just before it adds the handler to its server. */
  private noteHandler(transport: Transport, isConnected: boolean): void {
    if (this.areGuardsRead) transport.inherits = true;
    this.areGuardsRead = false;
    if (transport.isBound) return;
    transport.isBound = true;
    transport.isGuardThere = this.isGuardThere(false);
    transport.isDeferred = isConnected;
    if (isConnected) queueMicrotask(() => this.connected());
  }

  private noteBinding(): void {
    if (this.areGuardsRead) return;
    this.areGuardsRead = true;
    queueMicrotask(() => {
      // Read for another handler than one of messages: of a gateway, or, later, of HTTP.
      if (this.areGuardsRead && !this.areGatewaysBound) this.gatewaysInherit = true;
      this.areGuardsRead = false;
    });
  }
}

/** Calls `note` before each handler that is added to a server. */
function whenBinding(server: RpcServer, note: () => void): void {
  const add = server.addHandler?.bind(server);
  if (!add) return;
  server.addHandler = (...handler) => {
    note();
    return add(...handler);
  };
}
