import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { FastifyAdapter } from '@bull-board/fastify';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Queue } from 'bullmq';
import type { FastifyInstance } from 'fastify';
import { ServiceAuthMiddleware } from 'nestjs-service-auth';
import { call } from '../../../test/support/http/http.js';
import { describeRedis, RedisServer } from '../../../test/support/redis/redis-server.js';
import { type GraphQLService, startGraphQL } from './stacks.js';

const PAUSE = { method: 'PUT', target: '/queues/api/queues/mail/pause' } as const;

describeRedis('bull-board', () => {
  let redis: RedisServer;
  let queue: Queue;
  beforeAll(async () => {
    redis = await RedisServer.start();
    queue = new Queue('mail', { connection: { host: '127.0.0.1', port: redis.port } });
  });
  beforeEach(async () => await queue.resume());
  afterAll(async () => {
    await queue.close();
    await redis.close();
  });

  const MOUNTS = {
    express: (app: NestExpressApplication & NestFastifyApplication): void => {
      const board = new ExpressAdapter();
      board.setBasePath('/queues');
      createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter: board });
      const verify = app.get(ServiceAuthMiddleware).express({ route: '/queues' });
      app.use('/queues', verify, board.getRouter());
    },
    fastify: async (app: NestExpressApplication & NestFastifyApplication): Promise<void> => {
      const board = new FastifyAdapter();
      board.setBasePath('/queues');
      createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter: board });
      const verify = app.get(ServiceAuthMiddleware).fastify({ route: '/queues' });
      await (app as NestFastifyApplication).register(async (scope: FastifyInstance) => {
        scope.addHook('preHandler', verify);
        await scope.register(board.registerPlugin(), { prefix: '/queues' });
      });
    },
  };

  describe.each(['express', 'fastify'] as const)('on %s', (adapter) => {
    let census: GraphQLService;
    beforeAll(async () => {
      census = await startGraphQL({ adapter, configure: MOUNTS[adapter] });
    });
    afterAll(async () => await census.close());

    it.each(['/queues', '/queues/', '/queues/api/queues', '/queues/queue/mail'])(
      'GQ-02 %s',
      async (target) => {
        const signed = await census.herald.get(census.port, target);
        expect(signed.status).toBe(200);
        expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
      },
    );

    it('GQ-02 the files of its page', async () => {
      const { text } = await census.herald.get(census.port, '/queues/');
      const target = /[^"]*\.js(?=")/.exec(text)?.[0] ?? '';
      const path = new URL(target, 'http://127.0.0.1/queues/').pathname;
      expect(await census.herald.get(census.port, path)).toMatchObject({ status: 200 });
      expect(await call(census.port, { target: path })).toMatchObject({ code: 'token_missing' });
    });

    it('GQ-03 pauses a queue for a signed request alone', async () => {
      const moved = await census.herald.send(census.port, { ...PAUSE, signedTarget: '/queues' });
      expect(moved).toMatchObject({ code: 'request_mismatch' });
      expect(await call(census.port, PAUSE)).toMatchObject({ code: 'token_missing' });
      expect(await queue.isPaused()).toBe(false);
      expect(await census.herald.send(census.port, PAUSE)).toMatchObject({ status: 200 });
      expect(await queue.isPaused()).toBe(true);
    });
  });
});
