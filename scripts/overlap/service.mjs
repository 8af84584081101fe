// A service of scripts/sim-overlap.mjs: two applications, one of each mode, which share one limiter, one batcher and one
// bus. Written without decorator syntax, to run as it is.
import 'reflect-metadata';
import { EventEmitter } from 'node:events';
import { Agent } from 'node:http';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Module, Param, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  actingAsItself,
  onBehalfOf,
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { firstValueFrom, map } from 'rxjs';

/**
 * @typedef {'explicit' | 'ambient'} Mode
 * @typedef {import('nestjs-service-auth').ServiceIdentity} Identity
 * @typedef {(string | null)[]} Subjects of a chain, from here to its end
 * @typedef {() => Promise<Subjects>} Task
 * @typedef {{ name: string, privateKey: string, callerKey: string, caller: string, bindsWork: boolean,
 *   trustDomain: string, originator: { issuer: string, publicKey: string }, proof: Record<Mode, 'off' | 'required'>,
 *   adapters: Record<Mode, 'express' | 'fastify'>, next?: { name: string, urls: string[] } }} Config
 */

const config = /** @type {Config} */ (JSON.parse(process.argv[2] ?? '{}'));
/** The replay store and the caches of a run are what they will be after a few seconds. */
const TOKEN_SECONDS = 15;
const CONCURRENCY = 4;
/** Of so many requests one also calls for another user, as a plain bug does: that call must be refused. */
const ONE_BUG_IN = 20;
const USERS = 100;
const agent = new Agent({ keepAlive: true });

/** What was counted here. */
const counts = {
  requests: 0,
  mixUps: 0,
  /** Requests that came with a grant, as the socket saw them; those with the grant of another user; for a user without one. */
  grants: 0,
  foreignGrants: 0,
  missingGrants: 0,
  /** Calls of the bug, those of them that were answered, and those that came with a grant. */
  bugs: 0,
  bugsAccepted: 0,
  bugsWithGrant: 0,
  /** @type {Record<string, number>} */ ways: {},
  /** @type {string | undefined} */ failure: undefined,
};

