/**
 * Calling another service: what signing adds to a request of axios and of fetch. CPU of the calling process; the one
 * that is called is a process of its own.
 */
import 'reflect-metadata';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { HttpModule, HttpService } from '@nestjs/axios';
import { NestFactory } from '@nestjs/core';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { onBehalfOf as axiosFor, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { measure, medianCost, pairedRatios } from './measure.mjs';
import { spread } from './statistics.mjs';
import { CENSUS, createCensus, createKeyPair, HERALD, KEY_ID, USER } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/** @typedef {import('./measure.mjs').Variant} Variant */
/** @typedef {'POST' | 'GET'} Method */
/** Sends a request to a server, and fails unless the answer is 200. @typedef {(base: string, method: Method) => Promise<void>} Call */
/** @typedef {{ axios: Call, fetch: Call }} Clients */
/** @typedef {{ algorithm: BenchAlgorithm, method: Method, inFlight: number }} Task */

const RECEIVER = fileURLToPath(new URL('servers/receiver.mjs', import.meta.url));
const BODY = JSON.stringify({ name: 'x'.repeat(1024 - '{"name":""}'.length) });
const JSON_TYPE = { 'content-type': 'application/json' };
const TARGET = 'user/?dry=1';

/** RS256 takes what RSA takes: one row shows it. @type {readonly Task[]} */
const TASKS = [
  { algorithm: 'ES256', method: 'POST', inFlight: 20 },
  { algorithm: 'ES256', method: 'POST', inFlight: 1 },
  { algorithm: 'ES256', method: 'GET', inFlight: 20 },
  { algorithm: 'EdDSA', method: 'POST', inFlight: 20 },
  { algorithm: 'EdDSA', method: 'POST', inFlight: 1 },
  { algorithm: 'RS256', method: 'POST', inFlight: 20 },
];

/** @param {{ quick: boolean }} options */
export async function runOutgoing({ quick }) {
  const receiver = fork(RECEIVER);
  const [port] = /** @type {[number]} */ (await once(receiver, 'message'));
  /** @type {object[]} */
  const rows = [];
  try {
    for (const task of quick ? TASKS.slice(0, 1) : TASKS) {
      rows.push(...(await measureTask(`http://127.0.0.1:${port}/`, task, quick)));
    }
  } finally {
    receiver.disconnect();
  }
  return { section: 'outgoing', rows };
}

/** @param {string} base @param {Task} task @param {boolean} quick */
async function measureTask(base, { algorithm, method, inFlight }, quick) {
  const { privateKey, publicKey } = createKeyPair(algorithm);
  const control = await startControl(algorithm, publicKey);
  const unsigned = await startUnsigned();
  const signing = await startSigning(algorithm, privateKey, [base, control.base]);
  const perRound = algorithm === 'RS256' ? 150 : 300;
  const plan = { rounds: quick ? 7 : 21, warmups: quick ? 8 : 14, perRound, inFlight };
  try {
    const { measured, unfit } = await measure(
      ['axios', 'fetch'].flatMap((name) => {
        const client = /** @type {'axios' | 'fetch'} */ (name);
        return [
          toVariant(`${name}, unsigned`, unsigned.clients[client], base, method),
          signedVariant(`${name}, signed`, signing.clients[client], { base, control, method }),
        ];
      }),
      plan,
    );
    const table = measured.map((each) => {
      const plain = measured.find(
        ({ name }) => name === each.name.replace(', signed', ', unsigned'),
      );
      return {
        algorithm,
        method,
        inFlight,
        variant: each.name,
        microseconds: medianCost(each),
        mainThread: medianCost(each, 'main'),
        toUnsigned: plain && spread(pairedRatios(each, plain)),
      };
    });
    console.log(
      `\noutgoing, ${method}${method === 'POST' ? ' 1 KiB' : ''}, ${algorithm}, ${inFlight} in flight: ` +
        `microseconds of CPU for each, medians of ${plan.rounds} rounds of ${perRound}; ratio to the same client unsigned`,
    );
    console.table(table.map(toPrinted));
    for (const { name, failure } of unfit) console.log(`${name}: not measured. ${failure}`);
    return [
      ...table,
      ...unfit.map(({ name, failure }) => ({
        algorithm,
        method,
        inFlight,
        variant: name,
        failure,
      })),
    ];
  } finally {
    await Promise.all([unsigned.close(), signing.close(), control.close()]);
  }
}

/** @param {string} name @param {Call} call @param {string} base @param {Method} method @returns {Variant} */
function toVariant(name, call, base, method) {
  return {
    name,
    prepare: (count) => Array.from({ length: count }, () => base),
    run: async (to) => await call(to, method),
  };
}

/**
 * @param {string} name
 * @param {Call} call
 * @param {{ base: string, control: Awaited<ReturnType<typeof startControl>>, method: Method }} where
 * @returns {Variant}
 */
function signedVariant(name, call, { base, control, method }) {
  const toControl = async (
    /** @type {import('./outgoing.bench.mjs').Change | undefined} */ change,
  ) => {
    control.change = change;
    await call(control.base, method);
  };
  return {
    ...toVariant(name, call, base, method),
    accepts: async () => await toControl(undefined),
    refuses: [async () => await toControl('no token'), async () => await toControl('another body')],
  };
}

/** What the control does to a request before it verifies it. @typedef {'no token' | 'another body'} Change */

/** A server in this process that verifies what it gets. @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} publicKey */
async function startControl(algorithm, publicKey) {
  const census = await createCensus(algorithm, publicKey, { now: () => Date.now() });
  const server = createServer((request, response) => {
    const { method = '', url: target = '', rawHeaders } = request;
    const sent = control.change === 'no token' ? [] : rawHeaders;
    request
      .toArray()
      .then(async (chunks) => {
        const body = control.change === 'another body' ? Buffer.from('{}') : Buffer.concat(chunks);
        await census.verify({ method, target, rawHeaders: sent, body });
        response.writeHead(200, JSON_TYPE).end('{}');
      })
      .catch(() => response.writeHead(401, JSON_TYPE).end('{}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  const control = {
    base: `http://127.0.0.1:${address.port}/`,
    change: /** @type {Change | undefined} */ (undefined),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return control;
}

async function startUnsigned() {
  const httpAgent = new Agent({ keepAlive: true });
  const app = await startApplication([HttpModule.register({ httpAgent })]);
  const { axiosRef } = app.get(HttpService);
  return toClients(app, httpAgent, {
    axios: async (base, method) => void (await axiosRef.request(axiosRequest(base, method))),
    fetch: async (base, method) => await answered(await fetch(base + TARGET, fetchInit(method))),
  });
}

/** @param {BenchAlgorithm} algorithm @param {import('node:crypto').KeyObject} privateKey @param {readonly string[]} bases */
async function startSigning(algorithm, privateKey, bases) {
  const httpAgent = new Agent({ keepAlive: true });
  const app = await startApplication([
    ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey, keyId: KEY_ID, algorithm },
      targets: bases.map((baseUrl) => ({ baseUrl, audience: CENSUS })),
    }),
    ServiceHttpModule.register({ httpAgent }),
    ServiceFetchModule,
  ]);
  const { axiosRef } = app.get(HttpService);
  const signedFetch = app.get(ServiceFetch);
  return toClients(app, httpAgent, {
    axios: async (base, method) =>
      void (await axiosRef.request(axiosFor(USER, axiosRequest(base, method)))),
    fetch: async (base, method) =>
      await answered(await signedFetch(base + TARGET, onBehalfOf(USER, fetchInit(method)))),
  });
}

/** @param {import('@nestjs/common').DynamicModule['imports']} imports */
async function startApplication(imports) {
  class BenchModule {}
  return await NestFactory.createApplicationContext(
    { module: BenchModule, imports },
    { logger: false },
  );
}

/** @param {import('@nestjs/common').INestApplicationContext} app @param {Agent} agent @param {Clients} clients */
function toClients(app, agent, clients) {
  const close = async () => {
    agent.destroy();
    await app.close();
  };
  return { clients, close };
}

/** @param {string} base @param {Method} method */
const axiosRequest = (base, method) => ({
  url: base + TARGET,
  method,
  ...(method === 'POST' ? { data: BODY, headers: JSON_TYPE } : {}),
});

/** @param {Method} method */
const fetchInit = (method) => ({
  method,
  ...(method === 'POST' ? { body: BODY, headers: JSON_TYPE } : {}),
});

/** @param {Response} response */
async function answered(response) {
  await response.json();
  if (response.status !== 200) throw new Error(`the answer is ${response.status}`);
}

/**
 * @param {{ variant: string, microseconds: number, mainThread: number,
 *   toUnsigned: ReturnType<typeof spread> | undefined }} row
 */
function toPrinted({ variant, microseconds, mainThread, toUnsigned }) {
  return {
    variant,
    'all threads': Number(microseconds.toFixed(1)),
    'main thread': Number(mainThread.toFixed(1)),
    'to unsigned': toUnsigned && Number(toUnsigned.median.toFixed(2)),
    'middle half': toUnsigned && `${toUnsigned.lower.toFixed(2)} to ${toUnsigned.upper.toFixed(2)}`,
  };
}
