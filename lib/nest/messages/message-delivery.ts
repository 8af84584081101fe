import { Subject } from 'rxjs';
import type { RequestState } from '../request-state.js';
import type { ReceivingTransport } from './receiving-transports.js';

/** The handler that a message is delivered to. */
export interface MessageEndpoint {
  /** As it was registered; of several handlers of one event the same. */
  readonly pattern: string;
  /** Whether it stands under `@EventPattern`: nobody waits for an answer. */
  readonly isEvent: boolean;
  readonly transport: ReceivingTransport;
  /** The consumer group that shares the messages of this pattern, as the transport names it. */
  readonly group: string | undefined;
  /** Whether several consumers get each message of this pattern. */
  readonly isFanOut: boolean;
  /** Whether the broker delivers a message again that was not acknowledged. */
  readonly isRedelivered: boolean;
  /** How many messages the broker hands out before one is acknowledged; infinite where it has no limit. */
  readonly prefetchCount: number;
  /** Whether messages are gone once they are delivered, though the broker could deliver again. */
  readonly isAcknowledgedUnread: boolean;
  /** Whether Nest runs several handlers for each message of this pattern. They are one unit. */
  readonly hasSeveralHandlers: boolean;
}

/** How a message ends that no handler serves. */
export type Refused = 'dead-letter' | 'requeue' | 'drop';

/** What a guard has found out about a delivery, and what has to happen when its handler ends. */
export interface DeliveryClaim {
  /** The handler has ended well: records that. */
  commit(): Promise<void>;
  /** The handler has failed: the message may be handled again. */
  release(): Promise<void>;
}

/** How the broker learns what became of a message, where it waits for that. */
export interface DeliverySettlement {
  /** The handler has ended. Resolves when what it settled has left; undefined where that was at once. */
  end(how: 'completed' | 'failed'): Promise<void> | undefined;
  /** No handler has served the message. */
  refuse(how: Refused): void;
}

/** One message that the broker has delivered, and all that this library knows of it. */
export class MessageDelivery {
  readonly state: RequestState = {};
  /** Set by the guard of a handler that takes part in a use of the message. */
  claim: DeliveryClaim | undefined;
  /** Set by the guard of a service that signs the answer. */
  answers: AnswerParts | undefined;
  /** Set where no handler may serve it. */
  refused: Refused | undefined;
  /** Set where the broker waits for an acknowledgement. */
  settlement: DeliverySettlement | undefined;
  /** Whether a guard has begun to verify it, and no handler has got it yet. */
  isDeciding = false;
  /** Whether its settlement and its reservation are ended, or about to be. */
  isConcluded = false;
  private readonly endings = new Subject<void>();

  constructor(
    readonly endpoint: MessageEndpoint,
    /** The RPC context of Nest. */
    readonly context: object,
  ) {}

  /** Emits once, when the delivery is over. */
  get ended(): Subject<void> {
    return this.endings;
  }
}

/** Turns what a handler answers into signed parts. */
export interface AnswerParts {
  /** @returns what is sent instead of the value */
  sign(part: { text: string | undefined; isError: boolean; isEnd: boolean }): Promise<object>;
}

const DELIVERIES = new WeakMap<object, MessageDelivery>();

/** The delivery that an RPC context of Nest belongs to; undefined for one that this library has not seen begin. */
export function deliveryOf(context: unknown): MessageDelivery | undefined {
  return typeof context === 'object' && context !== null ? DELIVERIES.get(context) : undefined;
}

/** Notes a delivery, whose context is the key: Nest hands the same one to every handler of a message. */
export function noteDelivery(delivery: MessageDelivery): void {
  DELIVERIES.set(delivery.context, delivery);
}
