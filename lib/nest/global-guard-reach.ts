import { type CanActivate, Inject, Injectable } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { globalGuards, isServiceGuard } from './guarded-routes.js';

/** Whether a guard for every route stands before a handler; `undecided` where Nest does not show it at start. */
export type Reach = 'guarded' | 'open' | 'undecided';

/** A transport that takes messages, and which handlers of it Nest binds to the guards of the application. */
interface Transport {
  /** Undefined: handlers of every transport. */
  readonly id: unknown;
  /** Whether a guard of ours was one for every route when the handlers were bound. */
  readonly isGuardThere: boolean;
  /** Whether Nest read the guards of the application when it bound the handlers. */
  inherits: boolean;
  /** Whether Nest has bound handlers by now: otherwise nothing is known. */
  isBound: boolean;
}

/** A server of @nestjs/microservices, as far as it is read. */
interface RpcServer {
  readonly transportId?: unknown;
  getHandlers?(): ReadonlyMap<unknown, unknown>;
}

/**
 * No guard: it stands among those of the application, where Nest asks each for `canActivate` when it binds a handler to
 * them, and drops this one. That tells of a transport, or of gateways, whether the guards of the application are theirs.
 */
export class BindingWitness {
  constructor(private readonly note: () => void) {}

  get canActivate(): undefined {
    this.note();
    return undefined;
  }
}

/** Finds out which handlers besides HTTP the guards for every route reach. */
@Injectable()
export class GlobalGuardReach {
  private readonly transports: Transport[] = [];
  private binding: Transport | undefined;
  private areGatewaysBound = false;
  private gatewaysInherit = false;

  private connected: () => void = () => undefined;

  // Private to the runtime too: a logger that prints the module does not show the application's container.
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

  /** Those of the application. */
  get modules(): ModulesContainer {
    return this.#modules;
  }

  /** Calls `connected` whenever a transport has been connected. */
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

  /** Those of others included; classes of guards that are made for each request. */
  get globalGuards(): readonly unknown[] {
    const { made, perRequest } = globalGuards(this.#config);
    return [...made, ...perRequest];
  }

  /** For handlers of HTTP. */
  get http(): Reach {
    return this.isGuardThere(true) ? 'guarded' : 'open';
  }

  /** For resolvers of GraphQL. @param isStatic whether Nest makes the provider once, and not for each request */
  resolvers(isStatic: boolean): Reach {
    return this.isGuardThere(!isStatic) ? 'guarded' : 'open';
  }

  /** For gateways. @param isStatic whether Nest makes the provider once, and not for each request */
  gateways(isStatic: boolean): Reach {
    if (!this.isGuardThere(!isStatic)) return 'open';
    // A pure microservice binds them among its messages.
    if (!this.servesHttp) return 'undecided';
    if (this.gatewaysInherit) return 'guarded';
    return isStatic ? 'open' : 'undecided';
  }

  /**
   * For a handler of messages, on every transport that serves it; undefined where none does.
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
    // A pure microservice has one configuration, the application's own.
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
