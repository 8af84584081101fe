import {
  createServiceAuth,
  type ServiceAuth,
  type ServiceAuthEvent,
  type ServiceAuthOptions,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import { strictToken, type StrictTokenParts } from '../tokens/forge.js';
import { ObservedEvents } from '../observed/observed-events.js';

/** A clock that only a test moves. */
export interface Clock {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  advance(seconds: number): void;
}

export function createClock(): Clock {
  let milliseconds = Date.now();
  return {
    now: () => milliseconds,
    advance: (seconds) => void (milliseconds += seconds * 1000),
  };
}

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';

export type Question = Pick<StrictTokenParts, 'key'> & Partial<StrictTokenParts>;

/** A service without HTTP that receives signed requests, on a clock of its own. */
export interface Receiver {
  readonly service: ServiceAuth;
  readonly clock: Clock;
  readonly events: ObservedEvents;
  /** Resolves when so many events of the type have been heard since the beginning. */
  heard(type: ServiceAuthEvent['type'], count: number): Promise<void>;
  /** Verifies a fresh token of HERALD that differs in what is given: `ok`, or the code of the refusal. */
  ask(question: Question): Promise<string>;
  /** The 503 that answers it. */
  unavailability(question: Question): Promise<ServiceAuthUnavailableError>;
  /** Verifies a token as it is. */
  askWith(token: string): Promise<string>;
  /** Begins every fetch that is due, and waits until none is in flight. */
  settle(): Promise<void>;
  close(): void;
}

export async function startReceiver(
  options: Partial<ServiceAuthOptions>,
  clock: Clock = createClock(),
): Promise<Receiver> {
  const events = new ObservedEvents();
  const service = await createServiceAuth({
    issuer: CENSUS,
    now: clock.now,
    observer: events,
    ...options,
  });
  const verify = async (token: string) =>
    await service.verify({
      method: 'GET',
      target: '/user',
      rawHeaders: ['JWT', token],
      body: new Uint8Array(),
    });
  const tokenFor = (question: Question): string =>
    strictToken({
      issuer: HERALD,
      audience: CENSUS,
      target: '/user',
      now: Math.floor(clock.now() / 1000),
      ...question,
    });
  const askWith = async (token: string): Promise<string> =>
    await verify(token).then(() => 'ok', codeOf);
  return {
    service,
    clock,
    events,
    heard: async (type, count) => {
      while (events.of(type).length < count) await events.next(type);
    },
    askWith,
    ask: async (question) => await askWith(tokenFor(question)),
    unavailability: async (question) =>
      await verify(tokenFor(question)).then(() => {
        throw new Error('the request was let in');
      }, asUnavailable),
    settle: async () => {
      for (const { keys } of service.receiving.trustedIssuers.known()) await keys.settled();
    },
    close: () => service.close(),
  };
}

function codeOf(error: unknown): string {
  const isAnswer =
    error instanceof ServiceTokenRefusedError || error instanceof ServiceAuthUnavailableError;
  if (isAnswer) return error.code;
  throw error;
}

function asUnavailable(error: unknown): ServiceAuthUnavailableError {
  if (error instanceof ServiceAuthUnavailableError) return error;
  throw error;
}

/** Closes what a test started when the test is over, last first. */
export function closeAfterEach(): <T extends { close(): unknown }>(part: T) => T {
  const parts: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const part of parts.splice(0).toReversed()) await part.close();
  });
  return (part) => {
    parts.push(part);
    return part;
  };
}
