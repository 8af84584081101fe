import { EventEmitter } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { jest } from '@jest/globals';
import { type INestApplication, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect } from 'amqplib';
import { createKey } from '../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../support/messages/brokers.js';
import { findFreePort } from '../support/redis/redis-server.js';
import { whereThereIs } from '../support/processes/where-there-is.js';
import { readBlocks } from './page-blocks.mjs';

/** Inside of the project, where imports are found; hidden, so that nothing else takes it for a source. */
const FOLDER = join(import.meta.dirname, '.messages');
const QUEUE = 'census';

const rabbitMq = INSTALLED_TRANSPORTS.find(({ name }) => name === 'RabbitMQ');

/** Lines of Nest's log, as they are written. */
const lines = new EventEmitter<{ line: [text: string] }>();
const note = (text: unknown): void => void lines.emit('line', String(text));

async function lineWith(words: string): Promise<string> {
  return await new Promise((resolve) => {
    lines.on('line', (text) => text.includes(words) && resolve(text));
  });
}

/** Ports of the services on the page, and the free ones of this run. */
interface Ports {
  readonly broker: number;
  readonly census: number;
  readonly herald: number;
}

/** The files of the page, as a reader would copy them: other ports, and keys beside them. */
function writePage(ports: Ports): void {
  for (const { language, code } of readBlocks('docs/messages.md')) {
    const file = /^\/\/ (\S+\/src\/\S+\.ts)$/m.exec(code)?.[1];
    if (language !== 'ts' || file === undefined) continue;
    const path = join(FOLDER, file);
    mkdirSync(dirname(path), { recursive: true });
    const adapted = code
      .replaceAll('amqp://localhost', `amqp://guest:guest@127.0.0.1:${ports.broker}`)
      .replaceAll('http://localhost:3000/', `http://localhost:${ports.census}/`)
      .replaceAll('http://localhost:3001/', `http://localhost:${ports.herald}/`)
      .replaceAll(/'(\w+\.private\.pem)'/g, (_, name: string) => JSON.stringify(keyFile(name)));
    writeFileSync(path, adapted);
  }
  for (const name of ['census.private.pem', 'herald.private.pem']) {
    writeFileSync(keyFile(name), createKey().privatePem);
  }
}

function keyFile(name: string): string {
  return join(FOLDER, name);
}

/** Runs the `main.ts` of Census, and waits until it takes messages. */
async function runCensus(port: number): Promise<INestApplication> {
  const created = jest.spyOn(NestFactory, 'create');
  const { PORT } = process.env;
  process.env['PORT'] = `${port}`;
  const started = lineWith('microservice successfully started');
  try {
    await import(join(FOLDER, 'census/src/main.ts'));
    await started;
    return (await created.mock.results[0]?.value) as INestApplication;
  } finally {
    created.mockRestore();
    if (PORT === undefined) delete process.env['PORT'];
    else process.env['PORT'] = PORT;
  }
}

whereThereIs(
  rabbitMq !== undefined,
  'RabbitMQ',
  describe,
)('the first example of docs/messages.md', () => {
  let place: MeetingPlace;
  let census: INestApplication;
  let herald: INestApplication;
  let url: string;

  beforeAll(async () => {
    place = await rabbitMq!.start();
    const ports = {
      broker: place.port,
      census: await findFreePort(),
      herald: await findFreePort(),
    };
    writePage(ports);
    Logger.overrideLogger({ log: note, error: note, warn: note });
    census = await runCensus(ports.census);
    const { AppModule } = (await import(join(FOLDER, 'herald/src/app.module.ts'))) as {
      AppModule: object;
    };
    herald = await NestFactory.create(AppModule);
    await herald.listen(ports.herald);
    url = `http://localhost:${ports.herald}/user/42`;
  }, 400_000);

  afterAll(async () => {
    await herald?.close();
    await census?.close();
    await place?.close();
    Logger.overrideLogger(true);
    rmSync(FOLDER, { recursive: true, force: true });
  });

  it('answers the request', async () => {
    let answer = await fetch(url);
    // Until each service has fetched the keys of the other.
    while (answer.status === 500) answer = await fetch(url);
    expect(await answer.json()).toEqual({
      id: '42',
      askedBy: expect.stringMatching(/^http:\/\/localhost:\d+\/user\/21\/$/) as unknown,
    });
  }, 30_000);

  it('handles the event', async () => {
    const line = lineWith('changed user');
    const answer = await fetch(url, { method: 'POST' });
    expect(answer.status).toBe(201);
    expect(await line).toMatch(/\/user\/21\/ changed user 42$/);
  }, 30_000);

  it('leaves nothing in the queue that a restart would deliver again', async () => {
    await census.close();
    const broker = await connect(`amqp://guest:guest@127.0.0.1:${place.port}`);
    const channel = await broker.createChannel();
    expect(await channel.checkQueue(QUEUE)).toMatchObject({ messageCount: 0, consumerCount: 0 });
    await broker.close();
  }, 30_000);
});
