// A service that receives, in a process of its own: it is sent what it needs, and sends back its port.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { MemoryReplayStore } from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { LogRecorder } from '../../support/log-recorder.js';
import { startCensus } from '../../support/receiving-service.js';
import { HERALD } from '../../support/sending-service.js';

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
}

if (cluster.isWorker) {
  const { publicKey, redisPort } = JSON.parse(process.argv[2] ?? '') as Instructions;
  await serve(publicKey, redisPort);
} else if (process.argv[2] === 'primary') {
  process.once('message', (instructions) => {
    // Two workers, as PM2 and others make them.
    cluster.setupPrimary({ args: [JSON.stringify(instructions)] });
    for (const worker of [cluster.fork(), cluster.fork()]) {
      worker.on('message', (message) => process.send?.(message));
    }
  });
} else {
  process.once('message', ({ publicKey, redisPort }: Instructions) => {
    void serve(publicKey, redisPort);
  });
}
process.on('disconnect', () => process.exit());

async function serve(publicKey: string, redisPort: number | undefined): Promise<void> {
  const replayStore =
    redisPort === undefined
      ? new MemoryReplayStore()
      : new RedisReplayStore({
          client: await connectedTo(redisPort),
          timeoutMilliseconds: 10_000,
        });
  const logger = new LogRecorder();
  const service = await startCensus(
    'fastify',
    { replayStore, trustedIssuers: [{ issuer: HERALD, publicKey }] },
    logger,
  );
  process.send?.({ port: service.port, warnings: logger.texts('warn') });
}
