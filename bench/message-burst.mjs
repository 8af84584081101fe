/**
 * How long many events at once keep the event loop from other work: `node bench/message-burst.mjs [--calls N] [--rounds N]`.
 * 5,000 calls of `emit()` in one turn, over TCP to a process that only reads, by a client that signs and by one that does
 * not. The delay is the greatest of `monitorEventLoopDelay`, beside that of a while in which nothing is done.
 */
import 'reflect-metadata';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { actingAsItself, ServiceAuthModule } from 'nestjs-service-auth';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { machine } from './machine.mjs';
import { median } from './statistics.mjs';
import { CENSUS, createKeyPair, HERALD } from './tokens.mjs';

/** @typedef {import('@nestjs/microservices').ClientProxy} ClientProxy */
/** In milliseconds. @typedef {{ calls: number, later: number, delay: number, idle: number, all: number }} Burst */

const { values: options } = parseArgs({
  options: {
    calls: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '11' },
  },
});
const calls = Number(options.calls);
const rounds = Number(options.rounds);
const WARM_UPS = 6;
const IDLE_MILLISECONDS = 50;
const SINK = `require('node:net').createServer((socket) => socket.resume()).listen(0, '127.0.0.1', function () {
  console.log(this.address().port);
});
process.stdin.resume().on('end', () => process.exit());`;

/** Milliseconds of the turns of the event loop, from the call of `start` on. */
class Turns {
  first = 0;
  later = 0;
  #last = 0;
  #isStopped = false;

  start() {
    this.#last = performance.now();
    setImmediate(() => this.#tick());
  }

  stop() {
    this.#isStopped = true;
  }

  #tick() {
    const now = performance.now();
    const turn = now - this.#last;
    if (this.first === 0) this.first = turn;
    else this.later = Math.max(this.later, turn);
    this.#last = now;
    if (!this.#isStopped) setImmediate(() => this.#tick());
  }
}

/** @param {() => import('rxjs').Observable<unknown>} emit @returns {Promise<Burst>} */
async function burst(emit) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await setTimeout(IDLE_MILLISECONDS);
  const idle = delay.max / 1e6;
  const turns = new Turns();
  turns.start();
  const start = performance.now();
  let left = calls;
  await new Promise((resolve, reject) => {
    const complete = () => void (--left === 0 && resolve(undefined));
    for (let call = 0; call < calls; call++) emit().subscribe({ complete, error: reject });
  });
  turns.stop();
  const all = performance.now() - start;
  await setTimeout(IDLE_MILLISECONDS);
  delay.disable();
  return { calls: turns.first, later: turns.later, delay: delay.max / 1e6, idle, all };
}

const sink = spawn(process.execPath, ['-e', SINK], { stdio: ['pipe', 'pipe', 'inherit'] });
const [line] = /** @type {[Buffer]} */ (await once(sink.stdout, 'data'));
const address = { host: '127.0.0.1', port: Number(line.toString()) };
const { privateKey } = createKeyPair('ES256');

class BenchModule {}
Module({
  imports: [
    ServiceAuthModule.forRoot({ issuer: HERALD, signingKey: { privateKey } }),
    ClientsModule.register(
      ['unsigned', 'signed'].map((name) => ({ name, transport: Transport.TCP, options: address })),
    ),
    ServiceMessagesModule.forClients([{ client: 'signed', audience: CENSUS, answers: 'none' }]),
  ],
})(BenchModule);
const app = await NestFactory.createApplicationContext(BenchModule, { logger: ['error'] });

/** @type {Record<string, object>} */
const DATA = { 'a small object': { id: 42 }, '1 KiB': { id: 42, text: 'x'.repeat(1000) } };

console.log({ ...machine(), calls, rounds });
console.log('Milliseconds, the median of the rounds, and the least and the most.');
/** @type {Record<string, object>} */
const table = {};
for (const [title, data] of Object.entries(DATA)) {
  /** @type {Record<string, () => import('rxjs').Observable<unknown>>} */
  const ways = {};
  for (const name of ['unsigned', 'signed']) {
    const client = /** @type {ClientProxy} */ (app.get(name));
    await client.connect();
    ways[name] = () =>
      client.emit(
        'user.changed',
        name === 'signed' ? serviceMessage(data, actingAsItself()) : data,
      );
  }
  /** @type {Record<string, Burst[]>} */
  const bursts = { unsigned: [], signed: [] };
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const [name, emit] of Object.entries(ways)) {
      const measured = await burst(emit);
      if (round >= 0) bursts[name]?.push(measured);
    }
  }
  for (const [name, measured] of Object.entries(bursts)) {
    const show = (/** @type {keyof Burst} */ part) => {
      const every = measured.map((each) => each[part]);
      const ends = `${Math.min(...every).toFixed(1)} to ${Math.max(...every).toFixed(1)}`;
      return `${median(every).toFixed(1)} (${ends})`;
    };
    table[`${title}, ${name}`] = {
      'turn of the calls': show('calls'),
      'longest turn after it': show('later'),
      'greatest delay': show('delay'),
      'idle before': show('idle'),
      'until all are sent': show('all'),
    };
  }
}
console.table(table);
await app.close();
sink.stdin.end();
