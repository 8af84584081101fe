import { createSlot } from '../../core/index.js';
import type {
  DeliveryClaim,
  DeliverySettlement,
  MessageDelivery,
  Refused,
} from './message-delivery.js';

/** The channel of amqplib, as far as it is needed. */
interface Channel {
  ack: (message: AmqpMessage, allUpTo?: boolean) => void;
  ackAll: () => void;
  nack: (message: AmqpMessage, allUpTo?: boolean, requeue?: boolean) => void;
  nackAll: (requeue?: boolean) => void;
  reject: (message: AmqpMessage, requeue?: boolean) => void;
  once: (event: 'close', listener: () => void) => unknown;
}

interface AmqpMessage {
  readonly fields: { readonly deliveryTag: number };
}

/** How the use of a message ends: acknowledged is done, and returned is not. */
type Outcome = 'commit' | 'release';

/** A settlement that a handler asks for. */
interface Asked {
  readonly outcome: Outcome;
  /** Of all messages that the channel delivered up to this one. */
  readonly allUpTo: boolean;
  /** Lets the settlement leave. */
  readonly send: (message: AmqpMessage, allUpTo: boolean) => void;
}

const LEDGERS = createSlot<Ledger>();
const UNSETTLED = createSlot<Unsettled>();

/**
 * Watches how a message ends. The use is committed before the acknowledgement leaves, so that a crash between the
 * two lets the broker deliver a message that is seen to be done.
 *
 * @returns undefined where the context shows no message or no channel
 */
export function watchAcknowledgement(delivery: MessageDelivery): DeliverySettlement | undefined {
  const { message, channel } = partsOf(delivery);
  return message && channel && ledgerOf(channel).open(message, delivery);
}

function ledgerOf(channel: Channel): Ledger {
  const ledger = LEDGERS.get(channel) ?? new Ledger(channel);
  LEDGERS.set(channel, ledger);
  return ledger;
}

/** The messages of one channel that the broker waits for, and the methods of the channel that settle them. */
class Ledger {
  isClosed = false;
  readonly nack: Channel['nack'];
  readonly ack: Channel['ack'];
  private readonly unsettled = new Map<number, Unsettled>();

  /** Replaces the methods of the channel. */
  constructor(channel: Channel) {
    const { ack, nack, reject, ackAll, nackAll } = channel;
    this.ack = ack.bind(channel);
    this.nack = nack.bind(channel);
    channel.ack = (message, allUpTo = false) =>
      this.settle(message, { outcome: 'commit', allUpTo, send: this.ack });
    channel.nack = (message, allUpTo = false, requeue = true) => {
      const send: Asked['send'] = (settled, all) => this.nack(settled, all, requeue);
      this.settle(message, { outcome: 'release', allUpTo, send });
    };
    channel.reject = (message, requeue) => {
      const send: Asked['send'] = (settled) => Reflect.apply(reject, channel, [settled, requeue]);
      this.settle(message, { outcome: 'release', allUpTo: false, send });
    };
    channel.ackAll = () => {
      if (!this.settleAll({ outcome: 'commit', send: this.ack }))
        Reflect.apply(ackAll, channel, []);
    };
    channel.nackAll = (requeue = true) => {
      const send: Asked['send'] = (settled, all) => this.nack(settled, all, requeue);
      const isDone = this.settleAll({ outcome: 'release', send });
      if (!isDone) Reflect.apply(nackAll, channel, [requeue]);
    };
    channel.once('close', () => this.close());
  }

  open(message: AmqpMessage, delivery: MessageDelivery): Unsettled {
    const { deliveryTag } = message.fields;
    const forget = (): void => void this.unsettled.delete(deliveryTag);
    const unsettled = new Unsettled(delivery, { ledger: this, message, forget });
    UNSETTLED.set(message, unsettled);
    this.unsettled.set(deliveryTag, unsettled);
    return unsettled;
  }

  /** A message is settled once: filters may do so too, and no channel survives the second time. */
  private settle(message: AmqpMessage, { outcome, allUpTo, send }: Asked): void {
    const { deliveryTag } = message.fields;
    const one = UNSETTLED.get(message) ?? this.unsettled.get(deliveryTag);
    if (!one) return send(message, allUpTo);
    if (!one.isOfHandler) return;
    const others = allUpTo ? this.before(deliveryTag) : [];
    for (const other of others) other.settleAlong({ outcome, send });
    const after = others.map((other) => other.sent);
    // One message at a time: the channel may have some that no guard has seen yet, and those settle themselves.
    one.settle(outcome, { send: () => send(message, false), after });
  }

