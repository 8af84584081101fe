import {
  ClientMqtt,
  ClientNats,
  ClientRedis,
  ClientRMQ,
  ClientTCP,
  MqttRecord,
  NatsRecord,
  RmqRecord,
} from '@nestjs/microservices';
import { type MessageVerb, ServiceSigningError } from '../../core/index.js';
import { isSigned } from './header-carrier.js';

/** The headers that a message takes along: names as they are sent. */
export type MessageHeaders = Readonly<Record<string, string>>;

/** Data as the application gives it, taken out of the record that holds it. */
export interface UnpackedData {
  readonly data: unknown;
  /** Puts signed data, and the headers beside it, into what the client of the broker is given. */
  pack(data: unknown, headers: MessageHeaders): object | Promise<object>;
}

/** How a client of one transport is given a token. */
export interface SendingTransport {
  readonly name: string;
  /** The pattern as the receiver will see it: over TCP, Nest writes that of an event otherwise than that of a request. */
  readonly routeOf: (pattern: unknown, verb: MessageVerb) => string;
  readonly unpack: (given: unknown) => UnpackedData;
  /** What in the options of the client keeps tokens from arriving; undefined where nothing does. */
  readonly flaw: string | undefined;
}

/** What a client of TCP or Redis sends as metadata of the packet, beside its data. */
export class DataWithMetadata {
  constructor(
    readonly data: unknown,
    readonly metadata: MessageHeaders,
  ) {}
}

/** Serializers of Nest that send data as `JSON.stringify` writes it. */
const KNOWN_SERIALIZERS: ReadonlySet<unknown> = new Set([
  'IdentitySerializer',
  'RmqRecordSerializer',
  'NatsRecordSerializer',
  'MqttRecordSerializer',
]);

/** The transport of a client; undefined for one that carries no tokens, such as Kafka and gRPC. */
export function sendingTransport(client: object): SendingTransport | undefined {
  const kind = KINDS.find(([type]) => client instanceof type);
  if (!kind) return undefined;
  const [, { name, textVerbs, unpack, flawOf }] = kind;
  const routeOf = (pattern: unknown, verb: MessageVerb): string =>
    writtenPattern(() =>
      textVerbs.includes(verb) ? patternText(pattern) : normalized(client, pattern),
    );
  return { name, routeOf, unpack, flaw: serializerFlaw(client) ?? flawOf(client) };
}

interface Kind {
  readonly name: string;
  /** The messages whose packet holds the pattern as it was given, rather than in the normal form of Nest. */
  readonly textVerbs: readonly MessageVerb[];
  readonly unpack: (given: unknown) => UnpackedData;
  readonly flawOf: (client: object) => string | undefined;
}

const noFlaw = (): undefined => undefined;

const KINDS: readonly (readonly [abstract new (...args: never[]) => object, Kind])[] = [
  [ClientTCP, { name: 'TCP', textVerbs: ['SEND'], unpack: asMetadata, flawOf: metadataFlaw }],
  [ClientRedis, { name: 'Redis', textVerbs: [], unpack: asMetadata, flawOf: metadataFlaw }],
  [ClientRMQ, { name: 'RabbitMQ', textVerbs: ['SEND', 'EMIT'], unpack: unpackRmq, flawOf: noFlaw }],
  [ClientNats, { name: 'NATS', textVerbs: [], unpack: unpackNats, flawOf: noFlaw }],
  [ClientMqtt, { name: 'MQTT', textVerbs: [], unpack: unpackMqtt, flawOf: mqttFlaw }],
];

/** @throws ServiceSigningError `message_unsignable` for a pattern that no text has */
function writtenPattern(write: () => string | undefined): string {
  const detail = 'its pattern is neither text nor JSON';
  let text: string | undefined;
  try {
    text = write();
  } catch (cause) {
    throw new ServiceSigningError('message_unsignable', { detail, cause });
  }
  if (text !== undefined) return text;
  throw new ServiceSigningError('message_unsignable', { detail });
}

/** Undefined for a symbol or a function. */
function patternText(pattern: unknown): string | undefined {
  return typeof pattern === 'string' ? pattern : JSON.stringify(pattern);
}

