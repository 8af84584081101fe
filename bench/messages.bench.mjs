/**
 * What signed messages cost: in the core beside requests over HTTP with a body of the same size, and over each transport
 * whose broker is installed, beside the same messages without this library. Client, service and handler are in this
 * process; the broker is not.
 */
import 'reflect-metadata';
import { Controller, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { actingAsItself, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { writeMessageText } from 'nestjs-service-auth/core';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { firstValueFrom } from 'rxjs';
import { measure, medianCost, pairedRatios } from './measure.mjs';
import { TRANSPORTS } from './servers/brokers.mjs';
import { medianInterval, spread } from './statistics.mjs';
import {
  CENSUS,
  createCensus,
  createHerald,
  createKeyPair,
  HERALD,
  KEY_ID,
  outgoing,
  received,
  USER,
} from './tokens.mjs';

/** @typedef {import('./measure.mjs').Variant} Variant */
/** @typedef {import('@nestjs/microservices').ClientProxy} ClientProxy */
/**
 * @typedef {{ what: string, variant: string, inFlight: number, failure?: string, microseconds?: number,
 *   mainThread?: number, toFirst?: { median: number, lower: number, upper: number }, interval?: readonly [number, number] }} Row
 */

const PER_ROUND = 200;
const IN_FLIGHT = 50;

/** @param {{ quick: boolean }} options */
export async function runMessages({ quick }) {
  const plan = { rounds: quick ? 9 : 41, warmups: quick ? 4 : 15, perRound: PER_ROUND };
  /** @type {Row[]} */
  const rows = [];
  const variants = await coreVariants();
  for (const inFlight of [1, IN_FLIGHT]) {
    rows.push(...(await compared('core, sign and verify', variants, { ...plan, inFlight })));
  }
  for (const [transport, start] of Object.entries(TRANSPORTS)) {
    const broker = await start();
    if (!broker) {
      console.log(`messages: no broker of ${transport} is installed`);
      continue;
    }
    const services = await startServices(broker);
    try {
      for (const verb of /** @type {const} */ (['send', 'emit'])) {
        const pair = ['plain', 'guarded'].map((kind) => services.variant(kind, verb));
        rows.push(
          ...(await compared(`${transport}, ${verb}`, pair, { ...plan, inFlight: IN_FLIGHT })),
        );
      }
    } finally {
      await services.close();
      await broker.stop();
    }
  }
  console.log(
    `\nmessages, ES256: microseconds of CPU for each, medians of ${plan.rounds} rounds of ${PER_ROUND}; paired ratios to the first`,
  );
  console.table(rows.map(toPrinted));
  return { section: 'messages', rows };
}

/**
 * @param {string} what @param {readonly Variant[]} variants @param {import('./measure.mjs').Plan} plan
 * @returns {Promise<Row[]>} the ratios are those to the first variant
 */
async function compared(what, variants, plan) {
  const { measured, unfit } = await measure(variants, plan);
  const [first] = measured;
  if (first === undefined) throw new Error(`${what}: nothing could be measured`);
  const about = { what, inFlight: plan.inFlight };
  return [
    ...measured.map((each) => {
      const ratios = pairedRatios(each, first);
      return {
        ...about,
        variant: each.name,
        microseconds: medianCost(each),
        mainThread: medianCost(each, 'main'),
        toFirst: spread(ratios),
        interval: medianInterval(ratios),
      };
    }),
    ...unfit.map(({ name, failure }) => ({ ...about, variant: name, failure })),
  ];
}

/** Data whose text is as long as the body of the requests. */
const ofKibibyte = () => ({ id: Math.random(), text: 'x'.repeat(980) });

/** @returns {Promise<Variant[]>} */
async function coreVariants() {
  const caller = createKeyPair('ES256');
  const herald = await createHerald('ES256', caller.privateKey);
  const census = await createCensus('ES256', caller.publicKey);
  const target = /** @type {const} */ ({ audience: CENSUS, grants: 'never' });
  const heard = async (/** @type {unknown} */ given, changed = {}) => {
    const text = writeMessageText(given);
    const message = { verb: 'EMIT', route: 'user.changed', text, subject: USER };
    const { token, data } = await herald.signMessage(
      /** @type {import('nestjs-service-auth/core').OutgoingMessage} */ (message),
      target,
    );
    const headerValues = (/** @type {string} */ name) => (name === 'jwt' ? [token] : []);
    return await census.verifyMessage({
      verb: 'EMIT',
      route: 'user.changed',
      headerValues,
      data,
      ...changed,
    });
  };
  const asked = async () => await census.verify(await received(herald));
  return [
    {
      name: 'a request over HTTP',
      prepare: (count) => Array.from({ length: count }, ofKibibyte),
      run: asked,
      refuses: [
        async () => await census.verify({ ...(await received(herald)), body: outgoing().body }),
      ],
    },
    {
      name: 'a message',
      prepare: (count) => Array.from({ length: count }, ofKibibyte),
      run: (data) => heard(data),
      refuses: [async () => await heard({ id: 1 }, { data: { id: 2 } })],
    },
  ];
}

/** @param {import('./servers/brokers.mjs').Broker} broker */
async function startServices(broker) {
  const { privateKey, publicKey } = createKeyPair('ES256');
  const census = createKeyPair('ES256');
  const censusKey = { privateKey: census.privateKey, keyId: KEY_ID };
  /** @type {Map<number, () => void>} what waits for its event to be handled */
  const waiting = new Map();
  /** @param {'plain' | 'guarded'} kind */
  const controllerOf = (kind) => {
    class BenchController {
      /** @param {{ id: number }} user */
      get({ id }) {
        return { id };
      }
      /** @param {{ id: number }} user */
      changed({ id }) {
        waiting.get(id)?.();
        waiting.delete(id);
      }
    }
    const { prototype } = BenchController;
    Controller()(BenchController);
    decorate(prototype, 'get', MessagePattern(`${kind}.get`));
    decorate(
      prototype,
      'changed',
      /** @type {MethodDecorator} */ (EventPattern(`${kind}.changed`)),
    );
    if (kind === 'guarded') UseGuards(ServiceJwtGuard)(BenchController);
    return BenchController;
  };
  const receiving = ServiceAuthModule.forRoot({
    issuer: CENSUS,
    signingKey: censusKey,
    trustedIssuers: [{ issuer: HERALD, keys: [{ publicKey, keyId: KEY_ID }] }],
  });
  class PlainCensus {}
  Module({ controllers: [controllerOf('plain')] })(PlainCensus);
  class GuardedCensus {}
  Module({
    imports: [receiving, ServiceMessagesModule.forRoot({ delivery: 'at-most-once' })],
    controllers: [controllerOf('guarded')],
  })(GuardedCensus);
  class Herald {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: HERALD,
        signingKey: { privateKey, keyId: KEY_ID },
      }),
      ClientsModule.register([
        { name: 'plain', ...broker.options('plain') },
        { name: 'guarded', ...broker.options('guarded') },
      ]),
      ServiceMessagesModule.forClients([
        {
          client: 'guarded',
          audience: CENSUS,
          keys: [{ publicKey: census.publicKey, keyId: KEY_ID }],
        },
      ]),
    ],
  })(Herald);
  const services = await Promise.all(
    /** @type {const} */ ([
      ['plain', PlainCensus],
      ['guarded', GuardedCensus],
    ]).map(async ([kind, module]) => {
      const service = await NestFactory.createMicroservice(module, {
        ...broker.options(kind),
        logger: ['error'],
      });
      await service.listen();
      return service;
    }),
  );
  const herald = await NestFactory.createApplicationContext(Herald, { logger: ['error'] });
  let id = 0;
  /** @param {string} kind @param {'send' | 'emit'} verb @returns {Variant} */
  const variant = (kind, verb) => {
    const client = /** @type {ClientProxy} */ (herald.get(kind));
    const packed = (/** @type {object} */ data) =>
      kind === 'plain' ? data : serviceMessage(data, actingAsItself());
    const send = async (/** @type {{ id: number }} */ data) => {
      const answers = /** @type {import('rxjs').Observable<{ id: number }>} */ (
        client.send(`${kind}.get`, packed(data))
      );
      const answer = await firstValueFrom(answers);
      if (answer.id !== data.id) throw new Error('another answer');
    };
    const emit = async (/** @type {{ id: number }} */ data) => {
      const handled = new Promise((resolve) => waiting.set(data.id, () => resolve(undefined)));
      client.emit(`${kind}.changed`, packed(data));
      await handled;
    };
    return {
      name: kind === 'plain' ? 'unsigned' : 'signed',
      prepare: (count) => Array.from({ length: count }, () => ({ id: id++, name: 'Ada Lovelace' })),
      run: verb === 'send' ? send : emit,
    };
  };
  const close = async () => {
    await herald.close();
    for (const service of services) await service.close();
  };
  return { variant, close };
}

/** @param {object} prototype @param {string} name @param {MethodDecorator} pattern */
function decorate(prototype, name, pattern) {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  pattern(prototype, name, descriptor);
  Payload()(prototype, name, 0);
}

/** @param {Row} row */
function toPrinted({ what, inFlight, variant, failure, microseconds, mainThread, ...ratios }) {
  if (failure !== undefined) return { what, inFlight, variant, failure };
  const { toFirst, interval } = ratios;
  return {
    what,
    inFlight,
    variant,
    'all threads': microseconds?.toFixed(0),
    'main thread': mainThread?.toFixed(0),
    ratio: toFirst?.median.toFixed(2),
    '95 %': interval?.map((end) => end.toFixed(2)).join(' to '),
  };
}
