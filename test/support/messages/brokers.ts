import type { ClientOptions, MicroserviceOptions } from '@nestjs/microservices';
import { ClientProxy, ServerRMQ, Transport } from '@nestjs/microservices';
import type { ConfirmChannel } from 'amqplib';
import { findFreePort, RedisServer } from '../redis/redis-server.js';
import { whereThereIs } from '../processes/where-there-is.js';
import { Broker, isInstalled } from './broker.js';

/** The transports that carry tokens, in the words of the documentation. */
export type TransportName = 'TCP' | 'Redis' | 'RabbitMQ' | 'NATS' | 'MQTT';

/** A place where services of one transport meet. */
export interface MeetingPlace {
  /** The options of a server of Nest. @param queue its own; RabbitMQ needs one for each service */
  server(queue: string): MicroserviceOptions;
  /** The options of a client of Nest that calls that server. */
  client(queue: string): ClientOptions;
  /** The port of the broker; of TCP that of the server. */
  readonly port: number;
  close(): Promise<void>;
}

/** What a transport needs, and how it behaves. */
export interface TransportUnderTest {
  readonly name: TransportName;
  readonly binary: string | undefined;
  /** Whether each replica gets each message. */
  readonly isFanOut: boolean;
  start(): Promise<MeetingPlace>;
}

/** Debian's own `rabbitmq-server` changes to a user of its system first. */
const RABBITMQ =
  ['/usr/lib/rabbitmq/bin/rabbitmq-server', 'rabbitmq-server'].find(isInstalled) ??
  'rabbitmq-server';
const NATS = 'nats-server';
const MOSQUITTO = 'mosquitto';

waitForConfirmsAtClose();

export const TRANSPORTS: readonly TransportUnderTest[] = [
  { name: 'TCP', binary: undefined, isFanOut: false, start: startTcp },
  { name: 'Redis', binary: 'redis-server', isFanOut: true, start: startRedis },
  { name: 'RabbitMQ', binary: RABBITMQ, isFanOut: false, start: startRabbitMq },
  { name: 'NATS', binary: NATS, isFanOut: true, start: startNats },
  { name: 'MQTT', binary: MOSQUITTO, isFanOut: true, start: startMqtt },
];

/** Before Nest 12.0.4, packets of TCP and Redis have no place for a token: test/nest/messages/nest-11.spec.ts. */
export const HAS_METADATA = 'createPacket' in ClientProxy.prototype;

/** Tests over TCP; on Nest 11 one in their place, since a test that is skipped fails in CI. */
export function describeTcp(title: string, tests: () => void): void {
  const instead = (): void => {
    it('needs Nest 12.0.4', () => expect(HAS_METADATA).toBe(false));
  };
  describe(title, HAS_METADATA ? tests : instead);
}

/** Those whose brokers are installed here. Jest reports the others as skipped, in each file that imports this one. */
export const INSTALLED_TRANSPORTS = TRANSPORTS.filter(({ name, binary }) => {
  if (!HAS_METADATA && (name === 'TCP' || name === 'Redis')) return false;
  if (binary === undefined || isInstalled(binary)) return true;
  whereThereIs(
    false,
    `${binary}, for ${name}`,
    describe,
  )(`messages over ${name}`, () => {
    it(`need ${binary}`, () => expect(isInstalled(binary)).toBe(true));
  });
  return false;
});

async function startTcp(): Promise<MeetingPlace> {
  const port = await findFreePort();
  const options = { host: '127.0.0.1', port };
  return {
    server: () => ({ transport: Transport.TCP, options }),
    client: () => ({ transport: Transport.TCP, options }),
    port,
    close: async () => await Promise.resolve(),
  };
}

async function startRedis(): Promise<MeetingPlace> {
  const redis = await RedisServer.start();
  const options = { host: '127.0.0.1', port: redis.port };
  return {
    server: () => ({ transport: Transport.REDIS, options }),
    client: () => ({ transport: Transport.REDIS, options }),
    port: redis.port,
    close: async () => await redis.close(),
  };
}

/**
 * Erlang starts a daemon that knows where nodes are, and that outlives them. So it is started here first, as a part of
 * the group of processes that ends with the broker.
 */