  /** @returns false where this library has seen none of them */
  private settleAll(asked: Pick<Asked, 'outcome' | 'send'>): boolean {
    const all = [...this.unsettled.values()];
    for (const each of all) each.settleAlong(asked);
    return all.length > 0;
  }

  private before(deliveryTag: number): Unsettled[] {
    return [...this.unsettled.values()].filter(({ tag }) => tag < deliveryTag);
  }

  /** The broker delivers again what was not settled. */
  private close(): void {
    this.isClosed = true;
    for (const each of this.unsettled.values()) each.loseChannel();
    this.unsettled.clear();
  }
}

const PAUSE_MILLISECONDS = 1000;

interface Place {
  readonly ledger: Ledger;
  readonly message: AmqpMessage;
  /** To be called when its settlement has left. */
  readonly forget: () => void;
}

/** One message that the broker waits for. */
class Unsettled implements DeliverySettlement {
  private outcome: Outcome | undefined;
  private leaving: Promise<unknown> | undefined;
  private hasEnded = false;

  constructor(
    private readonly delivery: MessageDelivery,
    private readonly place: Place,
  ) {}

  get tag(): number {
    return this.place.message.fields.deliveryTag;
  }

  get isOpen(): boolean {
    return this.outcome === undefined;
  }

  /** Whether a handler decides: what the guard refuses is settled by this library, whatever a filter does. */
  get isOfHandler(): boolean {
    return this.isOpen && this.delivery.refused === undefined;
  }

  /** Fulfilled when its settlement has left; undefined where it left at once, or none was asked for. */
  get sent(): Promise<unknown> | undefined {
    return this.leaving;
  }

  /** Together with a later message, unless no handler has got this one yet. */
  settleAlong({ outcome, send }: Pick<Asked, 'outcome' | 'send'>): void {
    if (!this.isOfHandler || this.delivery.isDeciding) return;
    this.settle(outcome, { send: () => send(this.place.message, false), after: [] });
  }

  settle(
    outcome: Outcome,
    {
      send,
      after,
    }: { readonly send: () => void; readonly after: readonly (Promise<unknown> | undefined)[] },
  ): void {
    if (!this.isOpen) return;
    this.outcome = outcome;
    const { claim } = this.delivery;
    const first = after.filter((each) => each !== undefined);
    if (!claim && first.length === 0) {
      this.place.forget();
      return send();
    }
    this.leaving = Promise.all([claim?.[outcome](), ...first])
      .then(send)
      // The channel is closed: what it delivered is delivered again.
      .catch(() => undefined)
      .finally(this.place.forget);
  }

  end(how: 'completed' | 'failed'): Promise<void> | undefined {
    this.hasEnded = true;
    const { claim } = this.delivery;
    return claim && this.endUse(claim, how);
  }

  refuse(how: Refused): void {
    this.hasEnded = true;
    const { ledger, message } = this.place;
    const { hasSeveralHandlers } = this.delivery.endpoint;
    switch (how) {
      case 'drop':
        return this.leave('commit', () => ledger.ack(message));
      case 'dead-letter':
        // Of several handlers the others may have run.
        return this.leave(hasSeveralHandlers ? 'commit' : 'release', () =>
          ledger.nack(message, false, false),
        );
      default:
        // Later, since it comes again at once, and the reason has not gone by then.
        setTimeout(
          () => this.leave('release', () => ledger.nack(message, false, true)),
          PAUSE_MILLISECONDS,
        ).unref();
    }
  }

  loseChannel(): void {
    if (this.hasEnded && this.isOpen) void this.delivery.claim?.release();
  }

  private async endUse(claim: DeliveryClaim, how: 'completed' | 'failed'): Promise<void> {
    const { outcome, leaving } = this;
    await leaving;
    if (outcome) return await claim[outcome]();
    // Where the handler ended well, it may acknowledge later: until then the use stays reserved.
    if (how === 'failed' || this.place.ledger.isClosed) await claim.release();
  }

  private leave(outcome: Outcome, send: () => void): void {
    const sendOrLose = (): void => {
      try {
        send();
      } catch {
        // The channel is closed: what it delivered is delivered again.
      }
    };
    this.settle(outcome, { send: sendOrLose, after: [] });
  }
}

function partsOf({ context }: MessageDelivery): {
  readonly message: AmqpMessage | undefined;
  readonly channel: Channel | undefined;
} {
  const get = (name: string): unknown => {
    const method: unknown = Reflect.get(context, name);
    return typeof method === 'function' ? Reflect.apply(method, context, []) : undefined;
  };
  const [message, channel] = [get('getMessage'), get('getChannelRef')];
  return {
    message: typeof message === 'object' && message !== null ? (message as AmqpMessage) : undefined,
    channel: typeof channel === 'object' && channel !== null ? (channel as Channel) : undefined,
  };
}
