import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectAmqp, type ConsumeMessage } from 'amqplib';
import { Redis } from 'ioredis';
import { connectAsync } from 'mqtt';
import type { MeetingPlace, TransportName } from './brokers.js';

/** Clients and servers that know the packets of Nest and nothing of this library: what they send is given byte for byte. */

export type Headers = Readonly<Record<string, string | readonly string[]>>;

/** A packet as it travels. */
export interface Frame {
  readonly pattern: string;
  /** The JSON text of the packet. */
  readonly text: string;
  /** Beside the packet, where the transport has headers. */
  readonly headers: Headers;
  /** Undefined for an event. */
  readonly id: string | undefined;
}

/** A packet, parsed. */
export type Packet = Readonly<Record<string, unknown>>;

/** A message before it is written. */
export interface PlainMessage {
  readonly pattern: string;
  /** The JSON text of its data, however odd. */
  readonly data: string;
  readonly headers?: Headers;
  /** Whether it is sent as one that wants an answer, whatever its handler is. */
  readonly wantsAnswer: boolean;
}

type OnText = (text: string) => void;

/** Serves what is sent to a pattern. @returns nothing: it answers with `reply`, as often as it likes */
export type OnFrame = (frame: Frame, reply: (packet: Packet) => void) => void;

/** One connection to the place where services meet. */
interface Wire {
  publish(frame: Frame): Promise<void>;
  serve(pattern: string, onFrame: OnFrame): Promise<void>;
  close(): Promise<void>;
}

interface Opening {
  readonly place: MeetingPlace;
  readonly queue: string;
  /** Gets what comes back. */
  readonly onReply: OnText;
}

const WIRES: Record<TransportName, (opening: Opening) => Promise<Wire>> = {
  TCP: openTcp,
  Redis: openRedis,
  RabbitMQ: openRabbitMq,
  NATS: openNats,
  MQTT: openMqtt,
};

/** A client of the broker: sends and serves, and collects answers. */
export class PlainPeer {
  private readonly waiting = new Map<string, (packet: Packet) => void>();

  private constructor(
    private readonly name: TransportName,
    private readonly wire: Wire,
  ) {}

  static async open(name: TransportName, place: MeetingPlace, queue: string): Promise<PlainPeer> {
    const onReply: OnText = (text) => {
      const packet = parse(text);
      peer.waiting.get(String(packet['id']))?.(packet);
    };
    const peer: PlainPeer = new PlainPeer(name, await WIRES[name]({ place, queue, onReply }));
    return peer;
  }

  /** Sends a message, and waits for nothing. */
  async tell(message: PlainMessage): Promise<void> {
    await this.wire.publish(this.write(message, message.wantsAnswer ? randomUUID() : undefined));
  }

  /** @returns the packets that answer, up to the one that ends */
  async ask(message: Omit<PlainMessage, 'wantsAnswer'>): Promise<Packet[]> {
    const id = randomUUID();
    return await this.forward(this.write({ ...message, wantsAnswer: true }, id));
  }

  /** Sends a frame that another client has made. @returns its answers, as those of {@link ask} */
  async forward(frame: Frame): Promise<Packet[]> {
    const { id = '' } = frame;
    const packets: Packet[] = [];
    const ended = new Promise<void>((resolve) => {
      this.waiting.set(id, (packet) => {
        packets.push(packet);
        if (packet['isDisposed'] === true) resolve();
      });
    });
    await this.wire.publish(frame);
    await ended;
    this.waiting.delete(id);
    return packets;
  }

  async serve(pattern: string, onFrame: OnFrame): Promise<void> {
    await this.wire.serve(pattern, onFrame);
  }

  async close(): Promise<void> {
    await this.wire.close();
  }

  private write({ pattern, data, headers = {} }: PlainMessage, id: string | undefined): Frame {
    const isInPacket = this.name === 'TCP' || this.name === 'Redis';
    const members = [
      `"pattern":${JSON.stringify(pattern)}`,
      `"data":${data}`,
      ...(id === undefined ? [] : [`"id":${JSON.stringify(id)}`]),
      ...(isInPacket ? [`"metadata":${JSON.stringify(headers)}`] : []),
    ];
    const text = `{${members.join(',')}}`;
    return { pattern, text, headers: isInPacket ? {} : headers, id };
  }
}

