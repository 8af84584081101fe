import { Server } from '@nestjs/microservices';
import {
  catchError,
  concat,
  concatWith,
  defer,
  EMPTY,
  filter,
  finalize,
  ignoreElements,
  isObservable,
  type Observable,
  of,
  throwError,
} from 'rxjs';
import { createSlot } from '../../core/index.js';
import { keepInside, type RunInside } from '../../for-whom/kept-inside.js';
import type { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { runnerIn } from '../call-contexts.js';
import { signAnswers } from './signed-answers.js';
import {
  type AnswerParts,
  deliveryOf,
  MessageDelivery,
  type MessageEndpoint,
  noteDelivery,
} from './message-delivery.js';
import { watchAcknowledgement } from './rabbitmq-acknowledgements.js';
import { receivingTransport } from './receiving-transports.js';

type Handler = ((...args: unknown[]) => unknown) & { next?: unknown };

/** `Server.addHandler` of Nest. */
type AddHandler = (
  this: object,
  ...registration: [
    pattern: unknown,
    callback: Handler,
    isEventHandler?: boolean,
    extras?: Readonly<Record<string, unknown>>,
  ]
) => void;

const IS_WATCHED = createSlot<true>();

/** The call contexts of the applications that serve messages in this process. */
const CONTEXTS = new Set<ServiceCallContext>();

/** `Server.send` of Nest, which answers with what a stream emits. */
type SendAnswers = (
  this: object,
  stream: Observable<unknown>,
  respond: (packet: object) => unknown,
) => unknown;

/** The error of a stream that others answer for: nothing of it is sent. */
const DROPPED = Symbol('DROPPED');

/** From now on each message is served in this call context too. @returns ends that */
export function serveMessagesIn(context: ServiceCallContext): () => void {
  watchServers();
  CONTEXTS.add(context);
  return () => CONTEXTS.delete(context);
}

/**
 * Lets this library see each message before the first guard, and its end behind the last filter. Nest has no such place:
 * a guard does not learn how the handler ended, and an interceptor is inside of the guards and of filters.
 */
function watchServers(): void {
  const prototype: object = Server.prototype;
  if (IS_WATCHED.get(prototype)) return;
  IS_WATCHED.set(prototype, true);
  const add = Reflect.get(prototype, 'addHandler') as AddHandler;
  const addWatched: AddHandler = function (...registration) {
    const [pattern, callback, isEventHandler = false, extras = {}] = registration;
    const endpoint = endpointOf(this, { pattern, isEventHandler, extras });
    const watched = endpoint ? watch(callback, endpoint) : callback;
    Reflect.apply(add, this, [pattern, watched, isEventHandler, extras]);
  };
  Reflect.set(prototype, 'addHandler', addWatched);
  const send = Reflect.get(prototype, 'send') as SendAnswers;
  const sendUndropped: SendAnswers = function (stream, respond) {
    const answer = (packet: object): unknown =>
      Reflect.get(packet, 'err') === DROPPED ? undefined : respond(packet);
    return Reflect.apply(send, this, [stream, answer]);
  };
  Reflect.set(prototype, 'send', sendUndropped);
}

interface Registration {
  readonly pattern: unknown;
  readonly isEventHandler: boolean;
  readonly extras: Readonly<Record<string, unknown>>;
}

/** Undefined for a server whose messages carry no token, such as Kafka: its handlers are refused by the guard. */
function endpointOf(
  server: object,
  { pattern, isEventHandler, extras }: Registration,
): Omit<MessageEndpoint, 'hasSeveralHandlers'> | undefined {
  const transport = receivingTransport(Reflect.get(server, 'transportId'));
  if (!transport) return undefined;
  const registered = String(
    Reflect.apply(Reflect.get(server, 'normalizePattern') as () => unknown, server, [pattern]),
  );
  const options: unknown = Reflect.get(server, 'options');
  const queue: unknown = extras['queue'] ?? Reflect.get(Object(options) as object, 'queue');
  const group = typeof queue === 'string' && queue !== '' ? queue : undefined;
  const { name } = transport;
  const isShared = registered.startsWith('$share/') || (name === 'NATS' && group !== undefined);
  const noAck = name === 'RabbitMQ' && Reflect.get(server, 'noAck') !== false;
  const isOfFanOutExchange = Reflect.get(Object(options) as object, 'exchangeType') === 'fanout';
  return {
    pattern: registered,
    isEvent: isEventHandler,
    transport,
    group,
    isFanOut:
      name === 'Redis' ||
      (name === 'RabbitMQ' && isOfFanOutExchange) ||
      (['NATS', 'MQTT'].includes(name) && !isShared),
    isRedelivered: name === 'RabbitMQ' && !noAck,
    prefetchCount: readPrefetch(options),
    isAcknowledgedUnread: noAck,
  };
}

/** In Nest and in AMQP, 0 is no limit. */
function readPrefetch(options: unknown): number {
  const count: unknown = Reflect.get(Object(options) as object, 'prefetchCount');
  return typeof count === 'number' && count > 0 ? count : Infinity;
}

function watch(callback: Handler, endpoint: Omit<MessageEndpoint, 'hasSeveralHandlers'>): Handler {
  const watched: Handler = async (...args) => {
    const context = args.at(-1);
    const isFirst = typeof context === 'object' && context !== null && !deliveryOf(context);
    if (!isFirst) return await callback(...args);
    const hasSeveralHandlers = callback.next !== undefined;
    const delivery = new MessageDelivery({ ...endpoint, hasSeveralHandlers }, context);
    noteDelivery(delivery);
    if (endpoint.isRedelivered) delivery.settlement = watchAcknowledgement(delivery);
    return await serve(delivery, () => callback(...args));
  };
  // Nest chains the handlers of one event here, and each looks for the next one on itself.
  Object.defineProperty(watched, 'next', {
    get: () => callback.next,
    set: (next: unknown) => {
      callback.next = next;
    },
    configurable: true,
  });
  return watched;
}

async function serve(delivery: MessageDelivery, handle: () => unknown): Promise<unknown> {
  const run = runnerIn([...CONTEXTS], delivery.state);
  const back = (): RunInside => (fn) => fn();
  try {
    const result = keepInside(await run(async () => await handle()), { run, back });
    return concluded(delivery, isObservable(result) ? result : of(result));
  } catch (error) {
    await conclude(delivery, 'failed');
    end(delivery);
    throw error;
  }
}

/**
 * What Nest answers. Of several handlers of one event the guards decide while this is subscribed to, so nothing is read
 * before its end.
 */
function concluded(delivery: MessageDelivery, result: Observable<unknown>): Observable<unknown> {
  const after = (how: 'completed' | 'failed'): Observable<never> =>
    // Not later than needed: a value and an end that arrive together are signed as one part.
    defer(() => conclude(delivery, how) ?? EMPTY).pipe(ignoreElements());
  const settled = concat(result, after('completed')).pipe(
    catchError((error: unknown) =>
      concat(
        after('failed'),
        throwError(() => error),
      ),
    ),
    finalize(() => void conclude(delivery, 'failed')),
  );
  const answers = (): AnswerParts | undefined =>
    delivery.refused === undefined ? delivery.answers : undefined;
  return undropped(delivery, signAnswers(settled, answers).pipe(finalize(() => end(delivery))));
}

/** A caller gets the answer of the filters, unless others answer instead of this service. */
function undropped(delivery: MessageDelivery, answered: Observable<unknown>): Observable<unknown> {
  const isDropped = (): boolean => delivery.refused === 'drop';
  const dropped = throwError(() => DROPPED);
  return answered.pipe(
    filter(() => !isDropped()),
    catchError((error: unknown) => (isDropped() ? EMPTY : throwError(() => error))),
    concatWith(defer(() => (isDropped() && !delivery.endpoint.isEvent ? dropped : EMPTY))),
  );
}

/**
 * Once for each delivery: settles what no handler served, and ends the reservation of what one has served.
 *
 * @returns undefined where nothing has to be waited for
 */
function conclude(
  delivery: MessageDelivery,
  how: 'completed' | 'failed',
): Promise<void> | undefined {
  const { refused, settlement, claim } = delivery;
  if (delivery.isConcluded) return undefined;
  delivery.isConcluded = true;
  if (settlement) {
    if (refused === undefined) return settlement.end(how);
    settlement.refuse(refused);
    return undefined;
  }
  return how === 'completed' && refused === undefined ? claim?.commit() : claim?.release();
}

function end({ state, ended }: MessageDelivery): void {
  state.endedAt = performance.now();
  ended.next();
  ended.complete();
}
