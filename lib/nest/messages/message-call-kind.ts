import type { ExecutionContext } from '@nestjs/common';
import { createSlot } from '../../core/index.js';
import type { ServiceAuth } from '../../service-auth.js';
import { type CallKind, registerCallKind } from '../received-call.js';
import { isForEachInstance } from './event-consumer.decorator.js';
import { deliveryOf, type MessageDelivery } from './message-delivery.js';
import { ReceivedMessage, toRpcException } from './received-message.js';

const MESSAGES = createSlot<ReceivedMessage>();

const RPC: CallKind = {
  // Each delivery of a server whose transport carries tokens is noted before its first guard.
  carriesTokens: (context) => deliveryOf(context.switchToRpc().getContext()) !== undefined,
  of: messageIn,
  exceptionFor: toRpcException,
};

/** From now on decorators know messages, and the guard of this service verifies them. */
export function registerMessages(serviceAuth: ServiceAuth): void {
  registerCallKind('rpc', RPC, serviceAuth);
}

function messageIn(context: ExecutionContext): ReceivedMessage | undefined {
  const rpc = context.switchToRpc();
  const delivery = deliveryOf(rpc.getContext());
  const message = delivery && (MESSAGES.get(delivery) ?? remember(delivery, context));
  message?.assertConsumer(isForEachInstance(context));
  return message;
}

function remember(delivery: MessageDelivery, context: ExecutionContext): ReceivedMessage {
  const data: unknown = context.switchToRpc().getData();
  const message = new ReceivedMessage(delivery, data, isForEachInstance(context));
  MESSAGES.set(delivery, message);
  return message;
}
