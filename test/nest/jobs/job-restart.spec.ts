import { ServiceCallContext } from 'nestjs-service-auth';
import { decodeJwt } from 'jose';
import { RecordingServer } from '../../support/http/recording-server.js';
import { call, JobService, MAIL, mailKey, USER } from '../../support/jobs/job-services.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';

const DOMAIN = 'https://prod.example.org/';

describeRedis('a job that waits while its worker is replaced', () => {
  let redis: RedisServer;
  let census: RecordingServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
    census = await new RecordingServer().start();
  }, 120_000);

  afterAll(async () => {
    await census.close();
    await redis.close();
  });

  const start = async (setup: Partial<Parameters<typeof JobService.start>[0]> = {}) =>
    await JobService.start({
      port: redis.port,
      calls: true,
      ...setup,
      options: {
        targets: [{ baseUrl: `${census.url}/`, audience: 'https://census.service/' }],
        trustDomain: DOMAIN,
        originate: { subjects: ['https://census.service/user/'] },
        originators: [
          {
            issuer: MAIL,
            publicKey: mailKey.publicPem,
            subjects: ['https://census.service/user/'],
          },
        ],
        trustedIssuers: [
          {
            issuer: MAIL,
            publicKey: mailKey.publicPem,
            transports: ['jobs'],
            subjectProof: { mode: 'required', withoutSubject: 'allowed' },
          },
        ],
        subjectPropagation: 'ambient',
      },
    });

  it.each([true, false])(
    'JB-06 calls for its user, with its grant: %p',
    async (hasGrant) => {
      const before = await start();
      const context = before.app.get(ServiceCallContext, { strict: false });
      const add = () => before.queue.add('welcome', { to: 21 });
      const job = await context.runOnBehalfOf(USER, add, hasGrant ? { originate: true } : {});
      const id = job.id ?? '';
      await before.close();

      const holder: { service?: JobService } = {};
      const after = await start({
        process: async () => {
          if (holder.service) await call(holder.service, `${census.url}/users/21`);
          return 'called';
        },
      });
      holder.service = after;
      const stored = await after.queue.getJob(id);
      const result = stored && after.result(stored);
      if (!hasGrant) {
        await expect(result).rejects.toThrow('grant_missing');
        expect(census.takeAll()).toEqual([]);
      } else {
        expect(await result).toBe('called');
        const { rawHeaders } = census.takeOne();
        const valueOf = (name: string) =>
          rawHeaders[
            rawHeaders.findIndex((each, at) => at % 2 === 0 && each.toLowerCase() === name) + 1
          ] ?? '';
        expect(decodeJwt(valueOf('jwt'))).toMatchObject({ iss: MAIL, sub: USER });
        expect(decodeJwt(valueOf('txn-token'))).toMatchObject({ sub: USER, iss: MAIL });
      }
      await after.close();
    },
    120_000,
  );
});
