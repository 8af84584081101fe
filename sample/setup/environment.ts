import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceName } from './services.js';

/** Where things are: everything that differs between one start of the sample and another. */
export interface Environment {
  /** Where each service listens, with a final slash. */
  readonly baseUrls: Readonly<Record<ServiceName, string>>;
  /** The directory of the key files. */
  readonly keys: string;
  /** Where Herald's own key is, or its keys while they are rotated. Default: its file in `keys`. */
  readonly heraldKeyFile?: string;
  /** Where all processes of Census record used tokens. Default: each in its own memory. */
  readonly replayMemoryUrl?: string;
  /** The mail server; undefined: none was named. */
  readonly smtpUrl: string | undefined;
  readonly mailQueue: MailQueuePlace;
}

/**
 * Where mails wait for the courier. `memory`: in Herald's, and the courier takes them over TCP at this port. `redis`: in
 * BullMQ, in a Redis of this machine at this port.
 */
export interface MailQueuePlace {
  readonly kind: 'memory' | 'redis';
  readonly port: number;
}

/** A port that an environment variable sets. */
interface PortVariable {
  readonly variable: string;
  readonly byDefault: number;
}

/** What listens: each service for HTTP, and the courier for mails too. */
export type PortName = ServiceName | 'courierTcp';

export const PORTS: Readonly<Record<PortName, PortVariable>> = {
  census: { variable: 'CENSUS_PORT', byDefault: 4101 },
  herald: { variable: 'HERALD_PORT', byDefault: 4102 },
  another: { variable: 'ANOTHER_PORT', byDefault: 4103 },
  edge: { variable: 'EDGE_PORT', byDefault: 4104 },
  courier: { variable: 'COURIER_PORT', byDefault: 4105 },
  courierTcp: { variable: 'COURIER_TCP_PORT', byDefault: 4106 },
};

/** Names the port of the Redis in which mails wait. The runner sets it for the services where it has started one. */
export const REDIS_PORT = 'MAIL_REDIS_PORT';

/** Of the page that shows them. Where it is taken, the page takes the next one that is free. */
export const PAGE_PORT: PortVariable = { variable: 'PAGE_PORT', byDefault: 4100 };

const DEFAULT_KEYS = fileURLToPath(new URL('../../sample/.keys', import.meta.url));

/** Something the user of the sample has to change; the message says what, and no stack is needed. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** @throws SetupError for a value that cannot be used */
export function readEnvironment(variables: NodeJS.ProcessEnv): Environment {
  const urlOf = (name: ServiceName) => baseUrlAt(readPort(name, variables));
  return {
    baseUrls: {
      census: urlOf('census'),
      herald: urlOf('herald'),
      another: urlOf('another'),
      edge: urlOf('edge'),
      courier: urlOf('courier'),
    },
    keys: variables['SAMPLE_KEYS'] ? resolve(variables['SAMPLE_KEYS']) : DEFAULT_KEYS,
    heraldKeyFile: variables['HERALD_KEY_FILE'] || undefined,
    replayMemoryUrl: variables['REPLAY_MEMORY_URL'] || undefined,
    smtpUrl: readSmtpUrl(variables['SMTP_URL']),
    mailQueue: readMailQueue(variables),
  };
}

function readMailQueue(variables: NodeJS.ProcessEnv): MailQueuePlace {
  if (!variables[REDIS_PORT]) return { kind: 'memory', port: readPort('courierTcp', variables) };
  const redis = { variable: REDIS_PORT, byDefault: 0 };
  return { kind: 'redis', port: readPortVariable(redis, variables) };
}

/** The port a service is to listen on; 0 means any free one. */
export function readPort(name: PortName, variables: NodeJS.ProcessEnv): number {
  return readPortVariable(PORTS[name], variables);
}

/** The port the page is to listen on; 0 means any free one. */
export function readPagePort(variables: NodeJS.ProcessEnv): number {
  return readPortVariable(PAGE_PORT, variables);
}

function readPortVariable(
  { variable, byDefault }: PortVariable,
  variables: NodeJS.ProcessEnv,
): number {
  const value = variables[variable] || String(byDefault);
  if (/^\d{1,5}$/.test(value) && Number(value) < 65_536) return Number(value);
  throw new SetupError(`${variable} is not a port: write a number from 0 to 65535.`);
}

/** What to say of a server that could not listen because of its port; undefined: it is something else. */
export function portTaken(error: unknown, name: PortName): SetupError | undefined {
  if (!(error instanceof Error && 'code' in error && 'port' in error)) return undefined;
  if (error.code !== 'EADDRINUSE') return undefined;
  const { variable } = PORTS[name];
  return new SetupError(
    `Port ${String(error.port)} (${variable}) is taken: set ${variable} to another one.`,
  );
}

export function baseUrlAt(port: number): string {
  return `http://127.0.0.1:${port}/`;
}

/** Where the library publishes the keys of a service, under its base URL. */
export const KEYS_PATH = '.well-known/jwks.json';

/**
 * Where the keys of a service are found. Deployed under its URI it is where receivers look by
 * themselves; here a service is called https://herald.service/ and listens on the loopback interface.
 */
export function jwksUriAt(baseUrl: string): string {
  return new URL(KEYS_PATH, baseUrl).href;
}

function readSmtpUrl(value: string | undefined): string | undefined {
  if (!value) return undefined;
  if (/^smtps?:\/\/./.test(value) && URL.canParse(value)) return value;
  throw new SetupError('SMTP_URL is not the URL of a mail server: write smtp://host:port.');
}