const parse = (text: string): Packet => JSON.parse(text) as Packet;

function idOf(text: string): string | undefined {
  const { id } = parse(text) as { id?: string };
  return id;
}

/** The framing of Nest: the length in characters, `#`, the text. */
function readFrames(socket: Socket, onText: OnText): void {
  let buffer = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk) => {
    buffer += String(chunk);
    for (let mark = buffer.indexOf('#'); mark >= 0; mark = buffer.indexOf('#')) {
      const end = mark + 1 + Number(buffer.slice(0, mark));
      if (buffer.length < end) return;
      const text = buffer.slice(mark + 1, end);
      buffer = buffer.slice(end);
      onText(text);
    }
  });
}

const framed = (text: string): string => `${text.length}#${text}`;

async function openTcp({ place, onReply }: Opening): Promise<Wire> {
  let socket: Socket | undefined;
  const sockets = new Set<Socket>();
  const handlers = new Map<string, OnFrame>();
  const server = createServer((caller) => {
    sockets.add(caller);
    caller.on('error', () => undefined);
    readFrames(caller, (text) => {
      const pattern = String(parse(text)['pattern']);
      const id = idOf(text);
      const frame = { pattern, text, headers: {}, id };
      handlers.get(pattern)?.(frame, (packet) =>
        caller.write(framed(JSON.stringify({ ...packet, id }))),
      );
    });
  });
  return await Promise.resolve({
    async publish({ text }) {
      if (!socket) {
        socket = connect(place.port, '127.0.0.1');
        socket.on('error', () => undefined);
        readFrames(socket, onReply);
        await once(socket, 'connect');
      }
      socket.write(framed(text));
    },
    async serve(pattern, onFrame) {
      handlers.set(pattern, onFrame);
      if (server.listening) return;
      server.listen(place.port, '127.0.0.1');
      await once(server, 'listening');
    },
    async close() {
      socket?.destroy();
      for (const caller of sockets) caller.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  } satisfies Wire);
}

async function openRedis({ place, onReply }: Opening): Promise<Wire> {
  const options = { host: '127.0.0.1', port: place.port, lazyConnect: true };
  const [to, from] = [new Redis(options), new Redis(options)];
  await Promise.all([to.connect(), from.connect()]);
  const handlers = new Map<string, OnFrame>();
  from.on('message', (channel: string, text: string) => {
    const handler = handlers.get(channel);
    if (!handler) return onReply(text);
    const id = idOf(text);
    const frame = { pattern: channel, text, headers: {}, id };
    handler(
      frame,
      (packet) => void to.publish(`${channel}.reply`, JSON.stringify({ ...packet, id })),
    );
  });
  return {
    async publish({ pattern, text, id }) {
      if (id !== undefined) await from.subscribe(`${pattern}.reply`);
      await to.publish(pattern, text);
    },
    async serve(pattern, onFrame) {
      handlers.set(pattern, onFrame);
      await from.subscribe(pattern);
    },
    async close() {
      await Promise.all([to.quit(), from.quit()]);
    },
  };
}

async function openRabbitMq({ place, queue, onReply }: Opening): Promise<Wire> {
  const connection = await connectAmqp(`amqp://guest:guest@127.0.0.1:${place.port}`);
  const channel = await connection.createChannel();
  const { queue: replyTo } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  const take = (reply: ConsumeMessage | null): void => {
    if (!reply) return;
    // Over RabbitMQ, the answers of Nest have their id beside the packet.
    const id: unknown = reply.properties.correlationId;
    onReply(JSON.stringify({ id, ...parse(reply.content.toString()) }));
  };
  await channel.consume(replyTo, take, { noAck: true });
  const handlers = new Map<string, OnFrame>();
  let isServing = false;
  return {
    async publish({ text, headers, id }) {
      const answer = id === undefined ? {} : { replyTo, correlationId: id };
      channel.sendToQueue(queue, Buffer.from(text), { headers: { ...headers }, ...answer });
      await Promise.resolve();
    },
    async serve(pattern, onFrame) {
      handlers.set(pattern, onFrame);
      if (isServing) return;
      isServing = true;
      await channel.assertQueue(queue, { durable: false });
      const serve = (message: ConsumeMessage | null): void => {
        if (!message) return;
        const text = message.content.toString();
        const id = idOf(text);
        const headers = (message.properties.headers ?? {}) as Headers;
        const frame = { pattern: String(parse(text)['pattern']), text, headers, id };
        const { replyTo: to, correlationId } = message.properties as unknown as Record<
          string,
          string
        >;
        handlers.get(frame.pattern)?.(frame, (packet) => {
          const content = Buffer.from(JSON.stringify({ ...packet, id }));
          channel.sendToQueue(to ?? '', content, { correlationId });
        });
      };
      await channel.consume(queue, serve, { noAck: true });
    },
    async close() {
      await channel.close();
      await connection.close();
    },
  };
}

/** What Nest 12's and Nest 11's client of NATS have in common. */
interface NatsPackage {
  connect(options: object): Promise<NatsConnection>;
  headers(): NatsHeaders;
  createInbox(): string;
}

interface NatsHeaders {
  append(name: string, value: string): void;
  keys(): string[];
  values(name: string): string[];
}

interface NatsMessage {
  readonly data: Uint8Array;
  readonly subject: string;
  readonly headers?: NatsHeaders;
  respond(data: Uint8Array): boolean;
}

interface NatsConnection {
  publish(subject: string, data: Uint8Array, options?: object): void;
  subscribe(
    subject: string,
    options: { callback: (error: unknown, message: NatsMessage) => void },
  ): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

async function natsPackage(): Promise<NatsPackage> {
  for (const name of ['@nats-io/transport-node', 'nats']) {
    const found = (await import(name).catch(() => undefined)) as NatsPackage | undefined;
    if (found) return found;
  }
  throw new Error('No client of NATS is installed.');
}

async function openNats({ place, onReply }: Opening): Promise<Wire> {
  const nats = await natsPackage();
  const connection = await nats.connect({ servers: `127.0.0.1:${place.port}` });
  const reply = nats.createInbox();
  connection.subscribe(reply, { callback: (_, { data }) => onReply(Buffer.from(data).toString()) });
  return {
    async publish({ pattern, text, headers, id }) {
      const written = nats.headers();
      for (const [name, value] of Object.entries(headers)) {
        for (const one of [value].flat()) written.append(name, one);
      }
      const answer = id === undefined ? {} : { reply };
      connection.publish(pattern, Buffer.from(text), { headers: written, ...answer });
      await connection.flush();
    },
    async serve(pattern, onFrame) {
      const callback = (_: unknown, message: NatsMessage): void => {
        const text = Buffer.from(message.data).toString();
        const id = idOf(text);
        const names = message.headers?.keys() ?? [];
        const headers = Object.fromEntries(
          names.map((name) => [name, message.headers?.values(name) ?? []]),
        );
        onFrame(
          { pattern, text, headers, id },
          (packet) => void message.respond(Buffer.from(JSON.stringify({ ...packet, id }))),
        );
      };
      connection.subscribe(pattern, { callback });
      await connection.flush();
    },
    close: async () => await connection.close(),
  };
}

async function openMqtt({ place, onReply }: Opening): Promise<Wire> {
  const client = await connectAsync(`mqtt://127.0.0.1:${place.port}`, { protocolVersion: 5 });
  const handlers = new Map<string, OnFrame>();
  client.on('message', (topic, content, { properties }) => {
    const text = content.toString();
    const handler = handlers.get(topic);
    if (!handler) return onReply(text);
    const id = idOf(text);
    const headers = { ...properties?.userProperties } as Headers;
    handler({ pattern: topic, text, headers, id }, (packet) => {
      client.publish(`${topic}/reply`, JSON.stringify({ ...packet, id }));
    });
  });
  return {
    async publish({ pattern, text, headers, id }) {
      if (id !== undefined) await client.subscribeAsync(`${pattern}/reply`);
      const userProperties = headers as Record<string, string | string[]>;
      const isBare = Object.keys(headers).length === 0;
      await client.publishAsync(pattern, text, isBare ? {} : { properties: { userProperties } });
    },
    async serve(pattern, onFrame) {
      handlers.set(pattern, onFrame);
      await client.subscribeAsync(pattern);
    },
    close: async () => await client.endAsync(true),
  };
}
