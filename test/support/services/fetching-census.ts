import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  KeyHealth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
  ServiceSubject,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import { strictToken } from '../tokens/forge.js';
import { type Answer, call } from '../http/http.js';
import { createKey } from '../keys/keys.js';
import { LogRecorder } from '../observed/log-recorder.js';
import { ObservedEvents } from '../observed/observed-events.js';
import { CENSUS, type Clock, createClock, HERALD, type Question } from './receiver.js';
import { type Adapter, startService, type TestService } from './service.js';

/** An issuer that is always trusted here, with a key that is configured and never fetched. */
export const STATIC = 'https://static.service/';
export const staticKey = createKey();
export const USER = `${CENSUS}user/21/`;

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get()
  find(@ServiceSubject() subject: string) {
    return { subject };
  }
}

/** A guarded application that fetches the keys of its callers, on a clock that a test moves. */
export interface FetchingCensus {
  readonly census: TestService;
  readonly clock: Clock;
  readonly events: ObservedEvents;
  readonly logs: LogRecorder;
  readonly health: KeyHealth;
  /** A fresh good token of HERALD that differs in what is given. */
  readonly tokenFor: (question: Question) => string;
  /** Sends such a token. */
  readonly ask: (question: Question) => Promise<Answer>;
  /** Sends any token. */
  readonly askWith: (token: string) => Promise<Answer>;
  close(): Promise<void>;
}

export async function startFetchingCensus(
  adapter: Adapter,
  issuers: readonly TrustedIssuerOptions[],
  options: Partial<ServiceAuthModuleOptions> = {},
): Promise<FetchingCensus> {
  const clock = createClock();
  const events = new ObservedEvents();
  const logs = new LogRecorder();
  const census = await startService({
    adapter,
    logger: logs,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [...issuers, { issuer: STATIC, publicKey: staticKey.publicPem }],
        now: clock.now,
        observer: events,
        ...options,
      }),
    ],
    controllers: [UserController],
  });
  const tokenFor = (question: Question): string =>
    strictToken({
      issuer: HERALD,
      audience: CENSUS,
      subject: USER,
      target: '/user',
      now: Math.floor(clock.now() / 1000),
      ...question,
    });
  const askWith = async (token: string): Promise<Answer> =>
    await call(census.port, { target: '/user', headers: { JWT: token } });
  return {
    census,
    clock,
    events,
    logs,
    health: census.app.get(KeyHealth),
    tokenFor,
    ask: async (question) => await askWith(tokenFor(question)),
    askWith,
    close: async () => await census.close(),
  };
}

/** What a good request is answered with. */
export const served = { status: 200, json: { subject: USER } };

/** The whole 503 of keys that cannot be had. */
export function expectKeysUnavailable(answer: Answer): void {
  expect(answer).toMatchObject({ status: 503, code: 'key_unavailable' });
  expect(answer.json).toEqual({
    statusCode: 503,
    error: 'Service Unavailable',
    code: 'key_unavailable',
    message: 'The keys of the issuer are not available at the moment.',
  });
  expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  expect(answer.headers['www-authenticate']).toBeUndefined();
  expect(answer.headers.vary).toBe('JWT');
}
