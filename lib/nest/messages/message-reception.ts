import type { ServiceAuth } from '../../service-auth.js';

/** How a service receives messages: `ServiceMessagesModule.forRoot()`. */
export interface MessageReceptionOptions {
  /**
   * `at-most-once`: events of RabbitMQ may be handled under `noAck: true`, where a crash loses them. Default
   * `at-least-once`: the guard refuses to stand there.
   */
  readonly delivery?: 'at-least-once' | 'at-most-once';
  /** For how many seconds a handler may be silent, as when its process has stopped. Default 30, 1 to 3600. */
  readonly leaseSeconds?: number;
  /** How many deliveries may wait for others of the same message. Default 5; at most half of `prefetchCount`. */
  readonly maxWaiting?: number;
}

/** How one service receives messages, with the state that changes while it does. */
export class MessageReception {
  private waiting = 0;

  constructor(
    readonly serviceAuth: ServiceAuth,
    private readonly options: Required<MessageReceptionOptions>,
    /** Whether each replica handles each event: `@EventConsumer('instance')`. */
    readonly isForEachInstance: boolean,
  ) {}
}
