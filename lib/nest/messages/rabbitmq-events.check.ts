import { Inject, Injectable, Logger, type OnApplicationBootstrap, Optional } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ServiceAuthConfigError } from '../../core/index.js';
import { MemoryReplayStore } from '../../replay/memory-replay-store.js';
import { ServiceAuth } from '../../service-auth.js';
import { GlobalGuardReach } from '../global-guard-reach.js';
import { guardedEvents } from '../handler-coverage.js';
import { MessageReception } from './message-reception.js';

/** `Transport.RMQ` of @nestjs/microservices. */
const RABBITMQ = 5;

/** Checks at start that guarded events of RabbitMQ are not lost, and says how much memory their uses take. */
@Injectable()
export class RabbitMqEventsCheck implements OnApplicationBootstrap {
  private readonly servers = new Set<object>();
  private hasLooked = false;

  // Private to the runtime too: a logger that prints the module does not show the application's container.
  readonly #modules: ModulesContainer;

  constructor(
    @Optional() @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth | undefined,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#modules = modules;
    modules.getRpcTargetRegistry<object>().subscribe((server) => this.servers.add(server));
  }

  /** @throws ServiceAuthConfigError where a server acknowledges guarded events before their handlers run */
  onApplicationBootstrap(): void {
    const { serviceAuth } = this;
    // A microservice calls this twice.
    if (!serviceAuth || this.hasLooked) return;
    this.hasLooked = true;
    const events = this.guardedEvents();
    const servers = [...this.servers].filter(isRabbitMq);
    if (events.length === 0 || servers.length === 0) return;
    const acknowledged = servers.filter((server) => Reflect.get(server, 'noAck') !== false);
    if (acknowledged.length > 0 && !this.isAtMostOnce(serviceAuth)) {
      throw new ServiceAuthConfigError(events.map(problemOf));
    }
    if (acknowledged.length < servers.length) logMemory(serviceAuth);
  }

  private guardedEvents(): string[] {
    const [reach] = this.providersOf(GlobalGuardReach);
    return reach ? guardedEvents(this.#modules, reach, RABBITMQ) : [];
  }

  /** Of several services in one application, the first delivery shows whose guard protects the handler. */
  private isAtMostOnce(serviceAuth: ServiceAuth): boolean {
    const services = this.providersOf(RabbitMqEventsCheck).map((check) => check.serviceAuth);
    const isOnlyOne = new Set(services).size === 1;
    return !isOnlyOne || MessageReception.of(serviceAuth).isAtMostOnce;
  }

  private providersOf<T>(type: abstract new (...args: never[]) => T): T[] {
    return [...this.#modules.values()].flatMap(({ providers }) => {
      const instance: unknown = providers.get(type)?.instance;
      return instance instanceof type ? [instance] : [];
    });
  }
}

function isRabbitMq(server: object): boolean {
  return Reflect.get(server, 'transportId') === RABBITMQ;
}

function problemOf(handler: string): string {
  return `noAck: write noAck: false in the options of the RabbitMQ server, and acknowledge in each handler, also of requests; or write delivery: 'at-most-once' in ServiceMessagesModule.forRoot(). RabbitMQ forgets each event for ${handler} before its handler has run`;
}

/** Operators compare it with the rate that they know. */
function logMemory({ receiving }: ServiceAuth): void {
  const { replayStore, maxMessageLifetimeSeconds, clockToleranceSeconds } = receiving;
  if (!(replayStore instanceof MemoryReplayStore)) return;
  const seconds = maxMessageLifetimeSeconds + 2 * clockToleranceSeconds;
  const rate = Math.floor(replayStore.roomForOneIssuer / seconds);
  new Logger('ServiceAuth').log(
    `The memory replay store remembers events of RabbitMQ in this process alone: rate × lifetime entries. At ${seconds} s (maxMessageLifetimeSeconds and twice the tolerance) one caller may send ${rate} events per second. For more, or for several processes, use RedisReplayStore.`,
  );
}
