import { createSlot } from '../../core/index.js';
import type { MessageDelivery, Refused } from './message-delivery.js';

/** The channel of amqplib, as far as it is needed. */
interface Channel {
  ack: (message: object, allUpTo?: boolean) => void;
  nack: (message: object, allUpTo?: boolean, requeue?: boolean) => void;
  reject: (message: object, requeue?: boolean) => void;
}

/** A message that was not acknowledged yet, and what is known of it. */
interface Unsettled {
  readonly delivery: MessageDelivery;
  isSettled: boolean;
}

const IS_WATCHED = createSlot<true>();
const UNSETTLED = createSlot<Unsettled>();

/**
 * Watches how a message ends: acknowledged is done, and returned is not. The use is committed before the
 * acknowledgement leaves, so that a crash between the two lets the broker deliver a message that is seen to be done.
 */
export function watchAcknowledgements(delivery: MessageDelivery): void {
  const { message, channel } = partsOf(delivery);
  if (!message || !channel) return;
  UNSETTLED.set(message, { delivery, isSettled: false });
  if (IS_WATCHED.get(channel)) return;
  IS_WATCHED.set(channel, true);
  const { ack, nack, reject } = channel;
  channel.ack = function (settled, allUpTo) {
    settle(settled, 'commit', () => Reflect.apply(ack, channel, [settled, allUpTo]));
  };
  channel.nack = function (settled, allUpTo, requeue) {
    settle(settled, 'release', () => Reflect.apply(nack, channel, [settled, allUpTo, requeue]));
  };
  channel.reject = function (settled, requeue) {
    settle(settled, 'release', () => Reflect.apply(reject, channel, [settled, requeue]));
  };
}

/** A message is settled once: a filter of the application may do so too, and a channel does not survive the second time. */
function settle(message: object, how: 'commit' | 'release', send: () => void): void {
  const unsettled = UNSETTLED.get(message);
  if (!unsettled) return send();
  if (unsettled.isSettled) return;
  unsettled.isSettled = true;
  const { claim } = unsettled.delivery;
  if (!claim) return send();
  void claim[how]()
    .then(send)
    .catch(() => undefined);
}

const PAUSE_MILLISECONDS = 1000;

/**
 * Settles a message that no handler serves, so that it does not stop the consumer. Without a good token it goes to the
 * dead-letter exchange, one that was handled before is done, and one that cannot be decided now is delivered again.
 */
export function settleRefused(delivery: MessageDelivery): void {
  const { message, channel } = partsOf(delivery);
  if (!delivery.endpoint.isRedelivered || !message || !channel) return;
  settleAs[delivery.refused ?? 'dead-letter'](channel, message);
}

const settleAs: Record<Refused, (channel: Channel, message: object) => void> = {
  'dead-letter': (channel, message) => channel.nack(message, false, false),
  drop: (channel, message) => channel.ack(message),
  // Later, since it comes again at once, and the reason has not gone by then.
  requeue: (channel, message) =>
    void setTimeout(() => channel.nack(message, false, true), PAUSE_MILLISECONDS).unref(),
};

function partsOf({ context }: MessageDelivery): {
  readonly message: object | undefined;
  readonly channel: Channel | undefined;
} {
  const get = (name: string): unknown => {
    const method: unknown = Reflect.get(context, name);
    return typeof method === 'function' ? Reflect.apply(method, context, []) : undefined;
  };
  const [message, channel] = [get('getMessage'), get('getChannelRef')];
  return {
    message: typeof message === 'object' && message !== null ? message : undefined,
    channel: typeof channel === 'object' && channel !== null ? (channel as Channel) : undefined,
  };
}
