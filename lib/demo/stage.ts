import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { KeyHealth } from '../nest/key-health.js';
import { applicationOf, type BaseUrls, type DemoService } from './applications.js';

const LOOK_EVERY_MILLISECONDS = 10;
const LOOKS = 1000;

/** A request as a service received it, before its guard verified anything. */
export interface Hop {
  readonly service: DemoService;
  /** Method and request target. */
  readonly request: string;
  readonly status: number;
  /** Of the token that came along, unverified; undefined: none came. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

/** The three applications, listening. */
export interface Stage {
  readonly urls: BaseUrls;
  readonly keys: Readonly<Record<'edge' | 'herald', string>>;
  /** The requests until now, in the order of their arrival. */
  readonly hops: readonly Hop[];
  close(): Promise<void>;
}

/** Starts three Nest applications in this process, on free ports of 127.0.0.1, with new keys that no file holds. */
export async function openStage(): Promise<Stage> {
  const urls = await findFreeUrls();
  const keys = { edge: makeKey(), herald: makeKey() };
  const hops: Hop[] = [];
  const applications: INestApplication[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(applications.map((application) => application.close()));
  };
  try {
    // Each finds the keys of those before it at once.
    for (const service of ['edge', 'herald', 'census'] as const) {
      const module = applicationOf(service, urls, keys);
      const options = { logger: false, abortOnError: false, forceCloseConnections: true } as const;
      const application = await NestFactory.create(module, new ExpressAdapter(), options);
      applications.push(application);
      application.use(notingHops(service, hops));
      await application.listen(Number(new URL(urls[service]).port), '127.0.0.1');
      await untilKeysAreKnown(application.get(KeyHealth));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { urls, keys, hops, close };
}

async function findFreeUrls(): Promise<BaseUrls> {
  const servers = await Promise.all([listen(), listen(), listen()]);
  const [edge = '', herald = '', census = ''] = servers.map((server) => {
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return { edge, herald, census };
}

async function listen() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

function makeKey(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

/** Notes what arrives, for the reader of the demo. Nothing relies on it. */
function notingHops(service: DemoService, hops: Hop[]) {
  return (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const line = `${request.method} ${request.url}`;
    const claims = claimsOf(request.headers['jwt']);
    const place = hops.length;
    const note = (status: number) => ({ service, request: line, status, claims });
    if (!line.includes('/.well-known/')) {
      hops.push(note(0));
      response.once('finish', () => (hops[place] = note(response.statusCode)));
    }
    next();
  };
}

function claimsOf(token: unknown): Hop['claims'] {
  if (typeof token !== 'string') return undefined;
  try {
    const [, payload = ''] = token.split('.', 2);
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Hop['claims'];
  } catch {
    return undefined;
  }
}

/** @throws Error when the keys of the others do not arrive in time */
async function untilKeysAreKnown(health: KeyHealth): Promise<void> {
  for (let looks = 0; health.unavailable().length > 0; looks += 1) {
    if (looks === LOOKS) throw new Error('The services do not know the keys of each other.');
    await sleep(LOOK_EVERY_MILLISECONDS);
  }
}
