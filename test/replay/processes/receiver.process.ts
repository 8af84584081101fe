// A service that receives, in a process of its own: it is sent what it needs, and sends back its port.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { MemoryReplayStore, type ReplayStore } from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { LogRecorder } from '../../support/observed/log-recorder.js';
import { startCensus } from '../../support/services/receiving-service.js';
import { HERALD } from '../../support/services/sending-service.js';

/** Before that every request would be answered 503. */
async function connectedTo(port: number): Promise<Redis> {
  const client = new Redis(port);
  if (client.status !== 'ready') await once(client, 'ready');
  return client;
}

/** What the test sends: a key, and the port of Redis where uses are to be shared. */
export interface Instructions {
  readonly publicKey: string;
  readonly redisPort?: number;
  /** Whether the service is given no store at all. */
  readonly byDefault?: boolean;
}

if (!isMainThread) {
  await serve(workerData as Instructions);
} else if (cluster.isWorker) {
  await serve(JSON.parse(process.argv[2] ?? '') as Instructions);
} else if (process.argv[2] === 'primary') {
  process.once('message', (instructions) => {
    // Two workers, as PM2 and others make them.
    cluster.setupPrimary({ args: [JSON.stringify(instructions)] });
    for (const worker of [cluster.fork(), cluster.fork()]) {
      worker.on('message', (message) => process.send?.(message));
    }
  });
} else if (process.argv[2] === 'threads') {
  process.once('message', (instructions) => {
    for (const each of [1, 2]) {
      const thread = new Worker(new URL(import.meta.url), {
        workerData: instructions,
        name: `${each}`,
      });
      thread.on('message', (message) => process.send?.(message));
    }
  });
} else {
  process.once('message', (instructions: Instructions) => void serve(instructions));
}
process.on('disconnect', () => process.exit());

async function storeFor({ redisPort, byDefault }: Instructions): Promise<ReplayStore | undefined> {
  if (byDefault) return undefined;
  if (redisPort === undefined) return new MemoryReplayStore();
  const client = await connectedTo(redisPort);
  return new RedisReplayStore({ client, timeoutMilliseconds: 10_000 });
}

async function serve(instructions: Instructions): Promise<void> {
  const replayStore = await storeFor(instructions);
  const { publicKey } = instructions;
  const logger = new LogRecorder();
  const service = await startCensus(
    'fastify',
    { replayStore, trustedIssuers: [{ issuer: HERALD, publicKey }] },
    logger,
  );
  const message = { port: service.port, warnings: logger.texts('warn') };
  if (parentPort) parentPort.postMessage(message);
  else process.send?.(message);
}