function normalized(client: object, pattern: unknown): string | undefined {
  const normalize = Reflect.get(client, 'normalizePattern') as (pattern: unknown) => unknown;
  const route: unknown = Reflect.apply(normalize, client, [pattern]);
  // Nest leaves what it does not know as it is.
  return typeof route === 'string' ? route : undefined;
}

function asMetadata(given: unknown): UnpackedData {
  return { data: given, pack: packMetadata };
}

function packMetadata(data: unknown, headers: MessageHeaders): DataWithMetadata {
  return new DataWithMetadata(data, headers);
}

function unpackRmq(given: unknown): UnpackedData {
  const record = given instanceof RmqRecord ? given : undefined;
  const { headers: own, ...options } = record?.options ?? {};
  return {
    data: record ? record.data : given,
    pack: (data, headers) =>
      new RmqRecord(data, { ...options, headers: { ...unsigned(own), ...headers } }),
  };
}

function unpackMqtt(given: unknown): UnpackedData {
  const record = given instanceof MqttRecord ? given : undefined;
  const { properties, ...options } = record?.options ?? {};
  const { userProperties: own, ...others } = properties ?? {};
  return {
    data: record ? record.data : given,
    pack: (data, headers) => {
      const userProperties = { ...unsigned(own), ...headers };
      return new MqttRecord(data, { ...options, properties: { ...others, userProperties } });
    },
  };
}

/** `MsgHdrs` of the client of NATS. */
interface NatsHeaders {
  set(name: string, value: string): void;
  append(name: string, value: string): void;
  keys(): string[];
  values(name: string): string[];
}

function unpackNats(given: unknown): UnpackedData {
  const record = given instanceof NatsRecord ? given : undefined;
  const own = record?.headers as NatsHeaders | undefined;
  return {
    data: record ? record.data : given,
    pack: async (data, headers) => {
      const written = await newNatsHeaders();
      for (const name of own?.keys().filter((each) => !isSigned(each)) ?? []) {
        for (const value of own?.values(name) ?? []) written.append(name, value);
      }
      for (const [name, value] of Object.entries(headers)) written.set(name, value);
      return new NatsRecord(data, written);
    },
  };
}

/** Nest 12 uses @nats-io/transport-node, Nest 11 uses nats: the one that is installed makes the headers. */
async function newNatsHeaders(): Promise<NatsHeaders> {
  for (const name of ['@nats-io/transport-node', 'nats']) {
    const client: unknown = await import(name).catch(() => undefined);
    const headers: unknown = Reflect.get(Object(client) as object, 'headers');
    if (typeof headers === 'function') return Reflect.apply(headers, undefined, []) as NatsHeaders;
  }
  throw new ServiceSigningError('message_unsignable', { detail: 'no client of NATS is installed' });
}

/** Without a token that the application copied from somewhere. */
export function unsigned<Value>(
  headers: Readonly<Record<string, Value>> | undefined,
): Record<string, Value> {
  const entries = Object.entries(headers ?? {});
  return Object.fromEntries(entries.filter(([name]) => !isSigned(name)));
}

function serializerFlaw(client: object): string | undefined {
  const serializer: unknown = Reflect.get(client, 'serializer');
  const name: unknown = Reflect.get(Object(serializer) as object, 'constructor') as unknown;
  const isKnown = typeof name === 'function' && KNOWN_SERIALIZERS.has(name.name);
  return isKnown
    ? undefined
    : 'has a serializer of its own, which sends other data than is signed; remove it';
}

function metadataFlaw(client: object): string | undefined {
  if (typeof Reflect.get(client, 'createPacket') === 'function') return undefined;
  return 'cannot carry a token before Nest 12.0.4: update @nestjs/microservices, or use RabbitMQ, NATS or MQTT';
}

function mqttFlaw(client: object): string | undefined {
  const options: unknown = Reflect.get(client, 'options');
  const version: unknown = Reflect.get(Object(options) as object, 'protocolVersion');
  return version === 5 ? undefined : 'speaks MQTT without headers: write protocolVersion: 5';
}