const RABBITMQ_AND_ITS_DAEMON =
  'epmd & until epmd -names || ! kill -0 $!; do sleep 0.1; done; exec "$0"';

/**
 * Nest closes its channel without waiting until the broker has confirmed the last answers. Each that is not confirmed
 * becomes a rejection that nobody handles, and that ends the process (nestjs/nest issue 10336). The broker may deliver
 * an answer before it confirms it, so a test that closes a server after its answer would fail by chance.
 */
function waitForConfirmsAtClose(): void {
  const { prototype } = ServerRMQ;
  const setupChannel = Reflect.get(prototype, 'setupChannel');
  const close = Reflect.get(prototype, 'close');
  const channels = new WeakMap<ServerRMQ, ConfirmChannel>();
  prototype.setupChannel = async function (channel: ConfirmChannel, callback) {
    channels.set(this, channel);
    await setupChannel.call(this, channel, callback);
  };
  prototype.close = async function () {
    // What can no longer be confirmed is the broker's to lose: some tests end it.
    await channels
      .get(this)
      ?.waitForConfirms()
      .catch(() => undefined);
    await close.call(this);
  };
}

/** On loopback alone: its node, and the daemon that knows where nodes are. */
async function startRabbitMq(): Promise<MeetingPlace> {
  const distribution = await findFreePort();
  const nodeNames = await findFreePort();
  const nodeOf = (port: number): string => `service-auth-${port}@localhost`;
  const broker = await Broker.start({
    binary: 'sh',
    args: () => ['-c', RABBITMQ_AND_ITS_DAEMON, RABBITMQ],
    files: ({ port }) => ({
      'rabbitmq.conf': [
        `listeners.tcp.1 = 127.0.0.1:${port}`,
        'log.console = false',
        'log.file = false',
        '',
      ].join('\n'),
      'advanced.config': '[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].\n',
      enabled_plugins: '[].\n',
    }),
    env: ({ port, folder }) => ({
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: `${nodeNames}`,
      HOME: folder,
      RABBITMQ_NODENAME: nodeOf(port),
      RABBITMQ_DIST_PORT: `${distribution}`,
      RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
      RABBITMQ_ADVANCED_CONFIG_FILE: `${folder}/advanced.config`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
      RABBITMQ_MNESIA_BASE: folder,
      RABBITMQ_LOG_BASE: folder,
      RABBITMQ_PID_FILE: `${folder}/pid`,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1',
    }),
  });
  const urls = [`amqp://guest:guest@127.0.0.1:${broker.port}`];
  const queueOptions = { durable: false };
  return {
    server: (queue) => ({
      transport: Transport.RMQ,
      options: { urls, queue, queueOptions, noAck: false },
    }),
    client: (queue) => ({ transport: Transport.RMQ, options: { urls, queue, queueOptions } }),
    port: broker.port,
    close: async () => await broker.close(),
  };
}

async function startNats(): Promise<MeetingPlace> {
  const broker = await Broker.start({
    binary: NATS,
    args: ({ port }) => ['--addr', '127.0.0.1', '--port', `${port}`],
  });
  const servers = [`nats://127.0.0.1:${broker.port}`];
  return {
    server: () => ({ transport: Transport.NATS, options: { servers } }),
    client: () => ({ transport: Transport.NATS, options: { servers } }),
    port: broker.port,
    close: async () => await broker.close(),
  };
}

async function startMqtt(): Promise<MeetingPlace> {
  const broker = await Broker.start({
    binary: MOSQUITTO,
    args: ({ folder }) => ['-c', `${folder}/mosquitto.conf`],
    files: ({ port }) => ({
      'mosquitto.conf': `listener ${port} 127.0.0.1\nallow_anonymous true\n`,
    }),
  });
  const options = { url: `mqtt://127.0.0.1:${broker.port}`, protocolVersion: 5 } as const;
  return {
    server: () => ({ transport: Transport.MQTT, options }),
    client: () => ({ transport: Transport.MQTT, options }),
    port: broker.port,
    close: async () => await broker.close(),
  };
}
