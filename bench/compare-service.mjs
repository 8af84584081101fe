/**
 * One side of `compare.mjs`: a service on Fastify, run in the folder of a build, so that `nestjs-service-auth` is that
 * build. Answers each message with the CPU microseconds that the work took.
 */
import 'reflect-metadata';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { onBehalfOf as axiosFor, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { firstValueFrom } from 'rxjs';

/** @typedef {import('./compare.mjs').Settings} Settings */
/** @typedef {import('./compare.mjs').Work} Work */

const settings = /** @type {Settings} */ (JSON.parse(process.env['COMPARE'] ?? '{}'));
const { user, audience, baseUrl, privateKey, issuer, trustedIssuers, propagation } = settings;

class Api {
  /** @param {HttpService} http */
  constructor(http) {
    this.http = http;
  }
  guarded() {
    return { ok: true };
  }
  unguarded() {
    return { ok: true };
  }
  async forward() {
    const { status } = await firstValueFrom(this.http.get(baseUrl, axiosFor(user)));
    return { status };
  }
}

/** @param {'guarded' | 'unguarded' | 'forward'} name @param {MethodDecorator[]} decorators */
function decorate(name, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(Api.prototype, name);
  for (const decorator of decorators) decorator(Api.prototype, name, descriptor ?? {});
}
decorate('guarded', Get('guarded'), UseGuards(ServiceJwtGuard));
decorate('unguarded', Get('unguarded'));
decorate('forward', Get('forward'), UseGuards(ServiceJwtGuard));
Inject(HttpService)(Api, undefined, 0);
Controller()(Api);

class App {}
Module({
  imports: [
    ServiceAuthModule.forRoot({
      issuer,
      trustedIssuers,
      signingKey: { privateKey },
      targets: [{ baseUrl, audience }],
      ...(propagation && { subjectPropagation: propagation }),
    }),
    ServiceHttpModule.register(),
    ServiceFetchModule,
  ],
  controllers: [Api],
})(App);

const app = await NestFactory.create(App, new FastifyAdapter(), { logger: false });
await app.listen(0, '127.0.0.1');
const http = app.get(HttpService, { strict: false });
const signedFetch = app.get(ServiceFetch, { strict: false });

const CLIENTS = {
  axios: async () => void (await firstValueFrom(http.get(baseUrl, axiosFor(user)))),
  fetch: async () => void (await (await signedFetch(baseUrl, onBehalfOf(user))).text()),
};

/** @param {NonNullable<Work['client']>} client @param {number} times @param {number} inFlight */
async function callOut(client, times, inFlight) {
  let left = times;
  const work = async () => {
    while (left-- > 0) await CLIENTS[client]();
  };
  await Promise.all(Array.from({ length: inFlight }, work));
}

let before = process.cpuUsage();

/** @param {Work} work */
async function answer({ begins, client, times, inFlight, stops }) {
  if (stops) {
    await app.close();
    process.disconnect();
    return;
  }
  if (begins) before = process.cpuUsage();
  if (client) await callOut(client, times ?? 0, inFlight ?? 1);
  const spent = process.cpuUsage(before);
  process.send?.({ microseconds: spent.user + spent.system });
}

process.on('message', (message) => void answer(/** @type {Work} */ (message)));
process.send?.({ port: Number(new URL(await app.getUrl()).port) });
