import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceGrants,
  ServiceJwtGuard,
  ServiceSigningError,
  ServiceSubject,
} from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { ALICE, CENSUS, DOMAIN, EDGE, USERS } from './granting-edge.js';

const MAILER = 'https://mailer.service/';
const HOUR = 3600;
const DAY = 24 * HOUR;
const edgeKey = createKey();
const mailerKey = createKey();

@Controller()
@UseGuards(ServiceJwtGuard)
class DigestsController {
  @Get('job')
  @RequireSubjectProof({ maxAgeSeconds: DAY })
  job(@ServiceSubject() subject: string) {
    return { done: subject };
  }

  @Get('fresh')
  @RequireSubjectProof()
  fresh(@ServiceSubject() subject: string) {
    return { done: subject };
  }

  @Get('unmarked')
  unmarked(@ServiceSubject() subject: string) {
    return { done: subject };
  }
}

/** Every process starts with the clock of its time. */
const at = (startMilliseconds: number, seconds: number) => () => startMilliseconds + seconds * 1000;

/** The edge of the first process: two users' jobs go into a file. */
async function queue(file: string, now: () => number): Promise<void> {
  const edge = await startService({
    adapter: 'express',
    imports: [
      ServiceAuthModule.forRoot({
        issuer: EDGE,
        signingKey: { privateKey: edgeKey.privatePem },
        targets: [{ baseUrl: 'http://127.0.0.1:9/', audience: MAILER }],
        trustDomain: DOMAIN,
        originate: { subjects: [USERS] },
        now,
      }),
    ],
  });
  const grants = edge.app.get(ServiceGrants);
  const jobs = {
    long: await grants.issue(ALICE, { lifetimeSeconds: DAY, scope: 'digest:send' }),
    short: await grants.issue(ALICE, { scope: 'digest:send' }),
  };
  await edge.close();
  writeFileSync(file, JSON.stringify(jobs));
}

async function startCensus(
  adapter: Adapter,
  now: () => number,
  maxAgeSeconds: number | undefined = DAY,
): Promise<TestService> {
  return await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustDomain: DOMAIN,
        originators: [{ issuer: EDGE, publicKey: edgeKey.publicPem, subjects: [USERS] }],
        trustedIssuers: [
          {
            issuer: MAILER,
            publicKey: mailerKey.publicPem,
            subjectProof: { mode: 'required', withoutSubject: 'allowed', maxAgeSeconds },
          },
        ],
        now,
      }),
    ],
    controllers: [DigestsController],
  });
}

/** The worker of a later process does a job for its user with the library. */
async function work(census: TestService, grant: string, now: () => number): Promise<unknown> {
  const mailer = await startService({
    adapter: 'fastify',
    imports: [ServiceAuthModule.forRoot({ ...mailerOptions(census), now }), ServiceFetchModule],
  });
  const fetch = mailer.app.get(ServiceFetch);
  const ask = async () => {
    const answers: Record<string, unknown> = {};
    for (const route of ['job', 'fresh', 'unmarked']) {
      const answer = await fetch(`${census.url}/${route}`);
      const { code, done } = (await answer.json()) as { code?: string; done?: string };
      answers[route] = code ?? done;
    }
    return answers;
  };
  try {
    return await mailer.app.get(ServiceCallContext).runOnBehalfOf(ALICE, ask, { grant });
  } catch (error) {
    if (error instanceof ServiceSigningError) return error.code;
    throw error;
  } finally {
    await mailer.close();
  }
}

const mailerOptions = (census: TestService) => ({
  issuer: MAILER,
  signingKey: { privateKey: mailerKey.privatePem },
  targets: [{ baseUrl: census.url, audience: CENSUS }],
  trustDomain: DOMAIN,
});

/** The same without asking the library whether the grant is over, as a client in another language may. */
async function insist(census: TestService, grant: string, now: () => number): Promise<unknown> {
  const auth = await createServiceAuth({ ...mailerOptions(census), now });
  const url = `${census.url}/job`;
  const request = { method: 'GET', url, headers: {}, body: new Uint8Array() };
  const jwt = await auth.sign({ ...request, subject: ALICE, grant });
  auth.close();
  const { json } = await call(census.port, {
    target: '/job',
    headers: { jwt, 'txn-token': grant },
  });
  return json?.['code'] ?? json?.['done'];
}

describe.each(ADAPTERS)(
  'on %s, a job that was queued and is worked on after a restart',
  (adapter) => {
    const start = Date.now();
    const folder = mkdtempSync(join(tmpdir(), 'queued-'));
    const file = join(folder, 'jobs.json');
    const jobs = () => JSON.parse(readFileSync(file, 'utf8')) as { long: string; short: string };
    beforeAll(async () => await queue(file, at(start, 0)));
    afterAll(() => rmSync(folder, { recursive: true }));

    it.each([
      ['at once', 10, { job: ALICE, fresh: ALICE, unmarked: ALICE }, ALICE],
      // No route but that of the job takes an old one.
      [
        'after an hour',
        HOUR,
        { job: ALICE, fresh: 'grant_expired', unmarked: 'grant_expired' },
        ALICE,
      ],
      ['after 25 hours', 25 * HOUR, 'grant_unusable', 'grant_expired'],
    ])('under a grant of 24 hours, %s', async (_name, seconds, byLibrary, byHand) => {
      const now = at(start, seconds);
      const census = await startCensus(adapter, now);
      try {
        expect(await work(census, jobs().long, now)).toEqual(byLibrary);
        expect(await insist(census, jobs().long, now)).toBe(byHand);
      } finally {
        await census.close();
      }
    });

    it.each([
      ['at once', 10, { job: ALICE, fresh: ALICE, unmarked: ALICE }, ALICE],
      ['after an hour', HOUR, 'grant_unusable', 'grant_expired'],
    ])('under a grant of 300 seconds, %s', async (_name, seconds, byLibrary, byHand) => {
      const now = at(start, seconds);
      const census = await startCensus(adapter, now);
      try {
        expect(await work(census, jobs().short, now)).toEqual(byLibrary);
        expect(await insist(census, jobs().short, now)).toBe(byHand);
      } finally {
        await census.close();
      }
    });

    it('under a grant of 24 hours, where its issuer may use no old one, after an hour', async () => {
      const now = at(start, HOUR);
      const census = await startCensus(adapter, now, 300);
      try {
        expect(await insist(census, jobs().long, now)).toBe('grant_expired');
      } finally {
        await census.close();
      }
    });
  },
);
