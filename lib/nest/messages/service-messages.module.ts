import { type DynamicModule, Module, type ModuleMetadata } from '@nestjs/common';
import { CallContexts } from '../call-contexts.js';
import {
  MESSAGE_CLIENTS,
  type MessageClientOptions,
  MessageClients,
} from './message-clients.provider.js';
import type { MessageReceptionOptions } from './message-reception.js';
import { MESSAGE_RECEPTION, MessageServer } from './message-server.provider.js';
import { RabbitMqEventsCheck } from './rabbitmq-events.check.js';

type Imports = NonNullable<ModuleMetadata['imports']>;

/**
 * Service tokens for messages of `@nestjs/microservices`: RabbitMQ, Redis, NATS, MQTT and TCP.
 *
 * A service that receives imports the module as it is, or `forRoot(options)`; then `ServiceJwtGuard` and the parameter
 * decorators work on handlers under `@MessagePattern` and `@EventPattern`. A service that sends imports
 * `forClients([...])`, which makes the named clients sign. Needs a `ServiceAuthModule`: the global one, or one with
 * `isGlobal: false` among `imports`.
 */
@Module({
  providers: [
    CallContexts,
    MessageServer,
    RabbitMqEventsCheck,
    { provide: MESSAGE_RECEPTION, useValue: {} },
  ],
})
export class ServiceMessagesModule {
  /**
   * For a service that receives messages.
   *
   * @throws ServiceAuthConfigError at start, for wrong options
   */
  static forRoot(options: MessageReceptionOptions = {}, imports: Imports = []): DynamicModule {
    return {
      module: ServiceMessagesModule,
      imports,
      providers: [{ provide: MESSAGE_RECEPTION, useValue: options }],
    };
  }

  /**
   * Makes clients that `ClientsModule` registered sign what they send, under the tokens with which they are injected.
   *
   * @throws ServiceAuthConfigError at start, listing every problem
   */
  static forClients(
    clients: readonly MessageClientOptions[],
    imports: Imports = [],
  ): DynamicModule {
    return {
      module: ServiceMessageClientsModule,
      // It exports nothing: Nest calls the hooks of global modules first, so that what others send in theirs is signed.
      global: true,
      imports,
      providers: [{ provide: MESSAGE_CLIENTS, useValue: clients }],
    };
  }
}

/** What `ServiceMessagesModule.forClients()` imports. */
@Module({ providers: [MessageClients] })
export class ServiceMessageClientsModule {}
