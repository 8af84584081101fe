// How each host is started, from the modules that docs/hosts.md shows.
import cluster from 'node:cluster';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { createGateway, GATEWAYS } from './api-gateway.mjs';

/**
 * @typedef {import('node:http').Server} Server
 * @typedef {import('node:http').RequestListener} RequestListener
 * @typedef {(file: string) => Promise<unknown>} Load imports a module of the page, for one adapter
 * @typedef {Record<string, Server | number>} Doors servers that may not listen yet, or ports
 */

const FUNCTIONS_FRAMEWORK = fileURLToPath(
  new URL('node_modules/@google-cloud/functions-framework/build/src/main.js', import.meta.url),
);
const PLAIN = fileURLToPath(new URL('plain-server.mjs', import.meta.url));
/** The servers of a function that more than one kind of gateway calls. @param {string} file */
const lambda = (file) => async (/** @type {Load} */ load) => {
  const { handler } = /** @type {{ handler: import('./api-gateway.mjs').Handler }} */ (
    await load(file)
  );
  const gateways = Object.entries(GATEWAYS);
  return Object.fromEntries(
    gateways.map(([door, toEvent]) => [door, createGateway(handler, toEvent)]),
  );
};

/** A module that exports `server`. @param {string} file */
const served = (file) => async (/** @type {Load} */ load) => {
  const { server } = /** @type {{ server: Server }} */ (await load(file));
  return { '': server };
};

/** What Vercel does with the function: a server calls it with each request. */
async function vercel(/** @type {Load} */ load) {
  const { default: handle } = /** @type {{ default: RequestListener }} */ (
    await load('vercel-function.js')
  );
  return { '': createServer(handle) };
}

async function vercelWithHelpers(/** @type {Load} */ load) {
  const { addHelpers } = await import('./vercel-helpers.mjs');
  const { default: handle } = /** @type {{ default: RequestListener }} */ (
    await load('vercel-function.js')
  );
  return {
    '': createServer((request, response) => {
      void addHelpers(request).then(() => handle(request, response));
    }),
  };
}

async function azure(/** @type {Load} */ load) {
  const { createAzureHost } = await import('./azure-host.mjs');
  const { serve } = /** @type {{ serve: import('./azure-host.mjs').AzureHandler }} */ (
    await load('azure-function.js')
  );
  return { '': createAzureHost(serve) };
}

async function mocks(/** @type {Load} */ load) {
  const { createMockHost } = await import('./mock-host.mjs');
  const { createHandle } =
    /** @type {{ createHandle: () => Promise<import('./mock-host.mjs').Handle> }} */ (
      await load('nest.js')
    );
  return { '': createMockHost(await createHandle()) };
}

/** Google's own server, as their images start it. */
async function functionsFramework(/** @type {Load} */ _load, /** @type {string} */ folder) {
  const port = await findFreePort();
  const args = [FUNCTIONS_FRAMEWORK, '--target=nest', `--source=${folder}`, `--port=${port}`];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill());
  for await (const line of createInterface(child.stdout)) {
    console.log(line);
    if (line.startsWith('URL: ')) return { '': port };
  }
  throw new Error('functions-framework ended');
}

async function plain(/** @type {Load} */ load) {
  const { listen } = await import('./plain-server.mjs');
  return { '': await listen(load) };
}

async function worker(/** @type {Load} */ _load, /** @type {string} */ folder) {
  const [port] = /** @type {[number]} */ (
    await once(new Worker(PLAIN, { argv: [folder] }), 'message')
  );
  return { '': port };
}

async function workerOfCluster(/** @type {Load} */ _load, /** @type {string} */ folder) {
  cluster.setupPrimary({ exec: PLAIN, args: [folder] });
  cluster.fork();
  const [, { port }] = /** @type {[unknown, { port: number }]} */ (
    await once(cluster, 'listening')
  );
  return { '': port };
}

async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

/** @type {Record<string, (load: Load, folder: string) => Promise<Doors>>} */
export const HOSTS = {
  'serverless-express': lambda('serverless-express.js'),
  'serverless-express-5': lambda('serverless-express-5.js'),
  'serverless-http': lambda('serverless-http.js'),
  'serverless-http-3': lambda('serverless-http-3.js'),
  'aws-lambda-fastify': lambda('aws-lambda-fastify.js'),
  'functions-framework': functionsFramework,
  azure,
  vercel,
  'vercel-with-helpers': vercelWithHelpers,
  'cached-server': served('cached-server.js'),
  'own-express': served('own-express.js'),
  mocks,
  plain,
  worker,
  cluster: workerOfCluster,
};
