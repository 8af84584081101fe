import { randomBytes } from 'node:crypto';
import {
  RECEPTION_OPTIONS,
  ServiceAuthConfigError,
  ServiceAuthUsageError,
} from '../../core/index.js';
import type { ServiceAuth } from '../../service-auth.js';
import type { MessageEndpoint } from './message-delivery.js';

/** How a service receives messages: `ServiceMessagesModule.forRoot()`. */
export interface MessageReceptionOptions {
  /**
   * `at-most-once`: handlers of events may stand under `noAck: true` of RabbitMQ, where a crash loses events. Default
   * `at-least-once`: the guard fails there.
   */
  readonly delivery?: 'at-least-once' | 'at-most-once';
  /** After how many seconds another process may handle an event whose handler says nothing, 1 to 3600. Default 30. */
  readonly leaseSeconds?: number;
}

export const OPTION_NAMES = RECEPTION_OPTIONS satisfies readonly (keyof MessageReceptionOptions)[];

const RECEPTIONS = new WeakMap<object, MessageReception>();

/** How one service receives messages, with the state that changes while it does. */
export class MessageReception {
  /** One process may run several replicas, so this is no property of the process. */
  private readonly instance = randomBytes(12).toString('base64url');
  private waiting = 0;

  constructor(
    readonly serviceAuth: ServiceAuth,
    private readonly options: MessageReceptionOptions,
  ) {}

  get leaseMilliseconds(): number {
    return (this.options.leaseSeconds ?? 30) * 1000;
  }

  get isAtMostOnce(): boolean {
    return this.options.delivery === 'at-most-once';
  }

  /**
   * Says how a service receives messages. Several modules may say it: what one leaves open, another one decides.
   *
   * @throws ServiceAuthConfigError where two of them disagree
   */
  static define(serviceAuth: ServiceAuth, options: MessageReceptionOptions): void {
    const known = RECEPTIONS.get(serviceAuth)?.options ?? {};
    const problems = OPTION_NAMES.filter(
      (name) => ![known[name], undefined].includes(options[name]) && known[name] !== undefined,
    ).map((name) => `forRoot.${name}: write it once: another forRoot() says ${known[name]}`);
    if (problems.length > 0) throw new ServiceAuthConfigError(problems);
    const { delivery = known.delivery, leaseSeconds = known.leaseSeconds } = options;
    const joined = { ...(delivery && { delivery }), ...(leaseSeconds && { leaseSeconds }) };
    RECEPTIONS.set(serviceAuth, new MessageReception(serviceAuth, joined));
  }

  /** @throws ServiceAuthUsageError for a service whose application does not import ServiceMessagesModule */
  static of(verifier: object): MessageReception {
    const known = RECEPTIONS.get(verifier);
    if (known) return known;
    throw new ServiceAuthUsageError(
      'The guard of a message handler needs ServiceMessagesModule: import it where ServiceAuthModule is imported.',
    );
  }

  /**
   * Whose uses of one token exclude each other. A request has one receiver. An event has one in each subscription of each
   * service, and where `isForEachInstance` one in each application.
   */
  spaceOf({ isEvent, pattern, group }: MessageEndpoint, isForEachInstance: boolean): string {
    if (!isEvent) return 'SEND';
    const { issuer } = this.serviceAuth.settings;
    const instance = isForEachInstance ? this.instance : '';
    return `EMIT ${JSON.stringify([issuer, pattern, group ?? '', instance])}`;
  }

  /**
   * Runs a function for which a delivery may wait: for so many as leave half of what the broker hands out at a time.
   *
   * @param wait gets how long to wait, in milliseconds
   */
  async whileWaiting<T>(
    { prefetchCount }: MessageEndpoint,
    wait: (milliseconds: number) => Promise<T>,
  ): Promise<T> {
    if (this.waiting >= Math.floor(prefetchCount / 2)) return await wait(0);
    this.waiting += 1;
    try {
      return await wait(this.leaseMilliseconds);
    } finally {
      this.waiting -= 1;
    }
  }
}
