// A service that receives, in a process of its own: it is sent what it needs, and sends back its port.
import cluster from 'node:cluster';
import { Redis } from 'ioredis';
import { MemoryReplayStore } from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { LogRecorder } from '../../support/log-recorder.js';
import { startCensus } from '../../support/receiving-service.js';
import { HERALD } from '../../support/sending-service.js';

/** What the test sends: a key, and the port of Redis where uses are to be shared. */
export interface Instructions {
  readonly publicKey: string;
  readonly redisPort?: number;
}

if (cluster.isPrimary && process.argv[2] === 'primary') {
  // Two workers, as PM2 and others make them; messages pass through.
  cluster.setupPrimary({ args: [] });
  const workers = [cluster.fork(), cluster.fork()];
  for (const worker of workers) worker.on('message', (message) => process.send?.(message));
  process.on('message', (message) => workers.forEach((worker) => worker.send(message as object)));
  process.on('disconnect', () => process.exit());
} else {
  process.once('message', ({ publicKey, redisPort }: Instructions) => {
    void serve(publicKey, redisPort);
  });
  process.on('disconnect', () => process.exit());
}

async function serve(publicKey: string, redisPort: number | undefined): Promise<void> {
  const replayStore =
    redisPort === undefined
      ? new MemoryReplayStore()
      : new RedisReplayStore({ client: new Redis(redisPort), timeoutMilliseconds: 2000 });
  const logger = new LogRecorder();
  const service = await startCensus(
    'fastify',
    { replayStore, trustedIssuers: [{ issuer: HERALD, publicKey }] },
    logger,
  );
  process.send?.({ port: service.port, warnings: logger.texts('warn') });
}
