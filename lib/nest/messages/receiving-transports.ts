import { ServiceAuthUsageError } from '../../core/index.js';
import { type HeaderCarrier, headerText, member, recordHeaders } from './header-carrier.js';

/** How a token, and what it binds, is read from the context of one transport. */
export interface ReceivingTransport {
  readonly name: string;
  /** The concrete pattern, subject, topic or channel that the message was sent to. */
  routeOf(context: object): string;
  /** Where the message carries its headers; undefined where it has none. */
  headersOf(context: object): HeaderCarrier | undefined;
  /** The bytes of the whole message; undefined where the transport does not show them. */
  bytesOf(context: object): Uint8Array | undefined;
}

/** The numbers of `Transport` in @nestjs/microservices. */
const TRANSPORTS = new Map<unknown, ReceivingTransport>([
  [0, withMetadata('TCP', 'getPattern')],
  [1, withMetadata('Redis', 'getChannel')],
  [
    2,
    {
      name: 'NATS',
      routeOf: (context) => textOf(call(context, 'getSubject')),
      headersOf: (context) => natsHeaders(call(context, 'getHeaders')),
      bytesOf: () => undefined,
    },
  ],
  [
    3,
    {
      name: 'MQTT',
      routeOf: (context) => textOf(call(context, 'getTopic')),
      headersOf: (context) =>
        recordHeaders(member(member(call(context, 'getPacket'), 'properties'), 'userProperties')),
      bytesOf: (context) => bytesIn(member(call(context, 'getPacket'), 'payload')),
    },
  ],
  [
    5,
    {
      name: 'RabbitMQ',
      routeOf: (context) => textOf(call(context, 'getPattern')),
      headersOf: (context) =>
        recordHeaders(member(member(call(context, 'getMessage'), 'properties'), 'headers')),
      bytesOf: (context) => bytesIn(member(call(context, 'getMessage'), 'content')),
    },
  ],
]);

/** The transport of a Nest server, by its `transportId`; undefined for one that carries no tokens. */
export function receivingTransport(transportId: unknown): ReceivingTransport | undefined {
  return TRANSPORTS.get(transportId);
}

function withMetadata(name: string, route: string): ReceivingTransport {
  return {
    name,
    routeOf: (context) => textOf(call(context, route)),
    headersOf: (context) => recordHeaders(metadataOf(context, name)),
    bytesOf: () => undefined,
  };
}

/** @throws ServiceAuthUsageError before Nest 12.0.4, whose packets have none */
function metadataOf(context: object, name: string): unknown {
  if (typeof Reflect.get(context, 'getMetadata') === 'function')
    return call(context, 'getMetadata');
  throw new ServiceAuthUsageError(
    `Messages over ${name} carry a token from Nest 12.0.4 on: update @nestjs/microservices, or use RabbitMQ, NATS or MQTT.`,
  );
}

/** `MsgHdrs` of the client, whose methods compare names exactly by default. */
function natsHeaders(headers: unknown): HeaderCarrier | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
  return {
    names: () => listOf(call(headers, 'keys')).map(textOf),
    values: (name) => listOf(call(headers, 'values', name)).map(headerText),
    remove: (name) => void call(headers, 'delete', name),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function bytesIn(value: unknown): Uint8Array | undefined {
  if (typeof value === 'string') return Buffer.from(value);
  return value instanceof Uint8Array || ArrayBuffer.isView(value)
    ? (value as Uint8Array)
    : undefined;
}

function call(target: object, name: string, ...args: unknown[]): unknown {
  const method: unknown = Reflect.get(target, name);
  return typeof method === 'function' ? Reflect.apply(method, target, args) : undefined;
}