/** @template T @param {readonly T[]} list */
function oneOf(list) {
  const chosen = list[Math.floor(Math.random() * list.length)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}

/** @type {readonly (() => Promise<void>)[]} */
const HOPS = [
  () => Promise.resolve(),
  () => new Promise((resolve) => queueMicrotask(resolve)),
  () => new Promise((resolve) => process.nextTick(resolve)),
  () => new Promise((resolve) => setImmediate(resolve)),
  () => new Promise((resolve) => setTimeout(resolve, Math.random() * 3)),
];

/** Up to three turns of the event loop. */
async function hop() {
  for (let left = Math.floor(Math.random() * 4); left > 0; left--) await oneOf(HOPS)();
}

/** The end of one task starts the next, in the async context of the one that ended: the worst kind. */
class Limiter {
  #running = 0;
  /** @type {(() => Promise<void>)[]} */
  #waiting = [];

  /** @param {Task} task @returns {Promise<Subjects>} */
  async run(task) {
    return await new Promise((resolve, reject) => {
      this.#waiting.push(() => task().then(resolve, reject));
      if (this.#running < CONCURRENCY) void this.#drain();
    });
  }

  async #drain() {
    this.#running++;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await next();
    this.#running--;
  }
}

/** What requests of all users ask for goes out together, in the turn of the one who asked first. */
class Batcher {
  /** @type {{ caller: Identity, load: Task, resolve: (subjects: Promise<Subjects>) => void }[]} */
  #keys = [];

  /** @param {ServiceCallContext} callContext @param {Identity} caller @param {Task} load @returns {Promise<Subjects>} */
  async load(callContext, caller, load) {
    return await new Promise((resolve) => {
      if (this.#keys.push({ caller, load, resolve }) > 1) return;
      setImmediate(() => {
        const keys = this.#keys.splice(0);
        callContext.runShared(() => {
          for (const each of keys) each.resolve(each.load());
        });
      });
    });
  }
}

const limiter = new Limiter();
const batcher = new Batcher();
const bus = new EventEmitter().setMaxListeners(0);
/** Events of nobody: they come from a timer that no request began. */
setInterval(() => bus.emit('tick'), 2).unref();

/** @param {(string | undefined)[]} path */
const pathOf = (...path) => `/${path.join('/')}`;

/**
 * The ways in which a request gets to its call. A caller is named by the identity, and a service that acts for itself
 * by the same.
 *
 * @typedef {{ callContext: ServiceCallContext, caller: Identity, call: (options?: object) => Promise<Subjects>,
 *   observe: (options?: object) => import('rxjs').Observable<Subjects>, bind: (task: Task) => Task }} Work
 * @typedef {Record<string, (work: Work) => Promise<Subjects>>} Ways
 */

/** @type {Ways} */
const SAID = {
  'onBehalfOf in the call': async ({ call, caller }) => await call(onBehalfOf(caller)),
  'onBehalfOf in a limiter': async ({ call, caller }) =>
    await limiter.run(async () => {
      await hop();
      return await call(onBehalfOf(caller));
    }),
  runOnBehalfOf: async ({ callContext, call, caller }) =>
    await callContext.runOnBehalfOf(caller, async () => {
      await hop();
      return await call();
    }),
  'runOnBehalfOf in a limiter': async ({ callContext, call, caller }) =>
    await limiter.run(() => callContext.runOnBehalfOf(caller, () => call())),
  'bind in runOnBehalfOf, in a limiter': async ({ callContext, call, caller, bind }) =>
    await callContext.runOnBehalfOf(caller, () =>
      limiter.run(
        bind(async () => {
          await hop();
          return await call();
        }),
      ),
    ),
  'bind in runOnBehalfOf, on a bus': async ({ callContext, call, caller, bind }) =>
    await callContext.runOnBehalfOf(caller, () => onTick(bind(() => call()))),
  'Observable of runOnBehalfOf, in a limiter': async ({ callContext, observe, caller }) => {
    const made = callContext.runOnBehalfOf(caller, () => observe());
    return await limiter.run(() => firstValueFrom(made));
  },
  'the URI of the user, in runOnBehalfOf': async ({ callContext, call, caller }) =>
    await callContext.runOnBehalfOf(caller, async () => {
      await hop();
      return await call(byUri(caller));
    }),
  'runOnBehalfOf with the URI, in runOnBehalfOf': async ({ callContext, call, caller }) =>
    await callContext.runOnBehalfOf(caller, () =>
      callContext.runOnBehalfOf(caller.subject ?? caller, async () => {
        await hop();
        return await call();
      }),
    ),
  'runShared and onBehalfOf': async ({ callContext, call, caller }) =>
    await batcher.load(callContext, caller, () => call(onBehalfOf(caller))),
};

/** @type {Ways} */
const UNSAID = {
  'nothing said': async ({ call }) => {
    await hop();
    return await call();
  },
  'the URI of the user': async ({ call, caller }) => {
    await hop();
    return await call(byUri(caller));
  },
  'bind, in a limiter': async ({ call, bind }) =>
    await limiter.run(
      bind(async () => {
        await hop();
        return await call();
      }),
    ),
  'bind, on a bus': async ({ call, bind }) => await onTick(bind(() => call())),
  'Observable made before': async ({ observe }) => {
    const made = observe();
    await hop();
    return await firstValueFrom(made);
  },
};

/** Names the user by URI: the grant is that of the context. @param {Identity} caller */
function byUri({ subject }) {
  return subject === undefined ? actingAsItself() : onBehalfOf(subject);
}

/** @param {Task} task @returns {Promise<Subjects>} */
async function onTick(task) {
  return await new Promise((resolve) => bus.once('tick', () => resolve(task())));
}

/** @type {Record<Mode, string[]>} */
const WAYS = {
  explicit: Object.keys(SAID),
  ambient: [...Object.keys(SAID), ...Object.keys(UNSAID)],
};

/** Says whose request it is, in the path, and whose the token says that it is. @param {string} user @param {Identity} caller */
function check(user, caller) {
  const subject = caller.subject ?? null;
  counts.requests++;
  if (subject !== subjectOf(user)) counts.mixUps++;
  return subject;
}

/**
 * Compares the grant on the wire with the user in the path, before the library sees the request.
 *
 * @param {import('node:http').IncomingMessage} request
 */
function watchGrant({ url = '', headers }) {
  const [, kind, user = ''] = url.split('/');
  const grant = headers['txn-token'];
  if (kind === 'bug') {
    if (grant !== undefined) counts.bugsWithGrant++;
    return;
  }
  const subject = subjectOf(user);
  if (grant === undefined) {
    if (subject !== null) counts.missingGrants++;
    return;
  }
  counts.grants++;
  const payload = Buffer.from(String(grant).split('.')[1] ?? '', 'base64url').toString();
  const { sub } = /** @type {{ sub?: unknown }} */ (JSON.parse(payload));
  if (sub !== subject) counts.foreignGrants++;
}

/** `itself` stands for a service that acts for itself. @param {string} user @returns {string | null} */
function subjectOf(user) {
  return user === 'itself' ? null : `https://census.service/user/${user}/`;
}

/** @param {Mode} mode */
async function startApplication(mode) {
  class ChainController {
    /** @param {HttpService} http @param {ServiceFetch} fetch @param {ServiceCallContext} callContext */
    constructor(http, fetch, callContext) {
      this.http = http;
      this.fetch = fetch;
      this.callContext = callContext;
    }

    /** @param {string} user @param {string} id @param {Identity} caller @returns {Promise<Subjects>} */
    async serve(user, id, caller) {
      const subject = check(user, caller);
      if (!config.next) return [subject];
      await hop();
      const known = this.callContext.current();
      if (mode === 'ambient' && (known?.subject ?? null) !== subject) counts.mixUps++;
      const url = new URL(pathOf('chain', user, id), oneOf(config.next.urls)).href;
      const way = oneOf(WAYS[mode]);
      counts.ways[way] = (counts.ways[way] ?? 0) + 1;
      const run = SAID[way] ?? UNSAID[way];
      if (!run) throw new Error(`no way ${way}`);
      const { callContext } = this;
      /** @type {Work['call']} */
      const call = oneOf([
        (options) => this.#axios(url, options),
        (options) => firstValueFrom(this.#observe(url, options)),
        (options) => this.#fetch(url, options),
      ]);
      if (Math.random() * ONE_BUG_IN < 1) await this.#callForAnother(user, oneOf(config.next.urls));
      const work = {
        callContext,
        caller,
        call,
        observe: (/** @type {object | undefined} */ options) => this.#observe(url, options),
        bind: (/** @type {Task} */ task) => (config.bindsWork ? callContext.bind(task) : task),
      };
      try {
        return [subject, ...(await run(work))];
      } catch (error) {
        counts.failure ??= `${way}, ${mode}: ${String(error)}`;
        throw error;
      }
    }

    /** Whoever comes here came for a user who had not asked. @returns {Subjects} */
    accept() {
      counts.bugsAccepted++;
      return [];
    }

    /** Calls for a user who never came, in the context of one who did. @param {string} user @param {string} base */
    async #callForAnother(user, base) {
      const other = (Number(user) + 1 + Math.floor(Math.random() * (USERS - 1))) % USERS;
      const victim = String(Number.isNaN(other) ? 0 : other);
      counts.bugs++;
      const url = new URL(pathOf('bug', victim), base).href;
      const response = await this.fetch(url, onBehalfOf(subjectOf(victim) ?? ''));
      await response.arrayBuffer();
      if (response.status !== 403) throw new Error(`the bug was answered ${response.status}`);
    }

    /** @param {string} url @param {object} [options] @returns {Promise<Subjects>} */
    async #axios(url, options) {
      /** @type {{ data: Subjects }} */
      const { data } = await this.http.axiosRef.get(url, options);
      return data;
    }

    /** @param {string} url @param {object} [options] @returns {import('rxjs').Observable<Subjects>} */
    #observe(url, options) {
      const answer = /** @type {import('rxjs').Observable<{ data: Subjects }>} */ (
        this.http.get(url, options)
      );
      return answer.pipe(map(({ data }) => data));
    }

    /** @param {string} url @param {object} [options] */
    async #fetch(url, options) {
      const response = await this.fetch(url, options);
      if (!response.ok) throw new Error(`answered ${response.status}`);
      return /** @type {Subjects} */ (await response.json());
    }
  }
  Controller()(ChainController);
  UseGuards(ServiceJwtGuard)(ChainController);
  Inject(HttpService)(ChainController, undefined, 0);
  Inject(ServiceFetch)(ChainController, undefined, 1);
  Inject(ServiceCallContext)(ChainController, undefined, 2);
  const { prototype } = ChainController;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'serve');
  if (!descriptor) throw new Error('no method serve');
  Get('chain/:user/:id')(prototype, 'serve', descriptor);
  Param('user')(prototype, 'serve', 0);
  Param('id')(prototype, 'serve', 1);
  ServiceCaller()(prototype, 'serve', 2);
  const accept = Object.getOwnPropertyDescriptor(prototype, 'accept');
  if (!accept) throw new Error('no method accept');
  Get('bug/:user')(prototype, 'accept', accept);
  RequireSubjectProof()(prototype, 'accept', accept);

  class ServiceModule {}
  const { next } = config;
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: `https://${config.name}.service/`,
        signingKey: { privateKey: config.privateKey },
        tokenLifetimeSeconds: TOKEN_SECONDS,
        trustDomain: config.trustDomain,
        originators: [{ ...config.originator, subjects: ['https://census.service/user/'] }],
        trustedIssuers: [
          {
            issuer: `https://${config.caller}.service/`,
            publicKey: config.callerKey,
            subjectProof:
              config.proof[mode] === 'off'
                ? { mode: 'off' }
                : { mode: 'required', withoutSubject: 'allowed' },
          },
        ],
        targets: next
          ? next.urls.map((baseUrl) => ({ baseUrl, audience: `https://${next.name}.service/` }))
          : [{ baseUrl: 'http://127.0.0.1:9/', audience: 'https://nobody.service/' }],
        subjectPropagation: mode,
      }),
      ServiceHttpModule.register({ httpAgent: agent }),
      ServiceFetchModule,
    ],
    controllers: [ChainController],
  })(ServiceModule);
  const adapter = config.adapters[mode] === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(ServiceModule, adapter, {
    logger: false,
    abortOnError: false,
  });
  const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
  server.keepAliveTimeout = 0;
  server.prependListener('request', watchGrant);
  await app.listen(0, '127.0.0.1');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}/`;
}

/** What the heap holds once the garbage is collected, and what the process takes. */
function memory() {
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  return { heapUsed, rss };
}

const urls = [await startApplication('explicit'), await startApplication('ambient')];
process.on('message', () => process.send?.({ ...counts, ...memory() }));
process.on('disconnect', () => process.exit());
process.send?.({ urls });
